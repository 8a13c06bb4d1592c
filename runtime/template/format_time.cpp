#include "runtime/template/builtins.h"

#include <chrono>

namespace rekindle::runtime::jinja {
namespace {

constexpr std::array<std::string_view, 12> kMonths{"January",   "February", "March",    "April",
                                                   "May",       "June",     "July",     "August",
                                                   "September", "October",  "November", "December"};
constexpr std::array<std::string_view, 7> kDays{"Sunday",   "Monday", "Tuesday", "Wednesday",
                                                "Thursday", "Friday", "Saturday"};

struct Moment {
    int64_t year;
    uint32_t month;     // 1 to 12
    uint32_t day;       // 1 to 31
    uint32_t weekday;   // Sunday is 0.
    uint32_t year_day;  // 1 to 366
    uint32_t hour;
    uint32_t minute;
    uint32_t second;
};

Moment moment_of(int64_t unix_seconds) {
    using namespace std::chrono;  // NOLINT(google-build-using-namespace): calendar names only.
    const sys_seconds time{seconds(unix_seconds)};
    const sys_days date = floor<days>(time);
    const year_month_day calendar(date);
    const hh_mm_ss clock(time - date);
    const sys_days new_year(calendar.year() / January / 1);
    return {int{calendar.year()},
            unsigned{calendar.month()},
            unsigned{calendar.day()},
            weekday(date).c_encoding(),
            static_cast<uint32_t>((date - new_year).count() + 1),
            static_cast<uint32_t>(clock.hours().count()),
            static_cast<uint32_t>(clock.minutes().count()),
            static_cast<uint32_t>(clock.seconds().count())};
}

std::string padded(int64_t value, size_t width, char fill) {
    const std::string digits = std::to_string(value);
    return std::string(width > digits.size() ? width - digits.size() : 0, fill) + digits;
}

// The text of one conversion; false when the letter is not known.
bool append_conversion(std::string& out, const Moment& moment, char letter, bool unpadded) {
    const auto number = [&](int64_t value, size_t width, char fill) {
        out += padded(value, unpadded ? 1 : width, fill);
        return true;
    };
    const uint32_t hour12 = moment.hour % 12 == 0 ? 12 : moment.hour % 12;
    switch (letter) {
        case 'Y':
            return number(moment.year, 4, '0');
        case 'y':
            return number(moment.year % 100, 2, '0');
        case 'm':
            return number(moment.month, 2, '0');
        case 'd':
            return number(moment.day, 2, '0');
        case 'e':
            return number(moment.day, 2, ' ');
        case 'H':
            return number(moment.hour, 2, '0');
        case 'I':
            return number(hour12, 2, '0');
        case 'M':
            return number(moment.minute, 2, '0');
        case 'S':
            return number(moment.second, 2, '0');
        case 'j':
            return number(moment.year_day, 3, '0');
        case 'B':
            out += kMonths[moment.month - 1];
            return true;
        case 'b':
        case 'h':
            out += kMonths[moment.month - 1].substr(0, 3);
            return true;
        case 'A':
            out += kDays[moment.weekday];
            return true;
        case 'a':
            out += kDays[moment.weekday].substr(0, 3);
            return true;
        case 'p':
            out += moment.hour < 12 ? "AM" : "PM";
            return true;
        case '%':
            out.push_back('%');
            return true;
        default:
            return false;
    }
}

// Conversions that stand for several others.
std::string_view expansion_of(char letter) noexcept {
    switch (letter) {
        case 'F':
            return "%Y-%m-%d";
        case 'T':
            return "%H:%M:%S";
        case 'R':
            return "%H:%M";
        case 'D':
            return "%m/%d/%y";
        default:
            return {};
    }
}

}  // namespace

Value format_time(RunState& state, std::string_view format, int64_t unix_seconds) {
    // Years 1 to 9999, as Python's datetime has them.
    if (unix_seconds < -62'135'596'800 || unix_seconds > 253'402'300'799) {
        return state.bad_argument("the time is out of range");
    }
    const Moment moment = moment_of(unix_seconds);
    std::string expanded;
    for (size_t i = 0; i < format.size(); ++i) {
        const bool pair = format[i] == '%' && i + 1 < format.size();
        const std::string_view expansion = pair ? expansion_of(format[i + 1]) : std::string_view{};
        expanded += !expansion.empty() ? expansion : format.substr(i, pair ? 2 : 1);
        i += pair ? 1 : 0;
    }
    std::string out;
    for (size_t i = 0; i < expanded.size() && state.step(); ++i) {
        if (expanded[i] != '%') {
            out.push_back(expanded[i]);
            continue;
        }
        const bool unpadded = i + 1 < expanded.size() && expanded[i + 1] == '-';
        i += unpadded ? 2 : 1;
        if (i >= expanded.size() || !append_conversion(out, moment, expanded[i], unpadded)) {
            return state.fail(ErrorCode::kUnsupported, "strftime_now: the format \"" +
                                                           std::string(format.substr(0, 64)) +
                                                           "\" is not supported");
        }
    }
    return state.text(out);
}

}  // namespace rekindle::runtime::jinja
