// What a deployment's manifest does to the bodies of its requests, before they are checked: strip,
// then defaults, then force. Pure.
#pragma once
#include "base/json.h"
#include "daemon/api/manifest.h"
#include "daemon/openai_fields.h"

namespace rekindle::daemon {

void apply_request_rules(const api::RequestRules& rules, json::object& body);

// Answers are at most rules.tokens_max long: `tokens` is what the request asked for by `param`, or
// nothing. A request that asked for more is refused by name.
std::optional<ApiError> check_token_limit(const api::RequestRules& rules,
                                          std::optional<int64_t> tokens, std::string_view param);

}  // namespace rekindle::daemon
