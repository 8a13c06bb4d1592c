#include "runtime/template/builtins.h"
#include "runtime/template/operations.h"
#include "runtime/template/text.h"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace rekindle::runtime::jinja {
namespace {

std::string_view text_of(RunState& state, const Value& value) {
    if (value.is_string()) {
        return value.view();
    }
    const Value text = state.text(to_str(state, value));
    return text.is_string() ? text.view() : std::string_view{};
}

Value filter_trim(RunState& state, const Value& input, const Arguments& arguments) {
    const BoundArguments bound(state, arguments, "trim", {"chars"});
    const std::string_view text = text_of(state, input);
    state.charge_bytes(text.size());
    if (!bound.has(0)) {
        return Value::text(trim_right(trim_left(text)));
    }
    const std::string_view characters = bound.text_or(0, "");
    state.charge(text.size() / 8);
    return Value::text(trim_right_of(trim_left_of(text, characters), characters));
}

Value filter_default(RunState& state, const Value& input, const Arguments& arguments) {
    const BoundArguments bound(state, arguments, "default", {"default_value", "boolean"});
    const bool missing = input.is_undefined() || (bound.truth_or(1, false) && !input.truthy());
    if (!missing) {
        return input;
    }
    return bound[0] == nullptr ? Value::text("") : *bound[0];
}

Value filter_edge(RunState& state, const Value& input, bool last) {
    const std::span<const Value> items = iterate(state, input);
    if (items.empty()) {
        return Value::undefined(last ? "the last item of an empty sequence"
                                     : "the first item of an empty sequence");
    }
    return last ? items.back() : items.front();
}

Value filter_int(RunState& state, const Value& input, const Arguments& arguments) {
    if (input.is_undefined()) {
        return state.bad_argument("'" + std::string(input.view()) + "' is undefined");
    }
    const BoundArguments bound(state, arguments, "int", {"default", "base"});
    const Value otherwise = bound[0] == nullptr ? Value::of(int64_t{0}) : *bound[0];
    if (input.is_integral()) {
        return Value::of(input.as_integer());
    }
    double real = 0;
    if (input.kind == Kind::kFloat) {
        real = input.real;
    } else if (input.is_string()) {
        const std::string_view text = trim_right(trim_left(input.view()));
        const char* begin = text.data() + (text.starts_with('+') ? 1 : 0);
        const char* end = text.data() + text.size();
        int64_t value = 0;
        const auto whole =
            std::from_chars(begin, end, value,
                            static_cast<int>(std::clamp<int64_t>(bound.integer_or(1, 10), 2, 36)));
        if (begin != end && whole.ec == std::errc() && whole.ptr == end) {
            return Value::of(value);
        }
        const auto parsed = std::from_chars(begin, end, real);
        if (begin == end || parsed.ec != std::errc() || parsed.ptr != end) {
            return otherwise;
        }
    } else {
        return otherwise;
    }
    constexpr double kLimit = 9.2e18;
    return std::fabs(real) < kLimit ? Value::of(static_cast<int64_t>(real)) : otherwise;
}

Value filter_float(RunState& state, const Value& input, const Arguments& arguments) {
    if (input.is_undefined()) {
        return state.bad_argument("'" + std::string(input.view()) + "' is undefined");
    }
    const BoundArguments bound(state, arguments, "float", {"default"});
    if (input.is_number()) {
        return Value::of(input.as_real());
    }
    double real = 0;
    if (input.is_string()) {
        const std::string_view text = trim_right(trim_left(input.view()));
        const auto parsed = std::from_chars(text.data(), text.data() + text.size(), real);
        if (!text.empty() && parsed.ec == std::errc() && parsed.ptr == text.data() + text.size()) {
            return Value::of(real);
        }
    }
    return bound[0] == nullptr ? Value::of(0.0) : *bound[0];
}

Value filter_round(RunState& state, const Value& input, const Arguments& arguments) {
    const BoundArguments bound(state, arguments, "round", {"precision", "method"});
    if (!input.is_number()) {
        return state.bad_argument("round takes a number");
    }
    const std::string_view method = bound.text_or(1, "common");
    if (input.is_integral() && method == "common" && bound.integer_or(0, 0) >= 0) {
        return Value::of(input.as_integer());
    }
    const double scale =
        std::pow(10.0, static_cast<double>(std::clamp<int64_t>(bound.integer_or(0, 0), -300, 300)));
    const double scaled = input.as_real() * scale;
    const double rounded = method == "ceil"    ? std::ceil(scaled)
                           : method == "floor" ? std::floor(scaled)
                                               : std::nearbyint(scaled);
    return Value::of(rounded / scale);
}

Value filter_abs(RunState& state, const Value& input) {
    if (!input.is_number()) {
        return state.bad_argument("abs takes a number, not a " + std::string(type_name(input)));
    }
    return input.as_real() < 0         ? negate(state, input)
           : input.kind == Kind::kBool ? Value::of(input.as_integer())
                                       : input;
}

Value filter_reverse(RunState& state, const Value& input) {
    const std::span<const Value> items = iterate(state, input);
    if (input.is_string()) {
        std::string text;
        std::for_each(items.rbegin(), items.rend(),
                      [&](const Value& character) { text += character.view(); });
        return state.text(text);
    }
    return state.list(std::vector<Value>(items.rbegin(), items.rend()));
}

Value filter_replace(RunState& state, const Value& input, const Arguments& arguments) {
    const BoundArguments bound(state, arguments, "replace", {"old", "new", "count"});
    if (bound[0] == nullptr || bound[1] == nullptr) {
        return state.bad_argument("replace takes the old and the new text");
    }
    return replace_text(state, text_of(state, input), text_of(state, *bound[0]),
                        text_of(state, *bound[1]), bound.integer_or(2, -1));
}

Value filter_indent(RunState& state, const Value& input, const Arguments& arguments) {
    const BoundArguments bound(state, arguments, "indent", {"width", "first", "blank"});
    std::string pad;
    if (bound.has(0) && bound[0]->is_string()) {
        pad = bound[0]->view();
    } else {
        pad.assign(static_cast<size_t>(std::clamp<int64_t>(bound.integer_or(0, 4), 0, 1000)), ' ');
    }
    const bool blank = bound.truth_or(2, false);
    std::string_view rest = text_of(state, input);
    std::string out;
    for (bool first = true; state.charge(1 + pad.size() / kBytesPerStep); first = false) {
        const size_t newline = rest.find('\n');
        const std::string_view line = rest.substr(0, newline);
        if (first ? bound.truth_or(1, false) : blank || !line.empty()) {
            out += pad;
        }
        out += line;
        if (newline == std::string_view::npos || out.size() > state.limits().output_bytes_max) {
            break;
        }
        out.push_back('\n');
        rest.remove_prefix(newline + 1);
    }
    return state.text(out);
}

Value filter_tojson(RunState& state, const Value& input, const Arguments& arguments) {
    const BoundArguments bound(state, arguments, "tojson",
                               {"ensure_ascii", "indent", "separators", "sort_keys"});
    JsonStyle style;
    style.ascii = bound.truth_or(0, false);
    style.sorted = bound.truth_or(3, false);
    if (bound.has(1)) {
        style.indent = std::clamp<int64_t>(bound.integer_or(1, 0), 0, 100);
        style.item_separator = ",";
    }
    if (bound.has(2)) {
        const Value& separators = *bound[2];
        if (!separators.is_sequence() || separators.size != 2 ||
            !separators.items()[0].is_string() || !separators.items()[1].is_string()) {
            return state.bad_argument("tojson takes two texts as separators");
        }
        style.item_separator = separators.items()[0].view();
        style.key_separator = separators.items()[1].view();
    }
    return to_json(state, input, style);
}

}  // namespace

