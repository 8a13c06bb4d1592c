// Text in code points and white space as Python's str has them.
// Threading: pure functions.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace rekindle::runtime::jinja {

// str.isspace of one code point.
bool is_python_space(uint32_t codepoint) noexcept;
size_t leading_space_bytes(std::string_view text) noexcept;
std::string_view trim_left(std::string_view text) noexcept;
std::string_view trim_right(std::string_view text) noexcept;
// With a set of characters to strip instead of white space.
std::string_view trim_left_of(std::string_view text, std::string_view characters) noexcept;
std::string_view trim_right_of(std::string_view text, std::string_view characters) noexcept;

// Exactly `digits` hexadecimal digits that give a code point.
std::optional<uint32_t> parse_hex(std::string_view text, size_t digits) noexcept;

size_t count_codepoints(std::string_view text) noexcept;
// Byte offset of code point `index`, text.size() when there are fewer.
size_t codepoint_offset(std::string_view text, size_t index) noexcept;
// Bytes of the first character of a non-empty text.
size_t first_character_bytes(std::string_view text) noexcept;

uint32_t to_upper(uint32_t codepoint) noexcept;
// With the mappings to several characters: ß gives SS.
void append_upper(std::string& out, uint32_t codepoint);
uint32_t to_lower(uint32_t codepoint) noexcept;
bool is_cased(uint32_t codepoint) noexcept;

// repr() of a str: quotes chosen and escapes made as Python does.
void append_repr(std::string& out, std::string_view text);
// repr() of a float: the shortest digits that read back the same.
void append_double(std::string& out, double value);

}  // namespace rekindle::runtime::jinja
