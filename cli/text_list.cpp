#include "cli/text_list.h"

namespace rekindle::cli {

std::vector<std::string> text_list(const json::object& object, std::string_view key) {
    std::vector<std::string> texts;
    const json::value* member = object.if_contains(key);
    if (member == nullptr || !member->is_array()) {
        return texts;
    }
    for (const json::value& item : member->get_array()) {
        if (item.is_string()) {
            texts.emplace_back(item.get_string());
        }
    }
    return texts;
}

}  // namespace rekindle::cli
