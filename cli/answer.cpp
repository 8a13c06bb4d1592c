#include "cli/answer.h"

#include "cli/api.h"
#include "cli/line_stream.h"

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>

#include <utility>

namespace rekindle::cli {

namespace {

const json::object* object_member(const json::object& object, std::string_view key) {
    const json::value* value = object.if_contains(key);
    return value != nullptr ? value->if_object() : nullptr;
}

}  // namespace

void add_answer_options(CLI::App& command, AnswerOptions& options) {
    command.add_option("--max-tokens", options.max_tokens, "End the answer after N tokens")
        ->type_name("N");
    command.add_option("--temperature", options.temperature, "0 always takes the likeliest token")
        ->type_name("T");
    command.add_option("--top-p", options.top_p, "Sample from the likeliest tokens of mass P")
        ->type_name("P");
    command.add_option("--seed", options.seed, "Same seed, same answer")->type_name("N");
    command.add_option("--stop", options.stop, "End the answer before this text (repeatable)")
        ->type_name("TEXT")
        ->expected(1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    command.add_option("--system", options.system, "System message")->type_name("TEXT");
}

void put_options(json::object& body, const AnswerOptions& options) {
    if (options.max_tokens) {
        body["max_tokens"] = *options.max_tokens;
    }
    if (options.temperature) {
        body["temperature"] = *options.temperature;
    }
    if (options.top_p) {
        body["top_p"] = *options.top_p;
    }
    if (options.seed) {
        body["seed"] = *options.seed;
    }
    if (!options.stop.empty()) {
        body["stop"] = json::array(options.stop.begin(), options.stop.end());
    }
}

Result<void> AnswerReader::take_event(std::string_view data, const OnText& on_text) {
    if (data == "[DONE]") {
        done_ = true;
        return {};
    }
    const auto event = parse_object(data);
    if (!event) {
        return event.error();
    }
    if (const json::value* error = event->if_contains("error")) {
        return error_of_object(*error);
    }
    if (const json::object* usage = object_member(*event, "usage")) {
        end_.prompt_tokens = count_member(*usage, "prompt_tokens");
        end_.completion_tokens = count_member(*usage, "completion_tokens");
    }
    const auto choices = array_member(*event, "choices");
    if (!choices) {
        return choices.error();
    }
    for (const json::value& choice : *choices) {
        auto taken = take_choice(choice.get_object(), on_text);
        if (!taken) {
            return taken;
        }
    }
    return {};
}

Result<void> AnswerReader::take_choice(const json::object& choice, const OnText& on_text) {
    if (const json::value* reason = choice.if_contains("finish_reason");
        reason != nullptr && reason->is_string()) {
        end_.finish_reason = reason->get_string();
    }
    const json::object* delta = object_member(choice, "delta");
    const json::value* text = delta != nullptr ? delta->if_contains("content")  // Chat.
                                               : choice.if_contains("text");    // Completions.
    if (text == nullptr || !text->is_string() || text->get_string().empty()) {
        return {};
    }
    return on_text(text->get_string());
}

Result<AnswerEnd> stream_answer(HttpClient& client, const char* route, json::object body,
                                const OnText& on_text) {
    body["stream"] = true;
    body["stream_options"] = json::object{{"include_usage", true}};
    HttpRequest request;
    request.method = "POST";
    request.target = route;
    request.json = json::serialize(body);

    SseParser events;
    AnswerReader reader;
    const SseParser::OnEvent on_event = [&](const SseParser::Event& event) {
        return reader.take_event(event.data, on_text);
    };
    const auto response = send_checked(
        client, request, [&](std::string_view bytes) { return events.feed(bytes, on_event); });
    if (!response) {
        return response.error();
    }
    if (!reader.done()) {
        return Error{ErrorCode::kIo, "the answer broke off before its end: ask again"};
    }
    return reader.end();
}

}  // namespace rekindle::cli
