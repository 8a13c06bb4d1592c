#include "runtime/template/operations.h"
#include "runtime/template/text.h"

#include <algorithm>
#include <limits>

namespace rekindle::runtime::jinja {
namespace {

Value undefined_error(RunState& state, const Value& object) {
    return state.bad_argument("'" + std::string(object.view()) + "' is undefined");
}

// Names that Python's own objects have hide the keys of a dict behind a dot.
bool is_dict_method(std::string_view name) noexcept {
    constexpr auto kNames = std::to_array<std::string_view>({
        "clear",
        "copy",
        "fromkeys",
        "get",
        "items",
        "keys",
        "pop",
        "popitem",
        "setdefault",
        "update",
        "values",
    });
    return std::find(kNames.begin(), kNames.end(), name) != kNames.end();
}

Value loop_attribute(const LoopState& loop, std::string_view name) {
    const auto count = static_cast<int64_t>(loop.items.size());
    const auto index = static_cast<int64_t>(loop.index);
    if (name == "index" || name == "index0") {
        return Value::of(index + (name == "index" ? 1 : 0));
    }
    if (name == "first") {
        return Value::of(index == 0);
    }
    if (name == "last") {
        return Value::of(index + 1 == count);
    }
    if (name == "length") {
        return Value::of(count);
    }
    if (name == "revindex" || name == "revindex0") {
        return Value::of(count - index - (name == "revindex" ? 0 : 1));
    }
    if (name == "depth" || name == "depth0") {
        // Jinja counts recursive loops only, which are refused here.
        return Value::of(int64_t{name == "depth" ? 1 : 0});
    }
    if (name == "previtem") {
        return index == 0 ? Value::undefined("there is no previous item")
                          : loop.items[loop.index - 1];
    }
    if (name == "nextitem") {
        return index + 1 == count ? Value::undefined("there is no next item")
                                  : loop.items[loop.index + 1];
    }
    return Value::undefined(name);
}

Value element(RunState& state, const Value& object, int64_t index) {
    if (object.is_string()) {
        if (!state.charge_bytes(object.size)) {
            return {};
        }
        const std::string_view text = object.view();
        const int64_t count = length(state, object);
        const int64_t at = index < 0 ? index + count : index;
        if (at < 0 || at >= count) {
            return Value::undefined("an index out of range");
        }
        const std::string_view rest = text.substr(codepoint_offset(text, static_cast<size_t>(at)));
        return Value::text(rest.substr(0, first_character_bytes(rest)));
    }
    const int64_t at = index < 0 ? index + int64_t{object.size} : index;
    if (at < 0 || at >= int64_t{object.size}) {
        return Value::undefined("an index out of range");
    }
    return object.items()[static_cast<size_t>(at)];
}

struct SliceRange {
    int64_t start;
    int64_t stop;
    int64_t step;
};

// Python's slice.indices: bounds within [0, count], or [-1, count - 1] when stepping back.
bool slice_range(RunState& state, std::span<const Value, 3> parts, int64_t count,
                 SliceRange& range) {
    for (const Value& part : parts) {
        if (part.kind != Kind::kNone && !part.is_integral()) {
            state.bad_argument("a slice takes integers, not a " + std::string(type_name(part)));
            return false;
        }
    }
    range.step = parts[2].kind == Kind::kNone ? 1 : parts[2].as_integer();
    if (range.step == 0 || range.step == std::numeric_limits<int64_t>::min()) {
        state.bad_argument("the step of a slice is zero or out of range");
        return false;
    }
    const bool back = range.step < 0;
    const int64_t low = back ? -1 : 0;
    const int64_t high = back ? count - 1 : count;
    const auto bound = [&](const Value& part, int64_t missing) {
        if (part.kind == Kind::kNone) {
            return missing;
        }
        const int64_t at = part.as_integer();
        return std::clamp(at < 0 ? at + count : at, low, high);
    };
    range.start = bound(parts[0], back ? high : low);
    range.stop = bound(parts[1], back ? low : high);
    return true;
}

// Positions of a slice, each once.
template <typename Visit>
void visit_slice(const SliceRange& range, Visit visit) {
    for (int64_t at = range.start; range.step > 0 ? at < range.stop : at > range.stop;) {
        visit(static_cast<size_t>(at));
        if (__builtin_add_overflow(at, range.step, &at)) {
            break;
        }
    }
}

Value slice_text(RunState& state, std::string_view text, const SliceRange& range) {
    if (range.step == 1) {
        if (range.start >= range.stop) {
            return Value::text("");
        }
        const size_t begin = codepoint_offset(text, static_cast<size_t>(range.start));
        const size_t bytes =
            codepoint_offset(text.substr(begin), static_cast<size_t>(range.stop - range.start));
        return Value::text(text.substr(begin, bytes));
    }
    const std::span<const Value> characters = iterate(state, Value::text(text));
    std::string out;
    if (!state.failed()) {
        visit_slice(range, [&](size_t at) { out += characters[at].view(); });
    }
    return state.text(out);
}

}  // namespace

Value attribute(RunState& state, const Value& object, std::string_view name) {
    switch (object.kind) {
        case Kind::kUndefined:
            return undefined_error(state, object);
        case Kind::kDict: {
            if (is_dict_method(name)) {
                return Value::method(name);
            }
            state.charge(object.size / 8);
            const Value* found = find_entry(object.pairs(), name);
            return found != nullptr ? *found : Value::undefined(name);
        }
        case Kind::kNamespace: {
            const Value* found = find_entry(object.space->attributes, name);
            return found != nullptr ? *found : Value::undefined(name);
        }
        case Kind::kLoop:
            return loop_attribute(*object.loop, name);
        case Kind::kString:
            return find_method(name) ? Value::method(name) : Value::undefined(name);
        default:
            return Value::undefined(name);
    }
}

Value subscript(RunState& state, const Value& object, const Value& key) {
    if (object.is_undefined()) {
        return undefined_error(state, object);
    }
    if (key.is_string()) {
        if (object.is_dict()) {
            state.charge(object.size / 8);
            if (const Value* found = find_entry(object.pairs(), key.view())) {
                return *found;
            }
        }
        return attribute(state, object, key.view());
    }
    if (key.is_integral() && (object.is_string() || object.is_sequence())) {
        return element(state, object, key.as_integer());
    }
    return Value::undefined("an element");
}

Value slice(RunState& state, const Value& object, std::span<const Value, 3> parts) {
    if (object.is_undefined()) {
        return undefined_error(state, object);
    }
    if (!object.is_string() && !object.is_sequence()) {
        return Value::undefined("a slice");
    }
    const int64_t count = length(state, object);
    SliceRange range{};
    if (!slice_range(state, parts, count, range)) {
        return {};
    }
    if (object.is_string()) {
        return slice_text(state, object.view(), range);
    }
    if (range.step == 1) {
        const auto start = static_cast<size_t>(range.start);
        const auto size = static_cast<size_t>(std::max(range.stop, range.start)) - start;
        const auto items = object.items().subspan(start, size);
        return object.kind == Kind::kTuple ? Value::tuple(items) : Value::list(items);
    }
    std::vector<Value> items;
    visit_slice(range, [&](size_t at) { items.push_back(object.items()[at]); });
    return object.kind == Kind::kTuple ? state.tuple(items) : state.list(items);
}

}  // namespace rekindle::runtime::jinja
