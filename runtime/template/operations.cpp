#include "runtime/template/operations.h"

#include "runtime/template/text.h"

#include <algorithm>

namespace rekindle::runtime::jinja {
namespace {

void append_value_repr(RunState& state, std::string& out, const Value& value);

void append_items(RunState& state, std::string& out, std::span<const Value> items) {
    for (size_t i = 0; i < items.size() && !state.failed(); ++i) {
        out += i == 0 ? "" : ", ";
        append_value_repr(state, out, items[i]);
    }
}

void append_dict(RunState& state, std::string& out, std::span<const Entry> entries) {
    out.push_back('{');
    for (size_t i = 0; i < entries.size() && !state.failed(); ++i) {
        out += i == 0 ? "" : ", ";
        append_repr(out, entries[i].key);
        out += ": ";
        append_value_repr(state, out, entries[i].value);
    }
    out.push_back('}');
}

void append_value_repr(RunState& state, std::string& out, const Value& value) {
    if (!state.step()) {
        return;
    }
    if (value.is_string()) {
        state.charge_bytes(value.size);
        append_repr(out, value.view());
    } else if (value.is_undefined()) {
        out += "Undefined";
    } else {
        append_str(state, out, value);
    }
}

bool equal_items(RunState& state, std::span<const Value> left, std::span<const Value> right) {
    if (left.size() != right.size()) {
        return false;
    }
    for (size_t i = 0; i < left.size(); ++i) {
        if (!equals(state, left[i], right[i])) {
            return false;
        }
    }
    return true;
}

bool equal_dicts(RunState& state, std::span<const Entry> left, std::span<const Entry> right) {
    if (left.size() != right.size()) {
        return false;
    }
    for (const Entry& entry : left) {
        if (!state.charge(1 + right.size() / 8)) {
            return false;
        }
        const Value* other = find_entry(right, entry.key);
        if (other == nullptr || !equals(state, entry.value, *other)) {
            return false;
        }
    }
    return true;
}

bool equal_numbers(const Value& left, const Value& right) noexcept {
    return left.is_integral() && right.is_integral() ? left.as_integer() == right.as_integer()
                                                     : left.as_real() == right.as_real();
}

}  // namespace

void append_str(RunState& state, std::string& out, const Value& value) {
    const RunState::Descent descent(state);
    if (!descent) {
        return;
    }
    switch (value.kind) {
        case Kind::kUndefined:
            break;
        case Kind::kNone:
            out += "None";
            break;
        case Kind::kBool:
            out += value.boolean ? "True" : "False";
            break;
        case Kind::kInt:
            out += std::to_string(value.integer);
            break;
        case Kind::kFloat:
            append_double(out, value.real);
            break;
        case Kind::kString:
            state.charge_bytes(value.size);
            out += value.view();
            break;
        case Kind::kList:
            out.push_back('[');
            append_items(state, out, value.items());
            out.push_back(']');
            break;
        case Kind::kTuple:
            out.push_back('(');
            append_items(state, out, value.items());
            out += value.size == 1 ? ",)" : ")";
            break;
        case Kind::kDict:
            append_dict(state, out, value.pairs());
            break;
        default:
            state.fail(ErrorCode::kUnsupported,
                       "printing a " + std::string(type_name(value)) + " is not supported");
            break;
    }
    if (out.size() > state.limits().output_bytes_max) {
        state.fail(ErrorCode::kTooLarge,
                   "a text exceeds " + std::to_string(state.limits().output_bytes_max) + " bytes");
    }
}

std::string to_str(RunState& state, const Value& value) {
    std::string out;
    append_str(state, out, value);
    return out;
}

bool equals(RunState& state, const Value& left, const Value& right) {
    const RunState::Descent descent(state);
    if (!descent || !state.step()) {
        return false;
    }
    if (left.is_number() && right.is_number()) {
        return equal_numbers(left, right);
    }
    if (left.kind != right.kind) {
        return false;
    }
    switch (left.kind) {
        case Kind::kUndefined:
        case Kind::kNone:
            return true;
        case Kind::kString:
            state.charge_bytes(left.size == right.size ? left.size : 0);
            return left.view() == right.view();
        case Kind::kList:
        case Kind::kTuple:
            return equal_items(state, left.items(), right.items());
        case Kind::kDict:
            return equal_dicts(state, left.pairs(), right.pairs());
        default:
            return left.integer == right.integer;  // The same object.
    }
}

bool less(RunState& state, const Value& left, const Value& right) {
    const RunState::Descent descent(state);
    if (!descent || !state.step()) {
        return false;
    }
    if (left.is_integral() && right.is_integral()) {
        return left.as_integer() < right.as_integer();
    }
    if (left.is_number() && right.is_number()) {
        return left.as_real() < right.as_real();
    }
    if (left.is_string() && right.is_string()) {
        state.charge_bytes(std::min(left.size, right.size));
        return left.view() < right.view();
    }
    if (left.is_sequence() && left.kind == right.kind) {
        const size_t common = std::min(left.size, right.size);
        for (size_t i = 0; i < common; ++i) {
            if (!equals(state, left.items()[i], right.items()[i])) {
                return less(state, left.items()[i], right.items()[i]);
            }
        }
        return left.size < right.size;
    }
    state.bad_argument("a " + std::string(type_name(left)) + " and a " +
                       std::string(type_name(right)) + " have no order");
    return false;
}

bool contains(RunState& state, const Value& container, const Value& item) {
    switch (container.kind) {
        case Kind::kUndefined:
            return false;
        case Kind::kString:
            if (!item.is_string()) {
                state.bad_argument("a text can contain only texts, not a " +
                                   std::string(type_name(item)));
                return false;
            }
            state.charge_bytes(container.size);
            return container.view().find(item.view()) != std::string_view::npos;
        case Kind::kList:
        case Kind::kTuple:
            return std::any_of(container.items().begin(), container.items().end(),
                               [&](const Value& other) { return equals(state, other, item); });
        case Kind::kDict:
            state.charge(1 + container.size / 8);
            return item.is_string() && find_entry(container.pairs(), item.view()) != nullptr;
        default:
            state.bad_argument("'in' does not work with a " + std::string(type_name(container)));
            return false;
    }
}

bool compare(RunState& state, Comparison comparison, const Value& left, const Value& right) {
    switch (comparison) {
        case Comparison::kEqual:
            return equals(state, left, right);
        case Comparison::kNotEqual:
            return !equals(state, left, right);
        case Comparison::kLess:
            return less(state, left, right);
        case Comparison::kLessEqual:
            return less(state, left, right) || equals(state, left, right);
        case Comparison::kGreater:
            return less(state, right, left);
        case Comparison::kGreaterEqual:
            return less(state, right, left) || equals(state, left, right);
        case Comparison::kIn:
            return contains(state, right, left);
        case Comparison::kNotIn:
            return !contains(state, right, left);
        case Comparison::kEnd:
            break;
    }
    return false;
}

bool is_iterable(const Value& value) noexcept {
    return value.is_sequence() || value.is_dict() || value.is_string() || value.is_undefined() ||
           value.kind == Kind::kLoop;
}

std::span<const Value> iterate(RunState& state, const Value& value) {
    if (value.is_sequence()) {
        return value.items();
    }
    std::vector<Value> items;
    if (value.is_dict()) {
        for (const Entry& entry : value.pairs()) {
            items.push_back(Value::text(entry.key));
        }
    } else if (value.is_string()) {
        if (!state.charge(value.size)) {
            return {};
        }
        for (std::string_view rest = value.view(); !rest.empty();) {
            const size_t bytes = first_character_bytes(rest);
            items.push_back(Value::text(rest.substr(0, bytes)));
            rest.remove_prefix(bytes);
        }
    } else if (!value.is_undefined()) {
        state.bad_argument("a " + std::string(type_name(value)) + " cannot be iterated over");
    }
    const Value list = state.list(items);
    return list.is_sequence() ? list.items() : std::span<const Value>{};
}

int64_t length(RunState& state, const Value& value) {
    switch (value.kind) {
        case Kind::kUndefined:
            return 0;
        case Kind::kString:
            state.charge_bytes(value.size);
            return static_cast<int64_t>(count_codepoints(value.view()));
        case Kind::kList:
        case Kind::kTuple:
        case Kind::kDict:
            return value.size;
        case Kind::kLoop:
            return static_cast<int64_t>(value.loop->items.size());
        default:
            state.bad_argument("a " + std::string(type_name(value)) + " has no length");
            return 0;
    }
}

}  // namespace rekindle::runtime::jinja
