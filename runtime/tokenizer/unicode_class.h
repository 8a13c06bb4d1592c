// Unicode classes that pre-tokenizer rules speak of (\p{L}, \p{N}, \p{M}, \s), by code point and by
// the bytes of a text. Generated from the regular expressions of Hugging Face `tokenizers`.
// Threading: pure functions.
#pragma once
#include <cstddef>
#include <cstdint>

namespace rekindle::runtime {

enum class CharClass : uint8_t {
    kOther = 0,
    kSpace = 1,        // Unicode White_Space.
    kNumber = 2,       // \p{N}
    kMark = 3,         // \p{M}
    kUpper = 4,        // \p{Lu}; from here on all are letters.
    kTitle = 5,        // \p{Lt}
    kLower = 6,        // \p{Ll}
    kModifier = 7,     // \p{Lm}
    kOtherLetter = 8,  // \p{Lo}
    kDigitOnly = 9,    // A number to the Digits rule, unassigned to \p{N}: Unicode versions differ.
};

struct ClassifiedChar {
    CharClass cls;
    uint32_t bytes;  // >= 1. A byte that starts no valid sequence is one character, kOther.
};

CharClass class_of(uint32_t codepoint) noexcept;

// The character at the front of [text, text + bytes), bytes > 0; any bytes are allowed.
ClassifiedChar classify_front(const char* text, size_t bytes) noexcept;

}  // namespace rekindle::runtime
