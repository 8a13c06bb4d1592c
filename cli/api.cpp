#include "cli/api.h"

#include "cli/exit_code.h"

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include <utility>

namespace rekindle::cli {

Result<json::object> parse_object(std::string_view text) {
    JsonLimits limits;
    limits.bytes_max = HttpClient::kBodyBytesMax;
    auto value = parse_json(text, limits);
    if (!value || !value->is_object()) {
        constexpr size_t kShownBytesMax = 200;
        return Error{ErrorCode::kInternal,
                     fmt::format("what answered is not a Rekindle daemon: it sent '{}'",
                                 text.substr(0, kShownBytesMax))};
    }
    return std::move(value->as_object());
}

Result<HttpResponse> send_checked(HttpClient& client, const HttpRequest& request) {
    return send_checked(client, request, nullptr);
}

Result<HttpResponse> send_checked(HttpClient& client, const HttpRequest& request,
                                  const HttpClient::OnBody& on_body) {
    auto response = client.send(request, on_body);
    if (response && response->failed()) {
        return error_of_answer(*response);
    }
    return response;
}

Result<HttpResponse> send_for_lines(HttpClient& client, const HttpRequest& request,
                                    const LineSplitter::OnLine& on_line) {
    LineSplitter lines;
    return send_checked(client, request,
                        [&](std::string_view bytes) { return lines.feed(bytes, on_line); });
}

Result<json::object> send_for_json(HttpClient& client, const HttpRequest& request) {
    const auto response = send_checked(client, request);
    if (!response) {
        return response.error();
    }
    return parse_object(response->body);
}

Result<json::object> get_json(HttpClient& client, const std::string& target) {
    return send_for_json(client, HttpRequest{.target = target});
}

Error error_of_answer(const HttpResponse& response) {
    const ErrorCode code = error_code_of_status(response.status);
    const auto body = parse_json(response.body, JsonLimits{});
    if (body && body->is_object()) {
        const json::value* error = body->as_object().if_contains("error");
        if (error != nullptr && error->is_object()) {
            return Error{code, text_member(error->as_object(), "message")};
        }
    }
    return Error{code, fmt::format("the daemon answered with status {} and no explanation",
                                   response.status)};
}

Error error_of_object(const json::value& error) {
    if (!error.is_object()) {
        return Error{ErrorCode::kInternal, json::serialize(error)};
    }
    const json::object& object = error.as_object();
    return Error{error_code_of_event(text_member(object, "type"), text_member(object, "code")),
                 text_member(object, "message")};
}

std::string text_member(const json::object& object, std::string_view key) {
    const json::value* value = object.if_contains(key);
    if (value == nullptr || !value->is_string()) {
        return "-";
    }
    return std::string(value->as_string());
}

uint64_t count_member(const json::object& object, std::string_view key) {
    const json::value* value = object.if_contains(key);
    if (value == nullptr || !value->is_number()) {
        return 0;
    }
    json::error_code failed;
    const auto number = value->to_number<uint64_t>(failed);
    return failed ? 0 : number;
}

Result<json::array> array_member(const json::object& object, std::string_view key) {
    const json::value* value = object.if_contains(key);
    if (value == nullptr || !value->is_array()) {
        return Error{ErrorCode::kInternal,
                     fmt::format("the daemon's answer has no list '{}'", key)};
    }
    for (const json::value& element : value->as_array()) {
        if (!element.is_object()) {
            return Error{
                ErrorCode::kInternal,
                fmt::format("the daemon's list '{}' holds something else than objects", key)};
        }
    }
    return value->as_array();
}

}  // namespace rekindle::cli
