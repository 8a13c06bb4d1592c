#include "runtime/template/parser.h"

#include <algorithm>
#include <utility>

namespace rekindle::runtime::jinja {
namespace {

std::string describe(const Token& token) {
    switch (token.kind) {
        case TokenKind::kEnd:
            return "the end of the template";
        case TokenKind::kText:
            return "text";
        case TokenKind::kBlockBegin:
            return "{%";
        case TokenKind::kBlockEnd:
            return "%}";
        case TokenKind::kVariableBegin:
            return "{{";
        case TokenKind::kVariableEnd:
            return "}}";
        case TokenKind::kString:
            return "a string";
        default:
            return "'" + token.text.substr(0, 64) + "'";
    }
}

}  // namespace

Result<std::vector<std::byte>> Parser::run() {
    const uint32_t root = parse_block({});
    if (error_) {
        return std::move(*error_);
    }
    return builder_.finish(root);
}

uint32_t Parser::fail(ErrorCode code, const std::string& what) {
    if (!error_) {
        error_ = Error{code, "template line " + std::to_string(peek().line) + ": " + what};
    }
    at_ = tokens_.size() - 1;  // kEnd stops every loop.
    return 0;
}

Token Parser::take() {
    Token token = peek();
    line_ = token.line;
    if (at_ + 1 < tokens_.size()) {
        ++at_;
    }
    return token;
}

bool Parser::skip_operator(std::string_view text) {
    const bool found = is_operator(text);
    if (found) {
        take();
    }
    return found;
}

bool Parser::skip_keyword(std::string_view text) {
    const bool found = is_keyword(text);
    if (found) {
        take();
    }
    return found;
}

void Parser::expect_operator(std::string_view text) {
    if (!skip_operator(text)) {
        syntax_error("'" + std::string(text) + "' is expected, not " + describe(peek()));
    }
}

std::string Parser::expect_name(std::string_view what) {
    if (peek().kind != TokenKind::kName) {
        syntax_error(std::string(what) + " is expected, not " + describe(peek()));
        return {};
    }
    return take().text;
}

void Parser::end_statement() {
    if (peek().kind != TokenKind::kBlockEnd) {
        syntax_error("%} is expected, not " + describe(peek()));
    }
    take();
}

// At the name of the statement that ends a block.
void Parser::expect_end(std::string_view name) {
    if (!skip_keyword(name)) {
        syntax_error("{% " + std::string(name) + " %} is missing");
    }
    end_statement();
}

// Statements up to a {% that one of `until` follows, which is left as the next token.
uint32_t Parser::parse_block(Names until) {
    const Nesting nesting(*this);
    std::vector<uint32_t> statements;
    while (peek().kind != TokenKind::kEnd) {
        if (peek().kind == TokenKind::kBlockBegin &&
            std::find(until.begin(), until.end(), peek_next().text) != until.end()) {
            take();
            break;
        }
        parse_element(statements);
    }
    return nary(NodeKind::kBlock, statements);
}

void Parser::parse_element(std::vector<uint32_t>& statements) {
    const Token first = take();
    switch (first.kind) {
        case TokenKind::kText:
            statements.push_back(node(NodeKind::kText, {builder_.add_string(first.text)}));
            break;
        case TokenKind::kVariableBegin: {
            const uint32_t expression = parse_tuple_or_expression(true);
            statements.push_back(node(NodeKind::kOutput, {expression}));
            if (peek().kind != TokenKind::kVariableEnd) {
                syntax_error("}} is expected, not " + describe(peek()));
            }
            take();
            break;
        }
        case TokenKind::kBlockBegin:
            statements.push_back(parse_statement());
            break;
        default:
            syntax_error(describe(first) + " is not expected here");
            break;
    }
}

uint32_t Parser::parse_statement() {
    const std::string name = expect_name("the name of a statement");
    if (name == "if") {
        return parse_if();
    }
    if (name == "for") {
        return parse_for();
    }
    if (name == "set") {
        return parse_set();
    }
    if (name == "macro") {
        return parse_macro();
    }
    if (name == "generation") {
        return parse_generation();
    }
    if (name == "break" || name == "continue") {
        if (loops_ == 0) {
            return syntax_error("{% " + name + " %} stands outside of a loop");
        }
        end_statement();
        return node(name == "break" ? NodeKind::kBreak : NodeKind::kContinue, {});
    }
    if (name.starts_with("end") || name == "else" || name == "elif") {
        return syntax_error("{% " + name + " %} closes nothing");
    }
    return unsupported("the statement {% " + name + " %}");
}

uint32_t Parser::parse_if() {
    std::vector<uint32_t> conditions;
    std::vector<uint32_t> blocks;
    const uint32_t line = line_;
    do {
        conditions.push_back(parse_tuple_or_expression(false));
        end_statement();
        blocks.push_back(parse_block({"elif", "else", "endif"}));
    } while (skip_keyword("elif"));
    uint32_t otherwise = kNone;
    if (skip_keyword("else")) {
        end_statement();
        otherwise = parse_block({"endif"});
    }
    expect_end("endif");
    return builder_.add_node(NodeKind::kIf, line,
                             {builder_.add_list(conditions), builder_.add_list(blocks), otherwise});
}

// name | name, name … | (name, name …), as string numbers.
std::vector<uint32_t> Parser::parse_targets() {
    std::vector<uint32_t> targets;
    const bool parentheses = skip_operator("(");
    do {
        targets.push_back(builder_.add_string(expect_name("a variable's name")));
    } while (skip_operator(",") && peek().kind == TokenKind::kName && !is_keyword("in"));
    if (parentheses) {
        expect_operator(")");
    }
    return targets;
}

uint32_t Parser::parse_for() {
    const uint32_t line = line_;
    const std::vector<uint32_t> targets = parse_targets();
    if (!skip_keyword("in")) {
        syntax_error("'in' is expected, not " + describe(peek()));
    }
    const uint32_t iterable = parse_tuple_or_expression(false);
    const uint32_t filter = skip_keyword("if") ? parse_expression() : kNone;
    if (is_keyword("recursive")) {
        return unsupported("{% for … recursive %}");
    }
    end_statement();
    ++loops_;
    const uint32_t block = parse_block({"else", "endfor"});
    --loops_;
    uint32_t otherwise = kNone;
    if (skip_keyword("else")) {
        end_statement();
        otherwise = parse_block({"endfor"});
    }
    expect_end("endfor");
    return builder_.add_node(NodeKind::kFor, line,
                             {builder_.add_list(targets), iterable, filter, block, otherwise});
}

uint32_t Parser::parse_set() {
    const uint32_t line = line_;
    if (peek().kind == TokenKind::kName && peek_next().kind == TokenKind::kOperator &&
        peek_next().text == ".") {
        const uint32_t name = builder_.add_string(take().text);
        take();
        const uint32_t attribute = builder_.add_string(expect_name("an attribute's name"));
        expect_operator("=");
        const uint32_t value = parse_tuple_or_expression(true);
        end_statement();
        return builder_.add_node(NodeKind::kSetAttribute, line, {name, attribute, value});
    }
    const std::vector<uint32_t> targets = parse_targets();
    if (skip_operator("=")) {
        const uint32_t value = parse_tuple_or_expression(true);
        end_statement();
        return builder_.add_node(NodeKind::kSet, line, {builder_.add_list(targets), value});
    }
    if (is_operator("|")) {
        return unsupported("a filter on a {% set %} block");
    }
    if (targets.size() != 1) {
        return syntax_error("'=' is expected, not " + describe(peek()));
    }
    end_statement();
    const uint32_t block = parse_block({"endset"});
    expect_end("endset");
    return builder_.add_node(NodeKind::kSetBlock, line, {targets[0], block});
}

uint32_t Parser::parse_macro() {
    const uint32_t line = line_;
    const uint32_t name = builder_.add_string(expect_name("the macro's name"));
    std::vector<uint32_t> parameters;
    std::vector<uint32_t> defaults;
    expect_operator("(");
    while (!error_ && !is_operator(")")) {
        if (!parameters.empty()) {
            expect_operator(",");
        }
        parameters.push_back(builder_.add_string(expect_name("a parameter's name")));
        if (skip_operator("=")) {
            defaults.push_back(parse_expression());
        } else if (!defaults.empty()) {
            return syntax_error("a parameter without a default follows one with a default");
        }
    }
    expect_operator(")");
    end_statement();
    const uint32_t outer_loops = std::exchange(loops_, 0);
    const uint32_t block = parse_block({"endmacro"});
    loops_ = outer_loops;
    expect_end("endmacro");
    return builder_.add_node(
        NodeKind::kMacro, line,
        {name, builder_.add_list(parameters), builder_.add_list(defaults), block});
}

// Marks the assistant's own text for training; here it is only a scope.
uint32_t Parser::parse_generation() {
    end_statement();
    const uint32_t outer_loops = std::exchange(loops_, 0);
    const uint32_t block = parse_block({"endgeneration"});
    loops_ = outer_loops;
    expect_end("endgeneration");
    return node(NodeKind::kScope, {block});
}

}  // namespace rekindle::runtime::jinja
