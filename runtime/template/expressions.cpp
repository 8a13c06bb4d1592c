#include "runtime/template/interpreter.h"
#include "runtime/template/operations.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace rekindle::runtime::jinja {
namespace {

uint64_t word_of(const Node& node) noexcept {
    return uint64_t{node.operands[0]} | (uint64_t{node.operands[1]} << 32);
}

}  // namespace

Value Interpreter::evaluate(uint32_t number) {
    const Node& node = table_.nodes[number];
    const Level level(*this, false);
    if (!level) {
        return {};
    }
    state_.set_line(node.line);
    if (node.kind <= NodeKind::kSlice) {
        return evaluate_plain(node);
    }
    return node.kind <= NodeKind::kTest ? evaluate_invocation(node) : evaluate_operator(node);
}

Value Interpreter::evaluate_plain(const Node& node) {
    switch (node.kind) {
        case NodeKind::kNoneValue:
            return Value::none();
        case NodeKind::kBool:
            return Value::of(node.operands[0] != 0);
        case NodeKind::kInt:
            return Value::of(std::bit_cast<int64_t>(word_of(node)));
        case NodeKind::kFloat:
            return Value::of(std::bit_cast<double>(word_of(node)));
        case NodeKind::kString:
            return Value::text(table_.string(node.operands[0]));
        case NodeKind::kName:
            return evaluate_name(node.operands[0]);
        case NodeKind::kList:
            return state_.list(evaluate_all(node.operands[0]));
        case NodeKind::kTuple:
            return state_.tuple(evaluate_all(node.operands[0]));
        case NodeKind::kDict:
            return evaluate_dict(node);
        case NodeKind::kAttribute:
            return attribute(state_, evaluate(node.operands[0]), table_.string(node.operands[1]));
        case NodeKind::kSubscript: {
            const Value object = evaluate(node.operands[0]);
            const Value key = evaluate(node.operands[1]);
            return subscript(state_, object, key);
        }
        case NodeKind::kSlice:
            return evaluate_slice(node);
        default:
            return {};
    }
}

Value Interpreter::evaluate_operator(const Node& node) {
    switch (node.kind) {
        case NodeKind::kNot:
            return Value::of(!evaluate(node.operands[0]).truthy());
        case NodeKind::kNegate:
            return negate(state_, evaluate(node.operands[0]));
        case NodeKind::kPositive:
            return add(state_, Value::of(int64_t{0}), evaluate(node.operands[0]));
        case NodeKind::kAnd:
        case NodeKind::kOr:
            return evaluate_logic(node);
        case NodeKind::kConcat:
            return evaluate_concat(node);
        case NodeKind::kAdd:
            return evaluate_add(node);
        case NodeKind::kArithmetic: {
            const Value left = evaluate(node.operands[0]);
            const Value right = evaluate(node.operands[1]);
            return state_.failed()
                       ? Value{}
                       : arithmetic(state_, static_cast<Arithmetic>(node.op), left, right);
        }
        case NodeKind::kCompare:
            return evaluate_compare(node);
        case NodeKind::kConditional:
            return evaluate_conditional(node);
        default:
            return state_.fail(ErrorCode::kCorrupt, "a statement stands where an expression must");
    }
}

// Calls of every kind: input or callee, then the arguments.
Value Interpreter::evaluate_invocation(const Node& node) {
    if (node.kind == NodeKind::kCall) {
        const Value callee = evaluate(node.operands[0]);
        std::vector<std::string_view> names;
        for (const uint32_t name : table_.list(node.operands[1])) {
            names.push_back(table_.string(name));
        }
        const std::vector<Value> values = evaluate_all(node.operands[2]);
        return state_.failed() ? Value{} : call(callee, {values, names});
    }
    const Value input = evaluate(node.operands[0]);
    std::vector<std::string_view> names;
    for (const uint32_t name : table_.list(node.operands[1])) {
        names.push_back(table_.string(name));
    }
    const std::vector<Value> values = evaluate_all(node.operands[2]);
    if (state_.failed()) {
        return {};
    }
    const Arguments arguments{values, names};
    state_.set_line(node.line);
    switch (node.kind) {
        case NodeKind::kFilter:
            return apply_filter(state_, static_cast<Filter>(node.op), input, arguments);
        case NodeKind::kTest:
            return Value::of(apply_test(state_, static_cast<Test>(node.op), input, arguments) !=
                             (node.operands[3] != 0));
        default: {
            const auto method = static_cast<Method>(node.op);
            if (input.kind == Kind::kNamespace) {  // A macro kept in a namespace.
                return call(attribute(state_, input, method_name(method)), arguments);
            }
            return call_method(state_, method, input, arguments);
        }
    }
}

std::vector<Value> Interpreter::evaluate_all(uint32_t list) {
    std::vector<Value> values;
    for (const uint32_t number : table_.list(list)) {
        values.push_back(evaluate(number));
    }
    return values;
}

Value Interpreter::evaluate_name(uint32_t name) {
    if (const Value* found = find(name)) {
        return *found;
    }
    const std::string_view text = table_.string(name);
    if (const json::value* variable = variables_.if_contains(text)) {
        const Value value = from_json(state_, *variable);
        if (!state_.failed()) {
            set(*global_, name, value);
        }
        return value;
    }
    const std::optional<Function> function = find_function(text);
    if (function && (*function != Function::kStrftimeNow || state_.limits().now_unix_s)) {
        return Value::of(*function);
    }
    if (text == "cycler" || text == "joiner" || text == "lipsum") {
        return state_.fail(ErrorCode::kUnsupported,
                           "the function " + std::string(text) + "() is not supported");
    }
    return Value::undefined(text);
}

