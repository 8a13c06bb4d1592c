// Python's operators on values: printing, equality, order, membership, arithmetic, subscripts.
// Threading: one thread; all state is in the RunState.
#pragma once
#include "runtime/template/run_state.h"
#include "runtime/template/table.h"

#include <string>
#include <string_view>

namespace rekindle::runtime::jinja {

// str(value), and repr(value) for what stands within lists and dicts.
void append_str(RunState& state, std::string& out, const Value& value);
std::string to_str(RunState& state, const Value& value);

bool equals(RunState& state, const Value& left, const Value& right);
// left < right; an error when Python has no order for the two.
bool less(RunState& state, const Value& left, const Value& right);
bool contains(RunState& state, const Value& container, const Value& item);
bool compare(RunState& state, Comparison comparison, const Value& left, const Value& right);

Value add(RunState& state, const Value& left, const Value& right);
Value arithmetic(RunState& state, Arithmetic op, const Value& left, const Value& right);
Value negate(RunState& state, const Value& operand);

// object.name and object[key]; undefined when there is no such thing, an error on an undefined
// object.
Value attribute(RunState& state, const Value& object, std::string_view name);
Value subscript(RunState& state, const Value& object, const Value& key);
Value slice(RunState& state, const Value& object, std::span<const Value, 3> parts);

// What a loop over the value goes through: elements, keys, characters. An error for a number.
std::span<const Value> iterate(RunState& state, const Value& value);
bool is_iterable(const Value& value) noexcept;
// len(value); an error for what has none.
int64_t length(RunState& state, const Value& value);

}  // namespace rekindle::runtime::jinja
