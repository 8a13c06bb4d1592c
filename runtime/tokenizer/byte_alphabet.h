// GPT-2's printable alphabet: vocabularies write byte b as a code point, itself where that prints
// and one of U+0100 to U+0143 where it does not. Threading: pure functions.
#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace rekindle::runtime {

// The bytes that `printed` stands for; nothing when a character is not of the alphabet.
std::optional<std::string> bytes_of_printed(std::string_view printed);

}  // namespace rekindle::runtime
