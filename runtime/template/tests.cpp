#include "runtime/template/builtins.h"
#include "runtime/template/operations.h"

namespace rekindle::runtime::jinja {
namespace {

std::optional<Comparison> comparison_of(Test test) noexcept {
    switch (test) {
        case Test::kEqual:
            return Comparison::kEqual;
        case Test::kNotEqual:
            return Comparison::kNotEqual;
        case Test::kLess:
            return Comparison::kLess;
        case Test::kLessEqual:
            return Comparison::kLessEqual;
        case Test::kGreater:
            return Comparison::kGreater;
        case Test::kGreaterEqual:
            return Comparison::kGreaterEqual;
        case Test::kIn:
            return Comparison::kIn;
        default:
            return std::nullopt;
    }
}

// The tests with one argument.
bool binary_test(RunState& state, Test test, const Value& input, const Arguments& arguments) {
    const BoundArguments bound(state, arguments, test_name(test), {"other"});
    if (bound[0] == nullptr) {
        state.bad_argument("the test \"" + std::string(test_name(test)) + "\" takes one argument");
        return false;
    }
    const Value& other = *bound[0];
    if (const std::optional<Comparison> comparison = comparison_of(test)) {
        return compare(state, *comparison, input, other);
    }
    if (test == Test::kSameas) {
        return input.kind == other.kind && equals(state, input, other);
    }
    const Value rest = arithmetic(state, Arithmetic::kModulo, input, other);
    return equals(state, rest, Value::of(int64_t{0}));
}

bool parity_test(RunState& state, const Value& input, int64_t wanted) {
    const Value rest = arithmetic(state, Arithmetic::kModulo, input, Value::of(int64_t{2}));
    return equals(state, rest, Value::of(wanted));
}

bool text_test(RunState& state, Test test, const Value& input) {
    const std::string text = to_str(state, input);
    return test == Test::kUpper ? is_upper_text(text) : is_lower_text(text);
}

}  // namespace

bool apply_test(RunState& state, Test test, const Value& input, const Arguments& arguments) {
    switch (test) {
        case Test::kBoolean:
            return input.kind == Kind::kBool;
        case Test::kCallable:
            return input.kind == Kind::kMacro || input.kind == Kind::kFunction ||
                   input.kind == Kind::kMethod;
        case Test::kDefined:
            return !input.is_undefined();
        case Test::kUndefined:
            return input.is_undefined();
        case Test::kNone:
            return input.kind == Kind::kNone;
        case Test::kTrue:
            return input.kind == Kind::kBool && input.boolean;
        case Test::kFalse:
            return input.kind == Kind::kBool && !input.boolean;
        case Test::kInteger:
            return input.kind == Kind::kInt;
        case Test::kFloat:
            return input.kind == Kind::kFloat;
        case Test::kNumber:
            return input.is_number();
        case Test::kString:
            return input.is_string();
        case Test::kMapping:
            return input.is_dict();
        case Test::kIterable:
            return is_iterable(input);
        case Test::kSequence:
            return input.is_sequence() || input.is_dict() || input.is_string() ||
                   input.is_undefined();
        case Test::kEven:
            return parity_test(state, input, 0);
        case Test::kOdd:
            return parity_test(state, input, 1);
        case Test::kLower:
        case Test::kUpper:
            return text_test(state, test, input);
        default:
            return binary_test(state, test, input, arguments);
    }
}

}  // namespace rekindle::runtime::jinja
