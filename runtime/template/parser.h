// Tokens to a template table. The grammar and its precedences are Jinja's; what is not known here
// is refused by name. After the first error every call does nothing, so callers need not look.
// Threading: one thread.
#pragma once
#include "runtime/template/lexer.h"
#include "runtime/template/names.h"
#include "runtime/template/table_builder.h"

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rekindle::runtime::jinja {

inline constexpr uint32_t kNestingMax = 100;  // Brackets and blocks; published templates have < 20.

class Parser {
public:
    // `tokens` end with kEnd.
    explicit Parser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

    Result<std::vector<std::byte>> run();

private:
    using Names = std::initializer_list<std::string_view>;

    // Statements (statement_parser.cpp).
    uint32_t parse_block(Names until);
    void parse_element(std::vector<uint32_t>& statements);
    uint32_t parse_statement();
    uint32_t parse_if();
    uint32_t parse_for();
    uint32_t parse_set();
    uint32_t parse_macro();
    uint32_t parse_generation();
    std::vector<uint32_t> parse_targets();
    void end_statement();
    void expect_end(std::string_view name);

    // Expressions (expression_parser.cpp).
    uint32_t parse_expression();
    uint32_t parse_tuple_or_expression(bool with_conditional);
    uint32_t parse_conditional();
    uint32_t parse_or();
    uint32_t parse_and();
    uint32_t parse_not();
    uint32_t parse_compare();
    uint32_t parse_sum();
    uint32_t parse_concat();
    uint32_t parse_product();
    uint32_t parse_power();
    uint32_t parse_unary(bool with_filters);
    uint32_t parse_primary();
    uint32_t parse_name();
    uint32_t parse_strings();
    uint32_t parse_number();
    uint32_t parse_parentheses();
    uint32_t parse_list();
    uint32_t parse_dict();
    uint32_t parse_postfix(uint32_t node);
    uint32_t parse_filters(uint32_t node);
    uint32_t parse_dot(uint32_t object);
    uint32_t parse_subscript(uint32_t object);
    uint32_t parse_slice(uint32_t object, uint32_t start, uint32_t line);
    uint32_t parse_call(uint32_t callee);
    uint32_t parse_filter(uint32_t input);
    uint32_t parse_test(uint32_t input);
    std::optional<Comparison> parse_comparison();

    struct Arguments {
        uint32_t names;
        uint32_t values;
    };

    Arguments parse_arguments();
    Arguments no_arguments();
    void parse_argument(std::vector<uint32_t>& names, std::vector<uint32_t>& values);

    // Tokens.
    const Token& peek() const noexcept { return tokens_[at_]; }

    const Token& peek_next() const noexcept {
        return tokens_[at_ + 1 < tokens_.size() ? at_ + 1 : at_];
    }

    Token take();

    bool is(TokenKind kind, std::string_view text) const noexcept {
        return peek().kind == kind && peek().text == text;
    }

    bool is_operator(std::string_view text) const noexcept {
        return is(TokenKind::kOperator, text);
    }

    bool is_keyword(std::string_view text) const noexcept { return is(TokenKind::kName, text); }

    bool skip_operator(std::string_view text);
    bool skip_keyword(std::string_view text);
    void expect_operator(std::string_view text);
    std::string expect_name(std::string_view what);

    uint32_t fail(ErrorCode code, const std::string& what);

    uint32_t syntax_error(const std::string& what) {
        return fail(ErrorCode::kInvalidArgument, what);
    }

    uint32_t unsupported(const std::string& what) {
        return fail(ErrorCode::kUnsupported, what + " is not supported");
    }

    uint32_t node(NodeKind kind, std::array<uint32_t, 5> operands) {
        return builder_.add_node(kind, line_, operands);
    }

    uint32_t sum_of(const std::vector<uint32_t>& operands);
    uint32_t nary(NodeKind kind, const std::vector<uint32_t>& operands) {
        return node(kind, {builder_.add_list(operands)});
    }

    // Counts one level of recursion while it lives.
    class Nesting {
    public:
        explicit Nesting(Parser& parser) : parser_(parser) {
            if (++parser_.depth_ > kNestingMax) {
                parser_.unsupported("nesting deeper than " + std::to_string(kNestingMax) +
                                    " levels");
            }
        }

        Nesting(const Nesting&) = delete;
        Nesting& operator=(const Nesting&) = delete;

        ~Nesting() { --parser_.depth_; }

    private:
        Parser& parser_;
    };

    std::vector<Token> tokens_;
    size_t at_ = 0;
    uint32_t line_ = 1;  // Of the last token taken.
    uint32_t depth_ = 0;
    uint32_t loops_ = 0;  // Open {% for %} of the current macro.
    TableBuilder builder_;
    std::optional<Error> error_;
};

}  // namespace rekindle::runtime::jinja
