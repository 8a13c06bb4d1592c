#include "cli/values.h"

#include "base/decimal.h"
#include "base/units.h"

#include <fmt/format.h>

#include <chrono>
#include <ctime>
#include <optional>

namespace rekindle::cli {

namespace {

constexpr size_t kNameCharsMax = 63;
constexpr std::string_view kModelFileSuffix = ".gguf";

bool is_name_start(char c) noexcept {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool is_name_char(char c) noexcept {
    return is_name_start(c) || c == '.' || c == '_' || c == '-';
}

char to_lower(char c) noexcept {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

// `count` digits at the front of `text`, which are taken off.
std::optional<int> take_number(std::string_view& text, size_t count) {
    if (text.size() < count) {
        return std::nullopt;
    }
    int value = 0;
    for (const char c : text.substr(0, count)) {
        if (c < '0' || c > '9') {
            return std::nullopt;
        }
        value = value * 10 + (c - '0');
    }
    text.remove_prefix(count);
    return value;
}

bool take_char(std::string_view& text, char wanted) {
    if (!text.starts_with(wanted)) {
        return false;
    }
    text.remove_prefix(1);
    return true;
}

// "YYYY-MM-DD" or "YYYY-MM-DDTHH:MM:SSZ".
std::optional<int64_t> parse_utc_ms(std::string_view text) {
    using namespace std::chrono;
    const auto year_number = take_number(text, 4);
    const bool dash_1 = take_char(text, '-');
    const auto month_number = take_number(text, 2);
    const bool dash_2 = take_char(text, '-');
    const auto day_number = take_number(text, 2);
    if (!year_number || !month_number || !day_number || !dash_1 || !dash_2) {
        return std::nullopt;
    }
    const year_month_day date{year(*year_number), month(static_cast<unsigned>(*month_number)),
                              day(static_cast<unsigned>(*day_number))};
    if (!date.ok()) {
        return std::nullopt;
    }
    const auto midnight = sys_days(date).time_since_epoch();
    if (text.empty()) {
        return duration_cast<milliseconds>(midnight).count();
    }
    const bool t = take_char(text, 'T');
    const auto hour = take_number(text, 2);
    const bool colon_1 = take_char(text, ':');
    const auto minute = take_number(text, 2);
    const bool colon_2 = take_char(text, ':');
    const auto second = take_number(text, 2);
    if (!t || !hour || !colon_1 || !minute || !colon_2 || !second || text != "Z" || *hour > 23 ||
        *minute > 59 || *second > 59) {
        return std::nullopt;
    }
    const auto of_day = hours(*hour) + minutes(*minute) + seconds(*second);
    return duration_cast<milliseconds>(midnight + of_day).count();
}

std::optional<PicoAmount> parse_amount(std::string_view text) {
    constexpr size_t kDecimals = 12;
    constexpr size_t kDigitsMax = 36;  // Well below 2^127, also after the sum.
    const bool negative = take_char(text, '-');
    const size_t point = text.find('.');
    std::string digits(text.substr(0, point));
    const std::string_view part = point == std::string_view::npos ? "" : text.substr(point + 1);
    if (digits.empty() || part.size() > kDecimals) {
        return std::nullopt;
    }
    digits.append(part).append(kDecimals - part.size(), '0');
    if (digits.size() > kDigitsMax) {
        return std::nullopt;
    }
    PicoAmount amount = 0;
    for (const char c : digits) {
        if (c < '0' || c > '9') {
            return std::nullopt;
        }
        amount = amount * 10 + (c - '0');
    }
    return negative ? -amount : amount;
}

}  // namespace

bool is_model_name(std::string_view name) noexcept {
    if (name.empty() || name.size() > kNameCharsMax || !is_name_start(name.front())) {
        return false;
    }
    for (const char c : name) {
        if (!is_name_char(c)) {
            return false;
        }
    }
    return true;
}

Result<void> check_model_name(std::string_view name) {
    if (is_model_name(name)) {
        return {};
    }
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("'{}' is not a model name: use 1 to {} of a-z 0-9 . _ - and begin "
                             "with a letter or digit",
                             name, kNameCharsMax)};
}

Result<std::string> derive_model_name(std::string_view path) {
    std::string_view file = path.substr(path.find_last_of('/') + 1);
    std::string lower;
    for (const char c : file) {
        lower.push_back(to_lower(c));
    }
    if (lower.ends_with(kModelFileSuffix)) {
        lower.resize(lower.size() - kModelFileSuffix.size());
    }
    std::string name;
    for (const char c : lower) {
        const char next = is_name_char(c) ? c : '-';
        const bool repeated_dash = next == '-' && !name.empty() && name.back() == '-';
        if (repeated_dash || (name.empty() && !is_name_start(next))) {
            continue;
        }
        if (name.size() < kNameCharsMax) {
            name.push_back(next);
        }
    }
    while (!name.empty() && !is_name_start(name.back())) {
        name.pop_back();
    }
    if (name.empty()) {
        return Error{ErrorCode::kInvalidArgument,
                     fmt::format("no model name can be made of '{}': give one with --name", file)};
    }
    return name;
}

Result<int64_t> parse_moment(std::string_view text, int64_t now_unix_ms) {
    if (text == "now") {
        return now_unix_ms;
    }
    if (const auto utc = parse_utc_ms(text)) {
        return *utc;
    }
    const auto ago = parse_duration(text);
    if (!ago) {
        return Error{ErrorCode::kInvalidArgument,
                     fmt::format("'{}' is not a time: give a duration such as 24h or 7d, a date "
                                 "such as 2025-01-31 or 2025-01-31T12:30:00Z (UTC), or now",
                                 text)};
    }
    return now_unix_ms - ago->count();
}

std::string format_moment(int64_t unix_s) {
    const std::time_t moment = unix_s;
    std::tm utc{};
    if (gmtime_r(&moment, &utc) == nullptr) {
        return "-";
    }
    return fmt::format("{:04}-{:02}-{:02} {:02}:{:02}", utc.tm_year + 1900, utc.tm_mon + 1,
                       utc.tm_mday, utc.tm_hour, utc.tm_min);
}

Result<std::string> add_amounts(std::string_view a, std::string_view b) {
    const auto first = parse_amount(a);
    const auto second = parse_amount(b);
    if (!first || !second) {
        return Error{ErrorCode::kInvalidArgument,
                     fmt::format("the daemon sent '{}', which is not an amount", first ? b : a)};
    }
    return format_amount(*first + *second);
}

}  // namespace rekindle::cli
