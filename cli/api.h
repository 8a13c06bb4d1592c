// The daemon's JSON as the verbs use it: documents, errors in OpenAI's form, members with a
// fallback, because a newer or older daemon may say more or less. Threading: none.
#pragma once
#include "base/json.h"
#include "base/result.h"
#include "cli/http_client.h"
#include "cli/line_stream.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace rekindle::cli {

// As HttpClient::send(), but a status >= 300 is an error, with the daemon's own message.
Result<HttpResponse> send_checked(HttpClient& client, const HttpRequest& request);
Result<HttpResponse> send_checked(HttpClient& client, const HttpRequest& request,
                                  const HttpClient::OnBody& on_body);
// A line of the answer at a time, for answers in NDJSON.
Result<HttpResponse> send_for_lines(HttpClient& client, const HttpRequest& request,
                                    const LineSplitter::OnLine& on_line);

// The JSON object that answers a request, or a GET of `target`.
Result<json::object> send_for_json(HttpClient& client, const HttpRequest& request);
Result<json::object> get_json(HttpClient& client, const std::string& target);

// {"error": {"message", …}} or whatever else came with a status >= 300.
Error error_of_answer(const HttpResponse& response);
// The error object of a stream whose status was good.
Error error_of_object(const json::value& error);

Result<json::object> parse_object(std::string_view text);

// Members of an object from the daemon; "-" and 0 when absent or of another type.
std::string text_member(const json::object& object, std::string_view key);
uint64_t count_member(const json::object& object, std::string_view key);

// The element objects of the array member `key`; kInternal when there is none.
Result<json::array> array_member(const json::object& object, std::string_view key);

}  // namespace rekindle::cli
