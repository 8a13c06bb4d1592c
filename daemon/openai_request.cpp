#include "daemon/openai_request.h"

#include "base/json.h"
#include "daemon/openai_messages.h"
#include "daemon/request_rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <utility>

namespace rekindle::daemon {
namespace {

void read_model(FieldReader& fields, AnswerRequest& request) {
    const auto model = fields.string("model");
    if (fields.present("model") == nullptr) {
        fields.fail(missing_parameter("model"));
    } else if (model && (model->empty() || model->size() > kModelNameBytesMax)) {
        fields.fail_value("model", fmt::format("a name of 1 to {} bytes", kModelNameBytesMax));
    }
    request.model = model.value_or("");
}

// A decimal token id without sign or leading zeros; nothing otherwise.
std::optional<int32_t> token_of(std::string_view key) {
    int32_t token = 0;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), token);
    const bool plain = !key.empty() && key[0] != '-' && (key[0] != '0' || key.size() == 1);
    const bool whole = error == std::errc() && end == key.data() + key.size();
    return plain && whole ? std::optional(token) : std::nullopt;
}

void read_logit_bias(FieldReader& fields, SubmitFrame& submit) {
    constexpr double kBiasMax = 100;
    const json::value* value = fields.present("logit_bias");
    if (value == nullptr) {
        return;
    }
    if (!value->is_object() || value->get_object().size() > kLogitBiasMax) {
        fields.fail_value("logit_bias",
                          fmt::format("an object of at most {} token ids", kLogitBiasMax));
        return;
    }
    for (const auto& [key, entry] : value->get_object()) {
        const std::optional<int32_t> token = token_of(key);
        const double bias = entry.is_number() ? entry.to_number<double>() : std::nan("");
        if (!token || !(std::abs(bias) <= kBiasMax)) {
            fields.fail_value("logit_bias", "token ids with numbers from -100 to 100");
            return;
        }
        submit.logit_bias.push_back({*token, static_cast<float>(bias)});
    }
}

void read_penalties(FieldReader& fields, SubmitFrame& submit) {
    constexpr double kRepetitionMax = 10;  // No model writes sense with more than 2.
    submit.presence_penalty =
        static_cast<float>(fields.number("presence_penalty", -2, 2).value_or(0));
    submit.frequency_penalty =
        static_cast<float>(fields.number("frequency_penalty", -2, 2).value_or(0));
    submit.repetition_penalty =
        static_cast<float>(fields.number("repetition_penalty", 0, kRepetitionMax).value_or(1));
    if (submit.repetition_penalty < std::numeric_limits<float>::min()) {
        fields.fail_value("repetition_penalty", "a number above 0, up to 10");
    }
}

void read_sampling(FieldReader& fields, uint64_t random_seed, SubmitFrame& submit) {
    submit.temperature = static_cast<float>(fields.number("temperature", 0, 2).value_or(1));
    submit.top_p = static_cast<float>(fields.number("top_p", 0, 1).value_or(1));
    if (submit.top_p <= 0) {
        fields.fail_value("top_p", "a number above 0, up to 1");
    }
    submit.min_p = static_cast<float>(fields.number("min_p", 0, 1).value_or(0));
    // -1 is how vLLM's users say "all".
    const int64_t top_k = fields.integer("top_k", -1, INT32_MAX).value_or(0);
    submit.top_k = top_k < 0 ? 0 : static_cast<uint32_t>(top_k);
    const auto seed = fields.integer("seed", INT64_MIN, INT64_MAX);
    submit.seed = seed ? static_cast<uint64_t>(*seed) : random_seed;
    read_penalties(fields, submit);
    read_logit_bias(fields, submit);
    submit.ignore_eos = fields.boolean("ignore_eos").value_or(false);
}

