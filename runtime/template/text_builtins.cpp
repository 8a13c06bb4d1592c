#include "base/utf8.h"
#include "runtime/template/builtins.h"
#include "runtime/template/operations.h"
#include "runtime/template/text.h"

#include <algorithm>
#include <charconv>
#include <limits>

namespace rekindle::runtime::jinja {
namespace {

// Where Jinja's title filter begins a new word: white space and these.
bool begins_word_after(uint32_t codepoint) noexcept {
    return codepoint == '-' || codepoint == '(' || codepoint == '{' || codepoint == '[' ||
           codepoint == '<' || is_python_space(codepoint);
}

bool all_cased(std::string_view text, bool upper) noexcept {
    bool any = false;
    while (!text.empty()) {
        const DecodedCodepoint next = decode_utf8(text);
        const bool is_upper = to_lower(next.codepoint) != next.codepoint;
        const bool is_lower = to_upper(next.codepoint) != next.codepoint;
        if (upper ? is_lower : is_upper) {
            return false;
        }
        any = any || is_upper || is_lower;
        text.remove_prefix(next.bytes);
    }
    return any;
}

}  // namespace

bool is_upper_text(std::string_view text) noexcept {
    return all_cased(text, true);
}

bool is_lower_text(std::string_view text) noexcept {
    return all_cased(text, false);
}

Value change_case(RunState& state, std::string_view text, CaseChange change) {
    if (!state.charge(text.size() / 8)) {
        return {};
    }
    std::string out;
    out.reserve(text.size());
    bool first = true;
    while (!text.empty()) {
        const DecodedCodepoint next = decode_utf8(text);
        if (change == CaseChange::kUpper) {
            append_upper(out, next.codepoint);
        } else {
            append_utf8(out, first && change != CaseChange::kLower ? to_upper(next.codepoint)
                                                                   : to_lower(next.codepoint));
        }
        switch (change) {
            case CaseChange::kTitleMethod:
                first = !is_cased(next.codepoint);
                break;
            case CaseChange::kTitleFilter:
                first = begins_word_after(next.codepoint);
                break;
            default:
                first = false;
                break;
        }
        text.remove_prefix(next.bytes);
    }
    return state.text(out);
}

Value replace_text(RunState& state, std::string_view text, std::string_view from,
                   std::string_view to, int64_t count_max) {
    const uint64_t limit =
        count_max < 0 ? std::numeric_limits<uint64_t>::max() : static_cast<uint64_t>(count_max);
    std::string out;
    uint64_t count = 0;
    size_t at = 0;
    while (count < limit && state.charge(1 + to.size() / kBytesPerStep)) {
        // An empty text stands before every character and at the end.
        const size_t found = from.empty() ? at : text.find(from, at);
        if (found == std::string_view::npos || out.size() > state.limits().output_bytes_max) {
            break;
        }
        out += text.substr(at, found - at);
        out += to;
        ++count;
        at = found + from.size();
        if (from.empty()) {
            if (at >= text.size()) {
                break;
            }
            const size_t bytes = first_character_bytes(text.substr(at));
            out += text.substr(at, bytes);
            at += bytes;
        }
    }
    out += text.substr(std::min(at, text.size()));
    return state.text(out);
}

Value dict_items(RunState& state, const Value& dict) {
    std::vector<Value> items;
    for (const Entry& entry : dict.pairs()) {
        const std::array<Value, 2> pair{Value::text(entry.key), entry.value};
        items.push_back(state.tuple(pair));
    }
    return state.list(items);
}

Value attribute_path(RunState& state, const Value& value, const Value& path) {
    if (!path.is_string()) {
        return subscript(state, value, path);
    }
    Value current = value;
    std::string_view rest = path.view();
    while (!state.failed()) {
        const size_t dot = rest.find('.');
        const std::string_view part = rest.substr(0, dot);
        int64_t index = 0;
        const auto parsed = std::from_chars(part.data(), part.data() + part.size(), index);
        const bool number =
            !part.empty() && parsed.ec == std::errc() && parsed.ptr == part.data() + part.size();
        current = subscript(state, current, number ? Value::of(index) : Value::text(part));
        if (dot == std::string_view::npos) {
            break;
        }
        rest.remove_prefix(dot + 1);
    }
    return current;
}

}  // namespace rekindle::runtime::jinja