Value apply_filter(RunState& state, Filter filter, const Value& input, const Arguments& arguments) {
    switch (filter) {
        case Filter::kAbs:
            return filter_abs(state, input);
        case Filter::kCapitalize:
            return change_case(state, text_of(state, input), CaseChange::kCapitalize);
        case Filter::kDefault:
            return filter_default(state, input, arguments);
        case Filter::kFirst:
        case Filter::kLast:
            return filter_edge(state, input, filter == Filter::kLast);
        case Filter::kFloat:
            return filter_float(state, input, arguments);
        case Filter::kIndent:
            return filter_indent(state, input, arguments);
        case Filter::kInt:
            return filter_int(state, input, arguments);
        case Filter::kItems:
            if (input.is_dict()) {
                return dict_items(state, input);
            }
            return input.is_undefined() ? state.list({})
                                        : state.bad_argument("items takes a mapping");
        case Filter::kLength:
            return Value::of(length(state, input));
        case Filter::kList:
            return state.list(iterate(state, input));
        case Filter::kLower:
            return change_case(state, text_of(state, input), CaseChange::kLower);
        case Filter::kReplace:
            return filter_replace(state, input, arguments);
        case Filter::kReverse:
            return filter_reverse(state, input);
        case Filter::kRound:
            return filter_round(state, input, arguments);
        case Filter::kSafe:
            return input;
        case Filter::kString:
            return input.is_string() ? input : state.text(to_str(state, input));
        case Filter::kTitle:
            return change_case(state, text_of(state, input), CaseChange::kTitleFilter);
        case Filter::kTojson:
            return filter_tojson(state, input, arguments);
        case Filter::kTrim:
            return filter_trim(state, input, arguments);
        case Filter::kUpper:
            return change_case(state, text_of(state, input), CaseChange::kUpper);
        default:
            return apply_sequence_filter(state, filter, input, arguments);
    }
}

}  // namespace rekindle::runtime::jinja
