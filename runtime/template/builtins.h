// The filters, tests, methods and functions of names.h.
// Threading: one thread; all state is in the RunState.
#pragma once
#include "runtime/template/run_state.h"

#include <array>
#include <initializer_list>
#include <span>
#include <string_view>

namespace rekindle::runtime::jinja {

// The values of a call; the last names.size() ones are named.
struct Arguments {
    std::span<const Value> values;
    std::span<const std::string_view> names;

    std::span<const Value> positional() const noexcept {
        return values.first(values.size() - names.size());
    }
};

// The values of a call by parameter; null where none was given.
class BoundArguments {
public:
    // An error for a name that is not among `parameters` (at most 6), or too many values.
    BoundArguments(RunState& state, const Arguments& arguments, std::string_view callee,
                   std::initializer_list<std::string_view> parameters);

    const Value* operator[](size_t index) const noexcept { return values_[index]; }

    bool has(size_t index) const noexcept {
        return values_[index] != nullptr && values_[index]->kind != Kind::kNone;
    }

    // The text of parameter `index`, or `otherwise` when it is absent or none.
    std::string_view text_or(size_t index, std::string_view otherwise) const;
    int64_t integer_or(size_t index, int64_t otherwise) const;
    bool truth_or(size_t index, bool otherwise) const noexcept;

private:
    RunState& state_;
    std::string_view callee_;
    std::array<const Value*, 6> values_{};
};

Value apply_filter(RunState& state, Filter filter, const Value& input, const Arguments& arguments);
// map, select, reject, selectattr, rejectattr, join, sum, sort, unique, dictsort, min, max.
Value apply_sequence_filter(RunState& state, Filter filter, const Value& input,
                            const Arguments& arguments);
bool apply_test(RunState& state, Test test, const Value& input, const Arguments& arguments);
Value call_method(RunState& state, Method method, const Value& object, const Arguments& arguments);
Value call_function(RunState& state, Function function, const Arguments& arguments);

// Text conversions that filters and methods share.
enum class CaseChange : uint8_t { kUpper, kLower, kCapitalize, kTitleMethod, kTitleFilter };
Value change_case(RunState& state, std::string_view text, CaseChange change);
Value replace_text(RunState& state, std::string_view text, std::string_view from,
                   std::string_view to, int64_t count_max);
Value dict_items(RunState& state, const Value& dict);
// value.a.b.0, as attribute= parameters have it.
Value attribute_path(RunState& state, const Value& value, const Value& path);
bool is_upper_text(std::string_view text) noexcept;
bool is_lower_text(std::string_view text) noexcept;

// json.dumps as the reference's tojson calls it.
struct JsonStyle {
    bool ascii = false;
    bool sorted = false;
    int64_t indent = -1;  // Spaces a level; negative: all on one line.
    std::string_view item_separator = ", ";
    std::string_view key_separator = ": ";
};

Value to_json(RunState& state, const Value& value, const JsonStyle& style);

// time.strftime in UTC with English names; an error for a conversion that is not known.
Value format_time(RunState& state, std::string_view format, int64_t unix_seconds);

}  // namespace rekindle::runtime::jinja
