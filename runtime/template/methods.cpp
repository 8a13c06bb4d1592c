#include "runtime/template/builtins.h"
#include "runtime/template/operations.h"
#include "runtime/template/text.h"

#include <algorithm>
#include <limits>

namespace rekindle::runtime::jinja {
namespace {

Value missing_method(RunState& state, Method method, const Value& object) {
    const std::string name(method_name(method));
    if (object.is_undefined()) {
        return state.bad_argument("'" + std::string(object.view()) + "' is undefined");
    }
    return state.bad_argument("a " + std::string(type_name(object)) + " has no method " + name);
}

Value strip(RunState& state, std::string_view text, Method method, const Arguments& arguments) {
    const BoundArguments bound(state, arguments, method_name(method), {"chars"});
    state.charge(text.size() / 8);
    const std::string_view characters = bound.text_or(0, "");
    if (method != Method::kRstrip) {
        text = bound.has(0) ? trim_left_of(text, characters) : trim_left(text);
    }
    if (method != Method::kLstrip) {
        text = bound.has(0) ? trim_right_of(text, characters) : trim_right(text);
    }
    return Value::text(text);
}

// split() without a separator: runs of white space part the words.
Value split_words(RunState& state, std::string_view text, uint64_t splits_max) {
    std::vector<Value> parts;
    text = trim_left(text);
    while (!text.empty() && state.step()) {
        if (parts.size() == splits_max) {
            parts.push_back(Value::text(trim_right(text)));
            break;
        }
        size_t end = 0;
        while (end < text.size() && leading_space_bytes(text.substr(end)) == 0) {
            end += first_character_bytes(text.substr(end));
        }
        parts.push_back(Value::text(text.substr(0, end)));
        text = trim_left(text.substr(end));
    }
    return state.list(parts);
}

Value split_right(RunState& state, std::string_view text, std::string_view separator,
                  uint64_t splits_max) {
    std::vector<Value> parts;
    while (parts.size() < splits_max && state.step()) {
        const size_t found = text.rfind(separator);
        if (found == std::string_view::npos) {
            break;
        }
        parts.push_back(Value::text(text.substr(found + separator.size())));
        text = text.substr(0, found);
    }
    parts.push_back(Value::text(text));
    std::reverse(parts.begin(), parts.end());
    return state.list(parts);
}

Value split_left(RunState& state, std::string_view text, std::string_view separator,
                 uint64_t splits_max) {
    std::vector<Value> parts;
    while (parts.size() < splits_max && state.step()) {
        const size_t found = text.find(separator);
        if (found == std::string_view::npos) {
            break;
        }
        parts.push_back(Value::text(text.substr(0, found)));
        text.remove_prefix(found + separator.size());
    }
    parts.push_back(Value::text(text));
    return state.list(parts);
}

Value split(RunState& state, std::string_view text, Method method, const Arguments& arguments) {
    const BoundArguments bound(state, arguments, method_name(method), {"sep", "maxsplit"});
    const int64_t limit = bound.integer_or(1, -1);
    const uint64_t splits_max =
        limit < 0 ? std::numeric_limits<uint64_t>::max() : static_cast<uint64_t>(limit);
    state.charge_bytes(text.size());
    if (!bound.has(0)) {
        return method == Method::kSplit || limit < 0
                   ? split_words(state, text, splits_max)
                   : state.fail(ErrorCode::kUnsupported,
                                "rsplit by white space with a limit is not supported");
    }
    const std::string_view separator = bound.text_or(0, " ");
    if (separator.empty()) {
        return state.bad_argument("split by an empty separator");
    }
    return method == Method::kSplit ? split_left(state, text, separator, splits_max)
                                    : split_right(state, text, separator, splits_max);
}

Value splitlines(RunState& state, std::string_view text, const Arguments& arguments) {
    const BoundArguments bound(state, arguments, "splitlines", {"keepends"});
    const bool keep = bound.truth_or(0, false);
    std::vector<Value> lines;
    while (!text.empty() && state.step()) {
        const size_t end = std::min(text.find_first_of("\n\r"), text.size());
        const size_t mark = end == text.size() ? 0 : text.substr(end).starts_with("\r\n") ? 2 : 1;
        lines.push_back(Value::text(text.substr(0, keep ? end + mark : end)));
        text.remove_prefix(end + mark);
    }
    return state.list(lines);
}

// startswith and endswith take one text or a tuple of them.
Value has_affix(RunState& state, std::string_view text, Method method, const Arguments& arguments) {
    const BoundArguments bound(state, arguments, method_name(method), {"affix"});
    const auto matches = [&](const Value& affix) {
        if (!affix.is_string()) {
            state.bad_argument(std::string(method_name(method)) + " takes a text, not a " +
                               std::string(type_name(affix)));
            return false;
        }
        return method == Method::kStartswith ? text.starts_with(affix.view())
                                             : text.ends_with(affix.view());
    };
    if (bound[0] == nullptr) {
        return state.bad_argument(std::string(method_name(method)) + " takes one argument");
    }
    if (bound[0]->kind != Kind::kTuple) {
        return Value::of(matches(*bound[0]));
    }
    const auto affixes = bound[0]->items();
    return Value::of(std::any_of(affixes.begin(), affixes.end(), matches));
}

Value find_text(RunState& state, std::string_view text, Method method, const Arguments& arguments) {
    const BoundArguments bound(state, arguments, method_name(method), {"sub"});
    const std::string_view part = bound.text_or(0, "");
    state.charge_bytes(text.size());
    if (method == Method::kCount) {
        int64_t count = 0;
        for (size_t at = text.find(part); !part.empty() && at != std::string_view::npos;
             at = text.find(part, at + part.size())) {
            ++count;
        }
        return Value::of(part.empty() ? static_cast<int64_t>(count_codepoints(text)) + 1 : count);
    }
    const size_t found = method == Method::kRfind ? text.rfind(part) : text.find(part);
    if (found == std::string_view::npos) {
        return method == Method::kIndex ? state.bad_argument("index: the text is not there")
                                        : Value::of(int64_t{-1});
    }
    return Value::of(static_cast<int64_t>(count_codepoints(text.substr(0, found))));
}

Value partition(RunState& state, std::string_view text, Method method, const Arguments& arguments) {
    const BoundArguments bound(state, arguments, method_name(method), {"sep"});
    const std::string_view separator = bound.text_or(0, "");
    if (separator.empty()) {
        return state.bad_argument("partition by an empty separator");
    }
    const bool last = method == Method::kRpartition;
    const size_t found = last ? text.rfind(separator) : text.find(separator);
    if (found == std::string_view::npos) {
        const Value whole = Value::text(text);
        const Value empty = Value::text("");
        return state.tuple(last ? std::array{empty, empty, whole}
                                : std::array{whole, empty, empty});
    }
    return state.tuple(std::array{Value::text(text.substr(0, found)), Value::text(separator),
                                  Value::text(text.substr(found + separator.size()))});
}

Value remove_affix(RunState& state, std::string_view text, Method method,
                   const Arguments& arguments) {
    const BoundArguments bound(state, arguments, method_name(method), {"affix"});
    const std::string_view affix = bound.text_or(0, "");
    if (method == Method::kRemoveprefix && text.starts_with(affix)) {
        text.remove_prefix(affix.size());
    } else if (method == Method::kRemovesuffix && text.ends_with(affix)) {
        text.remove_suffix(affix.size());
    }
    return Value::text(text);
}

Value replace(RunState& state, std::string_view text, const Arguments& arguments) {
    const BoundArguments bound(state, arguments, "replace", {"old", "new", "count"});
    if (bound[0] == nullptr || bound[1] == nullptr) {
        return state.bad_argument("replace takes the old and the new text");
    }
    return replace_text(state, text, bound.text_or(0, ""), bound.text_or(1, ""),
                        bound.integer_or(2, -1));
}

Value join(RunState& state, std::string_view separator, const Arguments& arguments) {
    const BoundArguments bound(state, arguments, "join", {"iterable"});
    std::string out;
    bool first = true;
    for (const Value& item : iterate(state, bound[0] == nullptr ? Value{} : *bound[0])) {
        if (!item.is_string()) {
            return state.bad_argument("join takes texts, not a " + std::string(type_name(item)));
        }
        state.charge(1 + separator.size() / kBytesPerStep);
        out += first ? std::string_view{} : separator;
        first = false;
        append_str(state, out, item);
        if (state.failed()) {
            return {};
        }
    }
    return state.text(out);
}

Value text_method(RunState& state, Method method, const Value& object, const Arguments& arguments) {
    const std::string_view text = object.view();
    switch (method) {
        case Method::kCapitalize:
            return change_case(state, text, CaseChange::kCapitalize);
        case Method::kUpper:
            return change_case(state, text, CaseChange::kUpper);
        case Method::kLower:
            return change_case(state, text, CaseChange::kLower);
        case Method::kTitle:
            return change_case(state, text, CaseChange::kTitleMethod);
        case Method::kStrip:
        case Method::kLstrip:
        case Method::kRstrip:
            return strip(state, text, method, arguments);
        case Method::kSplit:
        case Method::kRsplit:
            return split(state, text, method, arguments);
        case Method::kSplitlines:
            return splitlines(state, text, arguments);
        case Method::kStartswith:
        case Method::kEndswith:
            return has_affix(state, text, method, arguments);
        case Method::kCount:
        case Method::kFind:
        case Method::kRfind:
        case Method::kIndex:
            return find_text(state, text, method, arguments);
        case Method::kPartition:
        case Method::kRpartition:
            return partition(state, text, method, arguments);
        case Method::kRemoveprefix:
        case Method::kRemovesuffix:
            return remove_affix(state, text, method, arguments);
        case Method::kReplace:
            return replace(state, text, arguments);
        case Method::kJoin:
            return join(state, text, arguments);
        case Method::kIsdigit:
            return Value::of(!text.empty() &&
                             text.find_first_not_of("0123456789") == std::string_view::npos);
        case Method::kIsspace:
            return Value::of(!text.empty() && leading_space_bytes(text) == text.size());
        case Method::kIsupper:
            return Value::of(is_upper_text(text));
        case Method::kIslower:
            return Value::of(is_lower_text(text));
        default:
            return missing_method(state, method, object);
    }
}

Value dict_method(RunState& state, Method method, const Value& object, const Arguments& arguments) {
    switch (method) {
        case Method::kItems:
            return dict_items(state, object);
        case Method::kKeys:
            return state.list(iterate(state, object));
        case Method::kValues: {
            std::vector<Value> values;
            for (const Entry& entry : object.pairs()) {
                values.push_back(entry.value);
            }
            return state.list(values);
        }
        case Method::kGet: {
            const BoundArguments bound(state, arguments, "get", {"key", "default"});
            state.charge(object.size / 8);
            const Value* found = bound[0] != nullptr && bound[0]->is_string()
                                     ? find_entry(object.pairs(), bound[0]->view())
                                     : nullptr;
            if (found != nullptr) {
                return *found;
            }
            return bound[1] == nullptr ? Value::none() : *bound[1];
        }
        default:
            return missing_method(state, method, object);
    }
}

Value list_method(RunState& state, Method method, const Value& object, const Arguments& arguments) {
    const bool counts = method == Method::kCount;
    if (!counts && method != Method::kIndex) {
        return missing_method(state, method, object);
    }
    const BoundArguments bound(state, arguments, method_name(method), {"value"});
    int64_t count = 0;
    for (size_t i = 0; i < object.size && bound[0] != nullptr; ++i) {
        if (equals(state, object.items()[i], *bound[0])) {
            if (!counts) {
                return Value::of(static_cast<int64_t>(i));
            }
            ++count;
        }
    }
    return counts ? Value::of(count) : state.bad_argument("index: the value is not there");
}

}  // namespace

Value call_method(RunState& state, Method method, const Value& object, const Arguments& arguments) {
    switch (object.kind) {
        case Kind::kString:
            return text_method(state, method, object, arguments);
        case Kind::kDict:
            return dict_method(state, method, object, arguments);
        case Kind::kList:
        case Kind::kTuple:
            return list_method(state, method, object, arguments);
        case Kind::kLoop:
            if (method == Method::kCycle && !arguments.values.empty()) {
                return arguments.values[object.loop->index % arguments.values.size()];
            }
            return missing_method(state, method, object);
        default:
            return missing_method(state, method, object);
    }
}

}  // namespace rekindle::runtime::jinja
