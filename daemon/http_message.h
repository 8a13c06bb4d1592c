// One HTTP request's head and one whole answer, as plain values.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rekindle::daemon {

struct HttpField {
    std::string name;  // Lower case in requests.
    std::string value;
};

struct HttpRequest {
    std::string method;
    std::string path;   // Decoded, without doubled or trailing slashes: "/v1/models".
    std::string query;  // Still encoded, without '?'.
    bool http11 = true;
    bool keep_alive = true;
    bool expects_continue = false;
    bool chunked = false;
    uint64_t content_length = 0;
    std::vector<HttpField> fields;

    bool has_body() const noexcept { return chunked || content_length > 0; }

    // First value, nothing when there is none. `name` in lower case.
    std::optional<std::string_view> field(std::string_view name) const;
};

struct HttpReply {
    int status = 200;
    std::string content_type = "application/json";
    std::vector<HttpField> fields;  // Added to those of every answer.
    std::string body;
};

// The head of an answer that tells, a JSON object a line, how work goes on.
HttpReply lines_head();

// "OK", "Not Found", …
std::string_view status_reason(int status) noexcept;
// RFC 9110's IMF-fixdate, for Date.
std::string http_date(int64_t unix_s);

inline constexpr size_t kQueryParametersMax = 64;
// name=value pairs of a query, decoded; nothing when an escape is broken, a name stands twice or
// there are more than kQueryParametersMax.
using QueryParameters = std::vector<std::pair<std::string, std::string>>;
std::optional<QueryParameters> parse_query(std::string_view query);
// Decodes %XX ('+' to space when asked); nothing for a broken escape or a NUL.
std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space);
// ASCII only, as HTTP's names and tokens are.
std::string ascii_lower(std::string_view text);
bool equal_ignoring_case(std::string_view a, std::string_view b) noexcept;

}  // namespace rekindle::daemon