void read_limits(FieldReader& fields, const api::RequestRules& rules, AnswerRequest& request) {
    const auto tokens = fields.integer("max_tokens", 1, INT32_MAX);
    const auto completion_tokens = fields.integer("max_completion_tokens", 1, INT32_MAX);
    if (tokens && completion_tokens) {
        fields.fail(
            invalid_value("max_tokens", "max_tokens and max_completion_tokens exclude each other"));
    }
    for (auto refused : {check_token_limit(rules, tokens, "max_tokens"),
                         check_token_limit(rules, completion_tokens, "max_completion_tokens")}) {
        if (refused) {
            fields.fail(std::move(*refused));
        }
    }
    const bool chat = request.kind == AnswerKind::kChat;
    const uint32_t unasked =
        chat ? 0
             : std::min(kCompletionTokensDefault,
                        rules.tokens_max == 0 ? kCompletionTokensDefault : rules.tokens_max);
    request.submit.tokens_max =
        static_cast<uint32_t>(tokens.value_or(completion_tokens.value_or(unasked)));
    request.submit.tokens_cap = rules.tokens_max;
}

void read_stream(FieldReader& fields, AnswerRequest& request) {
    request.stream = fields.boolean("stream").value_or(false);
    const json::value* options = fields.present("stream_options");
    if (options == nullptr) {
        return;
    }
    if (!request.stream) {
        fields.fail(
            invalid_value("stream_options", "stream_options: only allowed when stream is true"));
        return;
    }
    if (!options->is_object()) {
        fields.fail_value("stream_options", "an object");
        return;
    }
    FieldReader members(options->get_object());
    request.include_usage = members.boolean("include_usage").value_or(false);
    // Padding against observers of encrypted streams: no effect on the answer.
    static_cast<void>(members.boolean("include_obfuscation"));
    if (members.failed()) {
        fields.fail_value("stream_options." + members.error()->param, "true or false");
    }
    for (const auto& [key, value] : options->get_object()) {
        if (key != "include_usage" && key != "include_obfuscation") {
            fields.fail(unknown_parameter("stream_options." + std::string(key)));
        }
    }
}

void add_stop(FieldReader& fields, const json::value& value, SubmitFrame& submit) {
    const json::string* text = value.if_string();
    if (text == nullptr || text->empty() || text->size() > kStopBytesMax) {
        fields.fail_value(
            "stop", fmt::format("a string of 1 to {} bytes, or an array of them", kStopBytesMax));
        return;
    }
    submit.stop.emplace_back(*text);
}

void read_stop(FieldReader& fields, SubmitFrame& submit) {
    const json::value* stop = fields.present("stop");
    if (stop == nullptr) {
        return;
    }
    const json::array* list = stop->if_array();
    if (list == nullptr) {
        add_stop(fields, *stop, submit);
        return;
    }
    if (list->size() > kStopStringsMax) {
        fields.fail_value("stop", fmt::format("at most {} strings", kStopStringsMax));
        return;
    }
    for (const json::value& element : *list) {
        add_stop(fields, element, submit);
    }
}

void read_chat_logprobs(FieldReader& fields, SubmitFrame& submit) {
    submit.want_logprobs = fields.boolean("logprobs").value_or(false);
    const auto top = fields.integer("top_logprobs", 0, kTopLogprobsMax);
    submit.top_logprobs = static_cast<uint8_t>(top.value_or(0));
    if (top && !submit.want_logprobs) {
        fields.fail(
            invalid_value("top_logprobs", "top_logprobs: only allowed when logprobs is true"));
    }
}

void read_completion_logprobs(FieldReader& fields, SubmitFrame& submit) {
    const auto top = fields.integer("logprobs", 0, kTopLogprobsMax);
    submit.want_logprobs = top.has_value();
    submit.top_logprobs = static_cast<uint8_t>(top.value_or(0));
    submit.echo = fields.boolean("echo").value_or(false);
}

