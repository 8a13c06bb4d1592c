#include "runtime/template/lexer.h"

#include "base/utf8.h"
#include "runtime/template/text.h"

#include <algorithm>
#include <array>

namespace rekindle::runtime::jinja {
namespace {

bool is_digit(char c) noexcept {
    return c >= '0' && c <= '9';
}

bool is_name_start(char c) noexcept {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

// Every line end becomes "\n", and the last one is dropped.
std::string normalize_newlines(std::string_view source) {
    std::string out;
    out.reserve(source.size());
    for (size_t i = 0; i < source.size(); ++i) {
        if (source[i] == '\r') {
            out.push_back('\n');
            i += i + 1 < source.size() && source[i + 1] == '\n' ? 1U : 0U;
        } else {
            out.push_back(source[i]);
        }
    }
    if (!out.empty() && out.back() == '\n') {
        out.pop_back();
    }
    return out;
}

constexpr auto kOperators = std::to_array<std::string_view>({
    "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
    "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",",
});

class Lexer {
public:
    explicit Lexer(std::string_view source) : text_(normalize_newlines(source)) {}

    Result<std::vector<Token>> run() {
        while (!failed_ && at_ < text_.size()) {
            lex_text();
        }
        if (failed_) {
            return Error{ErrorCode::kInvalidArgument, error_};
        }
        push(TokenKind::kEnd, "");
        return std::move(tokens_);
    }

private:
    bool starts_with(std::string_view what) const noexcept {
        return std::string_view(text_).substr(at_).starts_with(what);
    }

    void fail(std::string_view what) {
        if (!failed_) {
            error_ = "template line " + std::to_string(line_) + ": " + std::string(what);
            failed_ = true;
        }
        at_ = text_.size();
    }

    // Moves forward and counts lines.
    void advance(size_t bytes) noexcept {
        for (size_t end = std::min(at_ + bytes, text_.size()); at_ < end; ++at_) {
            line_ += text_[at_] == '\n' ? 1U : 0U;
        }
    }

    void skip_space() noexcept {
        advance(leading_space_bytes(std::string_view(text_).substr(at_)));
    }

    void push(TokenKind kind, std::string text) {
        tokens_.push_back({kind, std::move(text), line_});
    }

    // Up to the next mark, and that mark with all that stands in it.
    void lex_text() {
        size_t mark = at_;
        while (true) {
            mark = text_.find('{', mark);
            if (mark == std::string::npos || mark + 1 >= text_.size()) {
                push(TokenKind::kText, text_.substr(at_));
                advance(text_.size() - at_);
                return;
            }
            const char second = text_[mark + 1];
            if (second == '%' || second == '{' || second == '#') {
                break;
            }
            ++mark;
        }
        const char second = text_[mark + 1];
        const char sign = mark + 2 < text_.size() ? text_[mark + 2] : '\0';
        push_text_before(mark, second, sign);
        const uint32_t mark_line = line_;
        advance(mark + 2 - at_ + (sign == '-' || sign == '+' ? 1 : 0));
        if (second == '#') {
            lex_comment();
        } else if (second == '%' && !lex_raw()) {
            tokens_.push_back({TokenKind::kBlockBegin, "", mark_line});
            lex_code(TokenKind::kBlockEnd);
        } else if (second == '{') {
            tokens_.push_back({TokenKind::kVariableBegin, "", mark_line});
            lex_code(TokenKind::kVariableEnd);
        }
    }

    void push_text_before(size_t mark, char second, char sign) {
        std::string_view text = std::string_view(text_).substr(at_, mark - at_);
        if (sign == '-') {
            text = trim_right(text);
        } else if (sign != '+' && second != '{') {
            const size_t newline = text.rfind('\n');
            const size_t line_start = newline == std::string_view::npos ? 0 : newline + 1;
            if ((line_start > 0 || line_starting_) &&
                leading_space_bytes(text.substr(line_start)) == text.size() - line_start) {
                text = text.substr(0, line_start);
            }
        }
        if (!text.empty()) {
            push(TokenKind::kText, std::string(text));
        }
        line_starting_ = false;
    }

    // At the sign or the second character of an end mark "-%}", "+%}" or "%}". True once it is
    // eaten.
    bool eat_end_mark(std::string_view mark, bool trims_newline) {
        const size_t start = at_;
        if (starts_with("-") && std::string_view(text_).substr(at_ + 1).starts_with(mark)) {
            advance(1 + mark.size());
            skip_space();
        } else if (trims_newline && starts_with("+") &&
                   std::string_view(text_).substr(at_ + 1).starts_with(mark)) {
            advance(1 + mark.size());
        } else if (starts_with(mark)) {
            advance(mark.size());
            if (trims_newline && starts_with("\n")) {
                advance(1);
            }
        } else {
            return false;
        }
        line_starting_ = at_ > start && text_[at_ - 1] == '\n';
        return true;
    }

    void lex_comment() {
        while (at_ < text_.size()) {
            const size_t next = text_.find_first_of("-+#", at_);
            advance((next == std::string::npos ? text_.size() : next) - at_);
            if (eat_end_mark("#}", true)) {
                return;
            }
            advance(1);
        }
        fail("a comment is not closed");
    }

    // Behind "{%": the whole of {% raw %} … {% endraw %}, if it is one.
    bool lex_raw() {
        const size_t start = at_;
        const uint32_t start_line = line_;
        const auto back = [&] {
            at_ = start;
            line_ = start_line;
            return false;
        };
        skip_space();
        if (!starts_with("raw")) {
            return back();
        }
        advance(3);
        skip_space();
        if (!eat_end_mark("%}", false)) {
            return back();
        }
        const size_t begin = at_;
        while (at_ < text_.size()) {
            const size_t mark = text_.find("{%", at_);
            advance((mark == std::string::npos ? text_.size() : mark) - at_);
            const size_t end = at_;
            advance(2);
            const bool strips = starts_with("-");
            advance(strips || starts_with("+") ? 1 : 0);
            skip_space();
            if (!starts_with("endraw")) {
                continue;
            }
            advance(6);
            skip_space();
            if (eat_end_mark("%}", true)) {
                push_raw(std::string_view(text_).substr(begin, end - begin), strips);
                return true;
            }
        }
        fail("{% raw %} is not closed");
        return true;
    }

    void push_raw(std::string_view raw, bool strips) {
        if (strips) {
            raw = trim_right(raw);
        }
        if (!raw.empty()) {
            push(TokenKind::kText, std::string(raw));
        }
    }

    void lex_code(TokenKind end) {
        const bool block = end == TokenKind::kBlockEnd;
        while (!failed_) {
            skip_space();
            if (at_ >= text_.size()) {
                fail(block ? "{% is not closed" : "{{ is not closed");
                return;
            }
            // Within brackets "}}" closes two of them, not the mark.
            if (brackets_.empty() && eat_end_mark(block ? "%}" : "}}", block)) {
                push(end, "");
                return;
            }
            lex_code_token();
        }
    }

    void lex_code_token() {
        const char c = text_[at_];
        if (is_name_start(c)) {
            size_t end = at_;
            while (end < text_.size() && (is_name_start(text_[end]) || is_digit(text_[end]))) {
                ++end;
            }
            push(TokenKind::kName, text_.substr(at_, end - at_));
            advance(end - at_);
        } else if (is_digit(c)) {
            lex_number();
        } else if (c == '\'' || c == '"') {
            lex_string(c);
        } else {
            lex_operator();
        }
    }

    size_t digits_end(size_t from) const noexcept {
        while (from < text_.size() && (is_digit(text_[from]) || text_[from] == '_')) {
            ++from;
        }
        return from;
    }

    void lex_number() {
        size_t end = digits_end(at_);
        bool real = false;
        if (end + 1 < text_.size() && text_[end] == '.' && is_digit(text_[end + 1])) {
            end = digits_end(end + 1);
            real = true;
        }
        if (end < text_.size() && (text_[end] == 'e' || text_[end] == 'E')) {
            const size_t sign =
                end + 1 < text_.size() && (text_[end + 1] == '+' || text_[end + 1] == '-')
                    ? end + 2
                    : end + 1;
            if (sign < text_.size() && is_digit(text_[sign])) {
                end = digits_end(sign);
                real = true;
            }
        }
        std::string number = text_.substr(at_, end - at_);
        number.erase(std::remove(number.begin(), number.end(), '_'), number.end());
        push(real ? TokenKind::kFloat : TokenKind::kInteger, std::move(number));
        advance(end - at_);
    }

    void lex_string(char quote) {
        std::string value;
        const uint32_t line = line_;
        size_t at = at_ + 1;
        while (at < text_.size() && text_[at] != quote) {
            if (text_[at] != '\\') {
                value.push_back(text_[at++]);
                continue;
            }
            at = unescape(at + 1, value);
        }
        if (at >= text_.size()) {
            fail("a string is not closed");
            return;
        }
        tokens_.push_back({TokenKind::kString, std::move(value), line});
        advance(at + 1 - at_);
    }

    // The escape whose letter is at `at`; gives the position behind it. Python's rules: an unknown
    // escape stays as it is written.
    size_t unescape(size_t at, std::string& value) {
        if (at >= text_.size()) {
            return at;
        }
        const char letter = text_[at];
        constexpr std::string_view kLetters = "abfnrtv\\'\"";
        constexpr std::string_view kValues = "\a\b\f\n\r\t\v\\'\"";
        if (const size_t index = kLetters.find(letter); index != std::string_view::npos) {
            value.push_back(kValues[index]);
            return at + 1;
        }
        if (letter == '\n') {
            return at + 1;
        }
        const size_t digits = letter == 'x' ? 2 : letter == 'u' ? 4 : letter == 'U' ? 8 : 0;
        const std::optional<uint32_t> codepoint =
            parse_hex(std::string_view(text_).substr(at + 1, digits), digits);
        if (digits == 0 || !codepoint) {
            value.push_back('\\');
            value.push_back(letter);
            return at + 1;
        }
        append_utf8(value, *codepoint);
        return at + 1 + digits;
    }

    void lex_operator() {
        const auto found = std::find_if(kOperators.begin(), kOperators.end(),
                                        [this](std::string_view op) { return starts_with(op); });
        if (found == kOperators.end()) {
            fail("the character '" + text_.substr(at_, 1) + "' has no meaning here");
            return;
        }
        const char c = found->front();
        if (c == '(' || c == '[' || c == '{') {
            brackets_.push_back(c == '(' ? ')' : c == '[' ? ']' : '}');
        } else if (c == ')' || c == ']' || c == '}') {
            if (brackets_.empty() || brackets_.back() != c) {
                fail("'" + std::string(1, c) + "' closes nothing");
                return;
            }
            brackets_.pop_back();
        }
        push(TokenKind::kOperator, std::string(*found));
        advance(found->size());
    }

    std::string text_;
    size_t at_ = 0;
    uint32_t line_ = 1;
    bool line_starting_ = true;  // Only white space stands before `at_` in its line.
    std::string brackets_;       // What closes the open ones, innermost last.
    std::vector<Token> tokens_;
    std::string error_;
    bool failed_ = false;
};

}  // namespace

Result<std::vector<Token>> tokenize_template(std::string_view source) {
    return Lexer(source).run();
}

}  // namespace rekindle::runtime::jinja
