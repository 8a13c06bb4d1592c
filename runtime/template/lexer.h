// Template source to tokens, with the whitespace rules that chat templates are written for:
// trim_blocks and lstrip_blocks on, one final newline dropped, "-" and "+" at the marks obeyed.
// Threading: pure function.
#pragma once
#include "base/result.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace rekindle::runtime::jinja {

enum class TokenKind : uint8_t {
    kEnd,
    kText,           // Outside of marks; never empty.
    kBlockBegin,     // {%
    kBlockEnd,       // %}
    kVariableBegin,  // {{
    kVariableEnd,    // }}
    kName,
    kString,  // Escapes resolved.
    kInteger,
    kFloat,
    kOperator,
};

struct Token {
    TokenKind kind = TokenKind::kEnd;
    std::string text;
    uint32_t line = 0;
};

// kInvalidArgument names the line of an unclosed mark, string or bracket, or of a stray character.
// The last token is kEnd.
Result<std::vector<Token>> tokenize_template(std::string_view source);

}  // namespace rekindle::runtime::jinja
