#include "runtime/template/builtins.h"
#include "runtime/template/operations.h"

#include <chrono>

namespace rekindle::runtime::jinja {
namespace {

Value function_range(RunState& state, const Arguments& arguments) {
    const BoundArguments bound(state, arguments, "range", {"start", "stop", "step"});
    if (bound[0] == nullptr) {
        return state.bad_argument("range takes one to three integers");
    }
    const bool only_stop = bound[1] == nullptr;
    const int64_t start = only_stop ? 0 : bound.integer_or(0, 0);
    const int64_t stop = only_stop ? bound.integer_or(0, 0) : bound.integer_or(1, 0);
    const int64_t step = bound.integer_or(2, 1);
    if (step == 0) {
        return state.bad_argument("the step of a range is zero");
    }
    std::vector<Value> items;
    // Each number pays its step before it is made, so that a huge range ends the run at once.
    for (int64_t at = start; (step > 0 ? at < stop : at > stop) && state.step();) {
        items.push_back(Value::of(at));
        if (__builtin_add_overflow(at, step, &at)) {
            break;
        }
    }
    return state.list(items);
}

std::vector<Entry> named_entries(const Arguments& arguments) {
    std::vector<Entry> entries;
    const size_t first = arguments.positional().size();
    for (size_t i = 0; i < arguments.names.size(); ++i) {
        entries.push_back({arguments.names[i], arguments.values[first + i]});
    }
    return entries;
}

Value function_namespace(RunState& state, const Arguments& arguments) {
    Value value;
    value.space = state.make(Namespace{std::pmr::vector<Entry>(state.arena())});
    if (value.space == nullptr) {
        return {};
    }
    value.kind = Kind::kNamespace;
    for (const Value& positional : arguments.positional()) {
        if (!positional.is_dict()) {
            return state.bad_argument("namespace takes a mapping and named values");
        }
        value.space->attributes.assign(positional.pairs().begin(), positional.pairs().end());
    }
    for (const Entry& entry : named_entries(arguments)) {
        value.space->attributes.push_back(entry);
    }
    return value;
}

}  // namespace

Value call_function(RunState& state, Function function, const Arguments& arguments) {
    switch (function) {
        case Function::kDict:
            if (!arguments.positional().empty()) {
                return arguments.values.size() == 1 && arguments.values[0].is_dict()
                           ? arguments.values[0]
                           : state.fail(ErrorCode::kUnsupported,
                                        "dict() of other values is not supported");
            }
            return state.dict(named_entries(arguments));
        case Function::kNamespace:
            return function_namespace(state, arguments);
        case Function::kRaiseException: {
            const BoundArguments bound(state, arguments, "raise_exception", {"message"});
            return state.raise(bound[0] == nullptr ? std::string() : to_str(state, *bound[0]));
        }
        case Function::kRange:
            return function_range(state, arguments);
        case Function::kStrftimeNow: {
            const BoundArguments bound(state, arguments, "strftime_now", {"format"});
            return format_time(state, bound.text_or(0, ""), *state.limits().now_unix_s);
        }
        case Function::kEnd:
            break;
    }
    return {};
}

}  // namespace rekindle::runtime::jinja
