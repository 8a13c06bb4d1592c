#include "runtime/template/operations.h"

#include <cmath>
#include <limits>

namespace rekindle::runtime::jinja {
namespace {

Value mismatch(RunState& state, std::string_view op, const Value& left, const Value& right) {
    if (left.is_undefined() || right.is_undefined()) {
        const Value& missing = left.is_undefined() ? left : right;
        return state.bad_argument("'" + std::string(missing.view()) + "' is undefined");
    }
    return state.bad_argument("'" + std::string(op) + "' does not work with a " +
                              std::string(type_name(left)) + " and a " +
                              std::string(type_name(right)));
}

Value overflow(RunState& state) {
    return state.bad_argument("a number leaves the range of 64 bits");
}

Value division_by_zero(RunState& state) {
    return state.bad_argument("division by zero");
}

Value integer_power(RunState& state, int64_t base, int64_t exponent) {
    if (exponent < 0) {
        return Value::of(std::pow(static_cast<double>(base), static_cast<double>(exponent)));
    }
    if (base == 0 || base == 1 || base == -1) {
        return Value::of(exponent == 0 || base == 1 ? int64_t{1}
                         : base == 0                ? int64_t{0}
                         : exponent % 2 == 0        ? int64_t{1}
                                                    : int64_t{-1});
    }
    int64_t power = 1;
    for (; exponent > 0; --exponent) {  // Overflows after at most 63 rounds.
        if (__builtin_mul_overflow(power, base, &power)) {
            return overflow(state);
        }
    }
    return Value::of(power);
}

// Python rounds quotients down, and a remainder has the divisor's sign.
Value floor_divide(RunState& state, int64_t left, int64_t right, bool remainder) {
    if (right == 0) {
        return division_by_zero(state);
    }
    if (right == -1) {
        int64_t negated = 0;
        if (remainder) {
            return Value::of(int64_t{0});
        }
        return __builtin_sub_overflow(int64_t{0}, left, &negated) ? overflow(state)
                                                                  : Value::of(negated);
    }
    const bool down = left % right != 0 && (left < 0) != (right < 0);
    return remainder ? Value::of(left % right + (down ? right : 0))
                     : Value::of(left / right - (down ? 1 : 0));
}

Value integer_arithmetic(RunState& state, Arithmetic op, int64_t left, int64_t right) {
    int64_t result = 0;
    switch (op) {
        case Arithmetic::kSubtract:
            return __builtin_sub_overflow(left, right, &result) ? overflow(state)
                                                                : Value::of(result);
        case Arithmetic::kMultiply:
            return __builtin_mul_overflow(left, right, &result) ? overflow(state)
                                                                : Value::of(result);
        case Arithmetic::kDivide:
            return right == 0 ? division_by_zero(state)
                              : Value::of(static_cast<double>(left) / static_cast<double>(right));
        case Arithmetic::kFloorDivide:
        case Arithmetic::kModulo:
            return floor_divide(state, left, right, op == Arithmetic::kModulo);
        case Arithmetic::kPower:
            return integer_power(state, left, right);
        case Arithmetic::kEnd:
            break;
    }
    return {};
}

Value real_arithmetic(RunState& state, Arithmetic op, double left, double right) {
    const bool divides =
        op == Arithmetic::kDivide || op == Arithmetic::kFloorDivide || op == Arithmetic::kModulo;
    if (divides && right == 0) {
        return division_by_zero(state);
    }
    switch (op) {
        case Arithmetic::kSubtract:
            return Value::of(left - right);
        case Arithmetic::kMultiply:
            return Value::of(left * right);
        case Arithmetic::kDivide:
            return Value::of(left / right);
        case Arithmetic::kFloorDivide:
            return Value::of(std::floor(left / right));
        case Arithmetic::kModulo: {
            const double rest = std::fmod(left, right);
            return Value::of(rest != 0 && (rest < 0) != (right < 0) ? rest + right : rest);
        }
        case Arithmetic::kPower:
            return Value::of(std::pow(left, right));
        case Arithmetic::kEnd:
            break;
    }
    return {};
}

// "ab" * 3 and [1] * 3.
Value repeat(RunState& state, const Value& what, int64_t times) {
    const uint64_t count = times < 0 ? 0 : static_cast<uint64_t>(times);
    if (what.size == 0 || count == 0) {
        return what.is_string() ? Value::text("") : state.list({});
    }
    if (count > state.limits().output_bytes_max / what.size || !state.charge(count)) {
        return state.fail(ErrorCode::kTooLarge, "a repeated value is too long");
    }
    if (what.is_string()) {
        std::string text;
        for (uint64_t i = 0; i < count; ++i) {
            text += what.view();
        }
        return state.text(text);
    }
    std::vector<Value> items;
    for (uint64_t i = 0; i < count; ++i) {
        items.insert(items.end(), what.items().begin(), what.items().end());
    }
    return what.kind == Kind::kTuple ? state.tuple(items) : state.list(items);
}

}  // namespace

Value add(RunState& state, const Value& left, const Value& right) {
    if (left.is_integral() && right.is_integral()) {
        int64_t result = 0;
        return __builtin_add_overflow(left.as_integer(), right.as_integer(), &result)
                   ? overflow(state)
                   : Value::of(result);
    }
    if (left.is_number() && right.is_number()) {
        return Value::of(left.as_real() + right.as_real());
    }
    if (left.is_string() && right.is_string()) {
        std::string text(left.view());
        append_str(state, text, right);
        return state.failed() ? Value{} : state.text(text);
    }
    if (left.is_sequence() && left.kind == right.kind) {
        std::vector<Value> items(left.items().begin(), left.items().end());
        items.insert(items.end(), right.items().begin(), right.items().end());
        return left.kind == Kind::kTuple ? state.tuple(items) : state.list(items);
    }
    return mismatch(state, "+", left, right);
}

Value arithmetic(RunState& state, Arithmetic op, const Value& left, const Value& right) {
    if (left.is_integral() && right.is_integral()) {
        return integer_arithmetic(state, op, left.as_integer(), right.as_integer());
    }
    if (left.is_number() && right.is_number()) {
        return real_arithmetic(state, op, left.as_real(), right.as_real());
    }
    if (op == Arithmetic::kMultiply) {
        const bool repeats_left = left.is_string() || left.is_sequence();
        const bool repeats_right = right.is_string() || right.is_sequence();
        if (repeats_left && right.is_integral()) {
            return repeat(state, left, right.as_integer());
        }
        if (repeats_right && left.is_integral()) {
            return repeat(state, right, left.as_integer());
        }
    }
    if (op == Arithmetic::kModulo && left.is_string()) {
        return state.fail(ErrorCode::kUnsupported, "formatting a text with % is not supported");
    }
    constexpr std::array<std::string_view, 6> kSigns{"-", "*", "/", "//", "%", "**"};
    return mismatch(state, kSigns[static_cast<size_t>(op)], left, right);
}

Value negate(RunState& state, const Value& operand) {
    if (operand.kind == Kind::kFloat) {
        return Value::of(-operand.real);
    }
    return arithmetic(state, Arithmetic::kSubtract, Value::of(int64_t{0}), operand);
}

}  // namespace rekindle::runtime::jinja
