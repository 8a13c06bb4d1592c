#include "base/decimal.h"

#include <fmt/format.h>

#include <algorithm>

namespace rekindle {
namespace {

// Digits of a non-negative value with the decimal point `places` from the right, trimmed.
std::string with_point(std::string digits, size_t places) {
    if (digits.size() <= places) {
        digits.insert(0, places + 1 - digits.size(), '0');
    }
    digits.insert(digits.size() - places, ".");
    digits.erase(digits.find_last_not_of('0') + 1);
    if (digits.back() == '.') {
        digits.pop_back();
    }
    return digits;
}

bool all_digits(std::string_view text) {
    return std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

Result<PicoPerToken> parse_price_per_million(std::string_view text) {
    const size_t point = text.find('.');
    const std::string_view whole = text.substr(0, point);
    const std::string_view part =
        point == std::string_view::npos ? std::string_view{} : text.substr(point + 1);
    const bool dangling_point = point != std::string_view::npos && part.empty();
    if (whole.empty() || whole.size() > 9 || part.size() > 6 || dangling_point ||
        !all_digits(whole) || !all_digits(part)) {
        return Error{ErrorCode::kInvalidArgument,
                     fmt::format("price \"{}\": write a decimal such as \"0.05\", not negative, "
                                 "with at most 6 decimals",
                                 text)};
    }
    PicoPerToken price = 0;
    for (const char c : whole) {
        price = price * 10 + (c - '0');
    }
    for (size_t i = 0; i < 6; ++i) {
        price = price * 10 + (i < part.size() ? part[i] - '0' : 0);
    }
    return price;
}

std::string format_price_per_million(PicoPerToken price) {
    return with_point(fmt::format("{}", price), 6);
}

std::string format_amount(PicoAmount amount) {
    const bool negative = amount < 0;
    const std::string text = with_point(fmt::format("{}", negative ? -amount : amount), 12);
    return negative ? "-" + text : text;
}

}  // namespace rekindle