Value Interpreter::evaluate_dict(const Node& node) {
    const std::vector<Value> values = evaluate_all(node.operands[0]);
    std::vector<Entry> entries;
    for (size_t i = 0; i < values.size() && !state_.failed(); i += 2) {
        if (!values[i].is_string()) {
            return state_.fail(ErrorCode::kUnsupported, "a mapping with a " +
                                                            std::string(type_name(values[i])) +
                                                            " as key is not supported");
        }
        const auto same = std::find_if(entries.begin(), entries.end(), [&](const Entry& entry) {
            return entry.key == values[i].view();
        });
        if (same == entries.end()) {
            entries.push_back({values[i].view(), values[i + 1]});
        } else {
            same->value = values[i + 1];
        }
    }
    return state_.dict(entries);
}

// The operand that decides, as in Python.
Value Interpreter::evaluate_logic(const Node& node) {
    const bool stops_at = node.kind == NodeKind::kOr;
    Value value;
    for (const uint32_t operand : table_.list(node.operands[0])) {
        value = evaluate(operand);
        if (state_.failed() || value.truthy() == stops_at) {
            break;
        }
    }
    return value;
}

Value Interpreter::evaluate_concat(const Node& node) {
    std::string text;
    for (const uint32_t operand : table_.list(node.operands[0])) {
        append_str(state_, text, evaluate(operand));
        if (state_.failed()) {
            return {};
        }
    }
    return state_.text(text);
}

Value Interpreter::evaluate_add(const Node& node) {
    const std::span<const uint32_t> operands = table_.list(node.operands[0]);
    Value sum = evaluate(operands[0]);
    for (size_t i = 1; i < operands.size() && !state_.failed(); ++i) {
        const Value right = evaluate(operands[i]);
        state_.set_line(node.line);
        sum = state_.failed() ? Value{} : add(state_, sum, right);
    }
    return sum;
}

Value Interpreter::evaluate_compare(const Node& node) {
    const std::span<const uint32_t> others = table_.list(node.operands[1]);
    const std::span<const uint32_t> comparisons = table_.list(node.operands[2]);
    Value left = evaluate(node.operands[0]);
    bool holds = true;
    for (size_t i = 0; i < others.size() && holds && !state_.failed(); ++i) {
        const Value right = evaluate(others[i]);
        state_.set_line(node.line);
        holds = !state_.failed() &&
                compare(state_, static_cast<Comparison>(comparisons[i]), left, right);
        left = right;
    }
    return Value::of(holds);
}

Value Interpreter::evaluate_conditional(const Node& node) {
    const bool condition = evaluate(node.operands[0]).truthy();
    if (state_.failed()) {
        return {};
    }
    if (condition) {
        return evaluate(node.operands[1]);
    }
    return node.operands[2] == kNone ? Value::undefined("the value of an if without else")
                                     : evaluate(node.operands[2]);
}

Value Interpreter::evaluate_slice(const Node& node) {
    const Value object = evaluate(node.operands[0]);
    const std::vector<Value> parts = evaluate_all(node.operands[1]);
    return state_.failed() ? Value{} : slice(state_, object, std::span<const Value, 3>(parts));
}

Value Interpreter::call(const Value& callee, const Arguments& arguments) {
    switch (callee.kind) {
        case Kind::kMacro:
            return call_macro(*callee.macro, arguments);
        case Kind::kFunction:
            return call_function(state_, callee.function, arguments);
        case Kind::kUndefined:
            return state_.bad_argument("'" + std::string(callee.view()) + "' is undefined");
        default:
            return state_.bad_argument("a " + std::string(type_name(callee)) + " cannot be called");
    }
}

// Gives every parameter its value in the current scope; the defaults may use earlier parameters.
bool Interpreter::bind_parameters(const Node& macro, const Arguments& arguments) {
    const std::span<const uint32_t> parameters = table_.list(macro.operands[1]);
    const std::span<const uint32_t> defaults = table_.list(macro.operands[2]);
    const std::span<const Value> positional = arguments.positional();
    const std::string name(table_.string(macro.operands[0]));
    if (positional.size() > parameters.size()) {
        state_.bad_argument("the macro " + name + " takes at most " +
                            std::to_string(parameters.size()) + " arguments");
        return false;
    }
    size_t named = 0;
    for (size_t i = 0; i < parameters.size() && state_.step(); ++i) {
        const std::string_view parameter = table_.string(parameters[i]);
        const auto found = std::find(arguments.names.begin(), arguments.names.end(), parameter);
        Value value = Value::undefined(parameter);
        if (found != arguments.names.end()) {
            ++named;
            value = arguments.values[positional.size() +
                                     static_cast<size_t>(found - arguments.names.begin())];
        } else if (i < positional.size()) {
            value = positional[i];
        } else if (i >= parameters.size() - defaults.size()) {
            value = evaluate(defaults[i - (parameters.size() - defaults.size())]);
        }
        set(*scope_, parameters[i], value);
    }
    if (named != arguments.names.size()) {
        state_.bad_argument("the macro " + name + " has no such parameter");
    }
    return !state_.failed();
}

Value Interpreter::call_macro(const MacroValue& macro, const Arguments& arguments) {
    const Level level(*this, true);
    if (!level) {
        return {};
    }
    const Node& node = table_.nodes[macro.node];
    Scope* const caller = scope_;
    Scope* const inner = new_scope(macro.closure);
    if (inner == nullptr) {
        return {};
    }
    scope_ = inner;
    std::string output;
    if (bind_parameters(node, arguments)) {
        output = captured_output(node.operands[3]);
    }
    scope_ = caller;
    return state_.failed() ? Value{} : state_.text(output);
}

}  // namespace rekindle::runtime::jinja
