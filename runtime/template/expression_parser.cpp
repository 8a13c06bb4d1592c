#include "runtime/template/parser.h"

#include <array>
#include <bit>
#include <charconv>
#include <limits>

namespace rekindle::runtime::jinja {
namespace {

std::array<uint32_t, 5> words_of(uint64_t value) noexcept {
    return {static_cast<uint32_t>(value), static_cast<uint32_t>(value >> 32)};
}

}  // namespace

uint32_t Parser::parse_expression() {
    const Nesting nesting(*this);
    return error_ ? 0 : parse_conditional();
}

// a, b, c makes a tuple even without parentheses.
uint32_t Parser::parse_tuple_or_expression(bool with_conditional) {
    const Nesting nesting(*this);
    if (error_) {
        return 0;
    }
    const auto item = [&] { return with_conditional ? parse_conditional() : parse_or(); };
    std::vector<uint32_t> items{item()};
    bool tuple = false;
    while (skip_operator(",")) {
        tuple = true;
        if (peek().kind == TokenKind::kVariableEnd || peek().kind == TokenKind::kBlockEnd) {
            break;
        }
        items.push_back(item());
    }
    return tuple ? nary(NodeKind::kTuple, items) : items[0];
}

uint32_t Parser::parse_conditional() {
    uint32_t then = parse_or();
    while (skip_keyword("if")) {
        const uint32_t condition = parse_or();
        const uint32_t otherwise = skip_keyword("else") ? parse_expression() : kNone;
        then = node(NodeKind::kConditional, {condition, then, otherwise});
    }
    return then;
}

uint32_t Parser::parse_or() {
    std::vector<uint32_t> operands{parse_and()};
    while (skip_keyword("or")) {
        operands.push_back(parse_and());
    }
    return operands.size() == 1 ? operands[0] : nary(NodeKind::kOr, operands);
}

uint32_t Parser::parse_and() {
    std::vector<uint32_t> operands{parse_not()};
    while (skip_keyword("and")) {
        operands.push_back(parse_not());
    }
    return operands.size() == 1 ? operands[0] : nary(NodeKind::kAnd, operands);
}

uint32_t Parser::parse_not() {
    if (!skip_keyword("not")) {
        return parse_compare();
    }
    const Nesting nesting(*this);
    return error_ ? 0 : node(NodeKind::kNot, {parse_not()});
}

std::optional<Comparison> Parser::parse_comparison() {
    using Named = std::pair<std::string_view, Comparison>;
    constexpr auto kOperators = std::to_array<Named>({
        {"==", Comparison::kEqual},
        {"!=", Comparison::kNotEqual},
        {"<", Comparison::kLess},
        {"<=", Comparison::kLessEqual},
        {">", Comparison::kGreater},
        {">=", Comparison::kGreaterEqual},
    });
    for (const auto& [text, comparison] : kOperators) {
        if (skip_operator(text)) {
            return comparison;
        }
    }
    if (skip_keyword("in")) {
        return Comparison::kIn;
    }
    if (is_keyword("not") && peek_next().kind == TokenKind::kName && peek_next().text == "in") {
        take();
        take();
        return Comparison::kNotIn;
    }
    return std::nullopt;
}

uint32_t Parser::parse_compare() {
    const uint32_t first = parse_sum();
    std::vector<uint32_t> others;
    std::vector<uint32_t> comparisons;
    while (const std::optional<Comparison> comparison = parse_comparison()) {
        comparisons.push_back(static_cast<uint32_t>(*comparison));
        others.push_back(parse_sum());
    }
    if (others.empty()) {
        return first;
    }
    return node(NodeKind::kCompare,
                {first, builder_.add_list(others), builder_.add_list(comparisons)});
}

uint32_t Parser::parse_sum() {
    // Chains of + are one node, so that their length costs no depth.
    std::vector<uint32_t> operands{parse_concat()};
    const auto sum = [&] { return operands.size() == 1 ? operands[0] : sum_of(operands); };
    while (true) {
        if (skip_operator("+")) {
            operands.push_back(parse_concat());
        } else if (skip_operator("-")) {
            const uint32_t left = sum();
            const uint32_t right = parse_concat();
            operands = {builder_.add_node(NodeKind::kArithmetic,
                                          static_cast<uint8_t>(Arithmetic::kSubtract), line_,
                                          {left, right})};
        } else {
            return sum();
        }
    }
}

// In Python a text that was marked safe escapes for HTML whatever is added to it by +; here |safe
// changes nothing, which is right for what is printed or joined by ~.
uint32_t Parser::sum_of(const std::vector<uint32_t>& operands) {
    for (const uint32_t operand : operands) {
        const Node& part = builder_.node(operand);
        if (part.kind == NodeKind::kFilter && static_cast<Filter>(part.op) == Filter::kSafe) {
            return unsupported("the filter |safe in a sum");
        }
    }
    return nary(NodeKind::kAdd, operands);
}

uint32_t Parser::parse_concat() {
    std::vector<uint32_t> operands{parse_product()};
    while (skip_operator("~")) {
        operands.push_back(parse_product());
    }
    return operands.size() == 1 ? operands[0] : nary(NodeKind::kConcat, operands);
}

uint32_t Parser::parse_product() {
    using Named = std::pair<std::string_view, Arithmetic>;
    constexpr auto kOperators = std::to_array<Named>({
        {"*", Arithmetic::kMultiply},
        {"/", Arithmetic::kDivide},
        {"//", Arithmetic::kFloorDivide},
        {"%", Arithmetic::kModulo},
    });
    uint32_t left = parse_power();
    for (size_t i = 0; i < kOperators.size();) {
        if (!skip_operator(kOperators[i].first)) {
            ++i;
            continue;
        }
        const uint32_t right = parse_power();
        left = builder_.add_node(NodeKind::kArithmetic, static_cast<uint8_t>(kOperators[i].second),
                                 line_, {left, right});
        i = 0;
    }
    return left;
}

uint32_t Parser::parse_power() {
    uint32_t left = parse_unary(true);
    while (skip_operator("**")) {
        const uint32_t right = parse_unary(true);
        left = builder_.add_node(NodeKind::kArithmetic, static_cast<uint8_t>(Arithmetic::kPower),
                                 line_, {left, right});
    }
    return left;
}

uint32_t Parser::parse_unary(bool with_filters) {
    const Nesting nesting(*this);
    if (error_) {
        return 0;
    }
    uint32_t operand = 0;
    if (skip_operator("-")) {
        operand = node(NodeKind::kNegate, {parse_unary(false)});
    } else if (skip_operator("+")) {
        operand = node(NodeKind::kPositive, {parse_unary(false)});
    } else {
        operand = parse_primary();
    }
    operand = parse_postfix(operand);
    return with_filters ? parse_filters(operand) : operand;
}

uint32_t Parser::parse_primary() {
    switch (peek().kind) {
        case TokenKind::kName:
            return parse_name();
        case TokenKind::kString:
            return parse_strings();
        case TokenKind::kInteger:
        case TokenKind::kFloat:
            return parse_number();
        default:
            break;
    }
    if (skip_operator("(")) {
        return parse_parentheses();
    }
    if (skip_operator("[")) {
        return parse_list();
    }
    if (skip_operator("{")) {
        return parse_dict();
    }
    return syntax_error("a value is expected here");
}

uint32_t Parser::parse_name() {
    const std::string name = take().text;
    if (name == "true" || name == "True" || name == "false" || name == "False") {
        return node(NodeKind::kBool, {name == "true" || name == "True" ? 1U : 0U});
    }
    if (name == "none" || name == "None") {
        return node(NodeKind::kNoneValue, {});
    }
    return node(NodeKind::kName, {builder_.add_string(name)});
}

// Neighbouring literals are one string.
uint32_t Parser::parse_strings() {
    std::string text;
    while (peek().kind == TokenKind::kString) {
        text += take().text;
    }
    return node(NodeKind::kString, {builder_.add_string(text)});
}

uint32_t Parser::parse_number() {
    const Token token = take();
    const char* begin = token.text.data();
    const char* end = begin + token.text.size();
    if (token.kind == TokenKind::kFloat) {
        double value = 0;
        const auto parsed = std::from_chars(begin, end, value);
        if (parsed.ec != std::errc() || parsed.ptr != end) {
            return syntax_error("the number " + token.text + " is out of range");
        }
        return node(NodeKind::kFloat, words_of(std::bit_cast<uint64_t>(value)));
    }
    int64_t value = 0;
    const auto parsed = std::from_chars(begin, end, value);
    if (parsed.ec != std::errc() || parsed.ptr != end) {
        return syntax_error("the number " + token.text + " is out of range");
    }
    return node(NodeKind::kInt, words_of(std::bit_cast<uint64_t>(value)));
}

uint32_t Parser::parse_parentheses() {
    std::vector<uint32_t> items;
    bool tuple = false;
    while (!error_ && !is_operator(")")) {
        items.push_back(parse_expression());
        if (!skip_operator(",")) {
            break;
        }
        tuple = true;
    }
    expect_operator(")");
    return tuple || items.empty() ? nary(NodeKind::kTuple, items) : items[0];
}

uint32_t Parser::parse_list() {
    std::vector<uint32_t> items;
    while (!error_ && !is_operator("]")) {
        items.push_back(parse_expression());
        if (!skip_operator(",")) {
            break;
        }
    }
    expect_operator("]");
    return nary(NodeKind::kList, items);
}

uint32_t Parser::parse_dict() {
    std::vector<uint32_t> items;
    while (!error_ && !is_operator("}")) {
        items.push_back(parse_expression());
        const NodeKind key = builder_.node(items.back()).kind;
        if (key == NodeKind::kInt || key == NodeKind::kFloat || key == NodeKind::kBool ||
            key == NodeKind::kNoneValue || key == NodeKind::kTuple) {
            return unsupported("a mapping whose keys are not texts");
        }
        expect_operator(":");
        items.push_back(parse_expression());
        if (!skip_operator(",")) {
            break;
        }
    }
    expect_operator("}");
    return nary(NodeKind::kDict, items);
}

uint32_t Parser::parse_postfix(uint32_t object) {
    while (!error_) {
        if (skip_operator(".")) {
            object = parse_dot(object);
        } else if (skip_operator("[")) {
            object = parse_subscript(object);
        } else if (is_operator("(")) {
            object = parse_call(object);
        } else {
            break;
        }
    }
    return object;
}

uint32_t Parser::parse_filters(uint32_t object) {
    while (!error_) {
        if (skip_operator("|")) {
            object = parse_filter(object);
        } else if (skip_keyword("is")) {
            object = parse_test(object);
        } else if (is_operator("(")) {
            object = parse_call(object);
        } else {
            break;
        }
    }
    return object;
}

uint32_t Parser::parse_dot(uint32_t object) {
    if (peek().kind == TokenKind::kInteger) {
        const uint32_t key = parse_number();
        return node(NodeKind::kSubscript, {object, key});
    }
    const uint32_t name = builder_.add_string(expect_name("an attribute's name"));
    return node(NodeKind::kAttribute, {object, name});
}

uint32_t Parser::parse_subscript(uint32_t object) {
    const uint32_t line = line_;
    const uint32_t start = is_operator(":") ? node(NodeKind::kNoneValue, {}) : parse_expression();
    if (skip_operator(":")) {
        return parse_slice(object, start, line);
    }
    if (is_operator(",")) {
        return unsupported("a subscript of several values");
    }
    expect_operator("]");
    return builder_.add_node(NodeKind::kSubscript, line, {object, start});
}

// Behind the first colon.
uint32_t Parser::parse_slice(uint32_t object, uint32_t start, uint32_t line) {
    const auto part = [this] {
        return is_operator(":") || is_operator("]") ? node(NodeKind::kNoneValue, {})
                                                    : parse_expression();
    };
    const uint32_t stop = part();
    const uint32_t step = skip_operator(":") ? part() : node(NodeKind::kNoneValue, {});
    expect_operator("]");
    const std::array<uint32_t, 3> parts{start, stop, step};
    return builder_.add_node(NodeKind::kSlice, line, {object, builder_.add_list(parts)});
}

void Parser::parse_argument(std::vector<uint32_t>& names, std::vector<uint32_t>& values) {
    if (is_operator("*") || is_operator("**")) {
        unsupported("unpacking of arguments");
        return;
    }
    if (peek().kind == TokenKind::kName && peek_next().kind == TokenKind::kOperator &&
        peek_next().text == "=") {
        names.push_back(builder_.add_string(take().text));
        take();
    } else if (!names.empty()) {
        syntax_error("a positional argument follows a named one");
        return;
    }
    values.push_back(parse_expression());
}

// At "(": up to and with ")".
Parser::Arguments Parser::parse_arguments() {
    std::vector<uint32_t> names;
    std::vector<uint32_t> values;
    expect_operator("(");
    while (!error_ && !is_operator(")")) {
        parse_argument(names, values);
        if (!skip_operator(",")) {
            break;
        }
    }
    expect_operator(")");
    return {builder_.add_list(names), builder_.add_list(values)};
}

Parser::Arguments Parser::no_arguments() {
    return {builder_.add_list({}), builder_.add_list({})};
}

uint32_t Parser::parse_call(uint32_t callee) {
    const uint32_t line = line_;
    const Node target = builder_.node(callee);
    if (target.kind != NodeKind::kAttribute) {
        const Arguments arguments = parse_arguments();
        return builder_.add_node(NodeKind::kCall, line,
                                 {callee, arguments.names, arguments.values});
    }
    const std::string_view name = builder_.string(target.operands[1]);
    const std::optional<Method> method = find_method(name);
    if (!method) {
        return unsupported("the method ." + std::string(name) + "()");
    }
    const Arguments arguments = parse_arguments();
    return builder_.add_node(NodeKind::kMethodCall, static_cast<uint8_t>(*method), line,
                             {target.operands[0], arguments.names, arguments.values});
}

uint32_t Parser::parse_filter(uint32_t input) {
    const std::string name = expect_name("a filter's name");
    const std::optional<Filter> filter = find_filter(name);
    if (!filter) {
        return error_ ? 0 : unsupported("the filter |" + name);
    }
    const uint32_t line = line_;
    const Arguments arguments = is_operator("(") ? parse_arguments() : no_arguments();
    return builder_.add_node(NodeKind::kFilter, static_cast<uint8_t>(*filter), line,
                             {input, arguments.names, arguments.values});
}

uint32_t Parser::parse_test(uint32_t input) {
    const bool negated = skip_keyword("not");
    const std::string name = expect_name("a test's name");
    const std::optional<Test> test = find_test(name);
    if (!test) {
        return error_ ? 0 : unsupported("the test \"is " + name + "\"");
    }
    const uint32_t line = line_;
    Arguments arguments{};
    if (is_operator("(")) {
        arguments = parse_arguments();
    } else if (peek().kind == TokenKind::kString || peek().kind == TokenKind::kInteger ||
               peek().kind == TokenKind::kFloat || is_operator("[") || is_operator("{") ||
               (peek().kind == TokenKind::kName && !is_keyword("else") && !is_keyword("or") &&
                !is_keyword("and") && !is_keyword("is") && !is_keyword("if"))) {
        // One argument without parentheses: x is divisibleby 3.
        const std::array<uint32_t, 1> value{parse_postfix(parse_primary())};
        arguments = {builder_.add_list({}), builder_.add_list(value)};
    } else {
        arguments = no_arguments();
    }
    return builder_.add_node(NodeKind::kTest, static_cast<uint8_t>(*test), line,
                             {input, arguments.names, arguments.values, negated ? 1U : 0U});
}

}  // namespace rekindle::runtime::jinja
