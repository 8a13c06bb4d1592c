#include "daemon/request_rules.h"

#include <fmt/format.h>

#include <string>

namespace rekindle::daemon {

void apply_request_rules(const api::RequestRules& rules, json::object& body) {
    for (const std::string& name : rules.strip) {
        body.erase(name);
    }
    for (const auto& [key, value] : rules.defaults) {
        const json::value* given = body.if_contains(key);
        if (given == nullptr || given->is_null()) {
            body[key] = value;
        }
    }
    for (const auto& [key, value] : rules.force) {
        body[key] = value;
    }
}

std::optional<ApiError> check_token_limit(const api::RequestRules& rules,
                                          std::optional<int64_t> tokens, std::string_view param) {
    if (rules.tokens_max == 0 || !tokens || *tokens <= int64_t{rules.tokens_max}) {
        return std::nullopt;
    }
    return invalid_value(std::string(param),
                         fmt::format("{}: {} are asked for, answers of this model have at most {} "
                                     "tokens: lower it, or leave it out",
                                     param, *tokens, rules.tokens_max));
}

}  // namespace rekindle::daemon
