#include "daemon/http_message.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <ctime>

namespace rekindle::daemon {
namespace {

char lower(char c) noexcept {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

int hex_value(char c) noexcept {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    const char low = lower(c);
    return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

struct StatusReason {
    int status;
    std::string_view reason;
};

constexpr std::array kReasons{
    StatusReason{200, "OK"},
    StatusReason{204, "No Content"},
    StatusReason{400, "Bad Request"},
    StatusReason{401, "Unauthorized"},
    StatusReason{403, "Forbidden"},
    StatusReason{404, "Not Found"},
    StatusReason{405, "Method Not Allowed"},
    StatusReason{408, "Request Timeout"},
    StatusReason{409, "Conflict"},
    StatusReason{411, "Length Required"},
    StatusReason{413, "Content Too Large"},
    StatusReason{415, "Unsupported Media Type"},
    StatusReason{417, "Expectation Failed"},
    StatusReason{429, "Too Many Requests"},
    StatusReason{431, "Request Header Fields Too Large"},
    StatusReason{500, "Internal Server Error"},
    StatusReason{501, "Not Implemented"},
    StatusReason{503, "Service Unavailable"},
    StatusReason{504, "Gateway Timeout"},
    StatusReason{505, "HTTP Version Not Supported"},
    StatusReason{507, "Insufficient Storage"},
};

}  // namespace

std::optional<std::string_view> HttpRequest::field(std::string_view name) const {
    const auto found = std::find_if(fields.begin(), fields.end(),
                                    [name](const HttpField& f) { return f.name == name; });
    if (found == fields.end()) {
        return std::nullopt;
    }
    return std::string_view(found->value);
}

HttpReply lines_head() {
    HttpReply head;
    head.content_type = "application/x-ndjson";
    head.fields.push_back({"Cache-Control", "no-cache"});
    return head;
}

std::string_view status_reason(int status) noexcept {
    for (const StatusReason& row : kReasons) {
        if (row.status == status) {
            return row.reason;
        }
    }
    return "Unknown";
}

std::string http_date(int64_t unix_s) {
    static constexpr std::array<std::string_view, 7> kDays{"Sun", "Mon", "Tue", "Wed",
                                                           "Thu", "Fri", "Sat"};
    static constexpr std::array<std::string_view, 12> kMonths{
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    const std::time_t time = unix_s;
    std::tm parts{};
    ::gmtime_r(&time, &parts);
    return fmt::format("{}, {:02} {} {} {:02}:{:02}:{:02} GMT",
                       kDays[static_cast<size_t>(parts.tm_wday)], parts.tm_mday,
                       kMonths[static_cast<size_t>(parts.tm_mon)], parts.tm_year + 1900,
                       parts.tm_hour, parts.tm_min, parts.tm_sec);
}

std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space) {
    std::string out;
    out.reserve(text.size());
    for (size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '+' && plus_is_space) {
            out += ' ';
            continue;
        }
        if (text[i] != '%') {
            out += text[i];
            continue;
        }
        const int high = i + 2 < text.size() ? hex_value(text[i + 1]) : -1;
        const int low = i + 2 < text.size() ? hex_value(text[i + 2]) : -1;
        if (high < 0 || low < 0 || (high == 0 && low == 0)) {
            return std::nullopt;
        }
        out += static_cast<char>(high * 16 + low);
        i += 2;
    }
    return out;
}

std::optional<QueryParameters> parse_query(std::string_view query) {
    QueryParameters parameters;
    while (!query.empty()) {
        const std::string_view pair = query.substr(0, query.find('&'));
        query.remove_prefix(std::min(query.size(), pair.size() + 1));
        if (pair.empty()) {
            continue;
        }
        const size_t equals = std::min(pair.find('='), pair.size());
        auto name = percent_decode(pair.substr(0, equals), true);
        auto value = percent_decode(pair.substr(std::min(equals + 1, pair.size())), true);
        if (!name || !value) {
            return std::nullopt;
        }
        const bool known = std::any_of(parameters.begin(), parameters.end(),
                                       [&](const auto& other) { return other.first == *name; });
        if (known || parameters.size() == kQueryParametersMax) {
            return std::nullopt;
        }
        parameters.emplace_back(std::move(*name), std::move(*value));
    }
    return parameters;
}

std::string ascii_lower(std::string_view text) {
    std::string out(text);
    std::transform(out.begin(), out.end(), out.begin(), lower);
    return out;
}

bool equal_ignoring_case(std::string_view a, std::string_view b) noexcept {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                      [](char x, char y) { return lower(x) == lower(y); });
}

}  // namespace rekindle::daemon