// Token ids; false when the elements are of another kind.
bool read_token_ids(FieldReader& fields, const json::array& list, SubmitFrame& submit) {
    if (list.empty() || !list[0].is_int64()) {
        return false;
    }
    submit.kind = PromptKind::kTokens;
    submit.tokens.reserve(list.size());
    for (const json::value& element : list) {
        const int64_t* id = element.if_int64();
        if (id == nullptr || *id < 0 || *id > INT32_MAX) {
            fields.fail_value("prompt", "token ids, each a whole number from 0 on");
            return true;
        }
        submit.tokens.push_back(static_cast<int32_t>(*id));
    }
    return true;
}

void read_prompt(FieldReader& fields, const json::value& prompt, AnswerRequest& request) {
    constexpr std::string_view kWanted = "a string or an array of token ids";
    if (const json::string* text = prompt.if_string()) {
        request.submit.kind = PromptKind::kText;
        request.submit.text = std::string(*text);
        request.prompt_bytes = text->size();
        return;
    }
    const json::array* list = prompt.if_array();
    if (list == nullptr || list->empty()) {
        fields.fail_value("prompt", kWanted);
        return;
    }
    if (read_token_ids(fields, *list, request.submit)) {
        return;
    }
    if (list->size() > 1) {
        fields.fail(unsupported_value(
            "prompt", fmt::format("prompt: one prompt a request is supported, and these are {}",
                                  list->size())));
        return;
    }
    const json::value& only = (*list)[0];
    const json::array* ids = only.if_array();
    if (only.is_string()) {
        read_prompt(fields, only, request);
    } else if (ids == nullptr || !read_token_ids(fields, *ids, request.submit)) {
        fields.fail_value("prompt", kWanted);
    }
}

// Those of the model that the body names.
const api::RequestRules& rules_of(const json::object& body, const RequestRuleBook* rules) {
    static const api::RequestRules kNone;
    const json::value* model = body.if_contains("model");
    if (rules == nullptr || model == nullptr || !model->is_string()) {
        return kNone;
    }
    const auto found = rules->find(std::string_view(model->get_string()));
    return found == rules->end() ? kNone : *found->second;
}

void read_content(FieldReader& fields, AnswerRequest& request) {
    const bool chat = request.kind == AnswerKind::kChat;
    const std::string_view key = chat ? "messages" : "prompt";
    const json::value* content = fields.present(key);
    if (content == nullptr) {
        fields.fail(missing_parameter(std::string(key)));
    } else if (chat) {
        auto chat_text = read_messages(*content);
        if (auto* fault = std::get_if<ApiError>(&chat_text)) {
            fields.fail(std::move(*fault));
            return;
        }
        request.submit.kind = PromptKind::kChat;
        request.submit.text = std::move(std::get<ChatVariables>(chat_text).json);
        request.prompt_bytes = std::get<ChatVariables>(chat_text).content_bytes;
    } else {
        read_prompt(fields, *content, request);
    }
}

}  // namespace

std::variant<AnswerRequest, ApiError> parse_answer_request(std::string_view body, AnswerKind kind,
                                                           uint64_t random_seed,
                                                           const RequestRuleBook* rules) {
    auto parsed = parse_json(body, JsonLimits{});
    if (!parsed) {
        return http_error(400, "invalid_json", parsed.error().message);
    }
    if (!parsed->is_object()) {
        return http_error(400, "invalid_json", "the request's body is not a JSON object");
    }
    json::object& object = parsed->get_object();
    const api::RequestRules& own_rules = rules_of(object, rules);
    apply_request_rules(own_rules, object);
    auto unknown = check_known_fields(object, kind);
    if (unknown) {
        return std::move(*unknown);
    }
    FieldReader fields(object);
    AnswerRequest request;
    request.kind = kind;
    read_model(fields, request);
    read_content(fields, request);
    read_stream(fields, request);
    read_limits(fields, own_rules, request);
    read_sampling(fields, random_seed, request.submit);
    read_stop(fields, request.submit);
    if (kind == AnswerKind::kChat) {
        read_chat_logprobs(fields, request.submit);
    } else {
        read_completion_logprobs(fields, request.submit);
    }
    if (fields.failed()) {
        return *fields.error();
    }
    return request;
}

}  // namespace rekindle::daemon
