#include "daemon/self_check_store.h"

#include "base/log.h"
#include "daemon/data_folder.h"

#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

namespace rekindle::daemon {
namespace {

// 8 checks of 64 tokens with 20 others beside each, 40 bytes an entry.
constexpr uint64_t kFileBytesMax = 1ULL << 20;

Result<std::vector<SelfCheck>> parse_file(const std::string& text) {
    const auto parsed = parse_json(text, {.depth_max = 8, .bytes_max = kFileBytesMax});
    if (!parsed) {
        return parsed.error();
    }
    const json::object* object = parsed->if_object();
    const json::value* list = object == nullptr ? nullptr : object->if_contains("checks");
    if (list == nullptr || !list->is_array() || list->get_array().size() > kChecksPerImageMax) {
        return Error{ErrorCode::kCorrupt, "this is no file of self-checks"};
    }
    std::vector<SelfCheck> checks;
    for (const json::value& item : list->get_array()) {
        auto check = item.is_object() ? parse_check(item.get_object())
                                      : Error{ErrorCode::kCorrupt, "a self-check is no object"};
        if (!check) {
            return check.error();
        }
        checks.push_back(std::move(check).value());
    }
    return checks;
}

}  // namespace

std::string SelfCheckStore::path_of(std::string_view image) const {
    return fmt::format("{}/{}.json", folder_, image);
}

std::vector<SelfCheck> SelfCheckStore::read(std::string_view image) const {
    const std::string path = path_of(image);
    const auto text = read_small_file(path, kFileBytesMax);
    if (!text && text.error().code == ErrorCode::kNotFound) {
        return {};
    }
    auto checks = text ? parse_file(*text) : text.error();
    if (!checks) {
        log_warning("self_check_unreadable", {{"file", path}, {"reason", checks.error().message}});
        return {};
    }
    return std::move(checks).value();
}

std::optional<SelfCheck> SelfCheckStore::find(std::string_view image, const CheckKey& key) const {
    const std::vector<SelfCheck> checks = read(image);
    const auto first = [&checks](auto suits) -> const SelfCheck* {
        const auto found = std::ranges::find_if(checks, suits);
        return found == checks.end() ? nullptr : &*found;
    };
    const SelfCheck* best = first([&key](const SelfCheck& check) { return check.key == key; });
    if (best == nullptr) {
        best = first([&key](const SelfCheck& check) { return check.key.kv_type == key.kv_type; });
    }
    if (best == nullptr && !checks.empty()) {
        best = &checks.front();
    }
    return best == nullptr ? std::nullopt : std::optional(*best);
}

Result<void> SelfCheckStore::put(std::string_view image, const SelfCheck& check) {
    std::error_code ec;
    std::filesystem::create_directories(folder_, ec);
    if (ec) {
        return Error{ErrorCode::kIo, folder_ + ": " + ec.message()};
    }
    std::vector<SelfCheck> checks = read(image);
    std::erase_if(checks, [&check](const SelfCheck& other) { return other.key == check.key; });
    checks.insert(checks.begin(), check);
    checks.resize(std::min(checks.size(), kChecksPerImageMax));
    json::array list;
    for (const SelfCheck& kept : checks) {
        list.push_back(check_json(kept));
    }
    return write_file_durably(path_of(image),
                              json::serialize(json::object{{"checks", std::move(list)}}) + "\n");
}

void SelfCheckStore::remove(std::string_view image) {
    const auto removed = remove_file_durably(path_of(image));
    if (!removed) {
        log_warning("self_check_not_removed",
                    {{"image", image}, {"reason", removed.error().message}});
    }
}

}  // namespace rekindle::daemon
