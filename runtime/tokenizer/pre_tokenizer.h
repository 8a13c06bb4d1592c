// Cuts a text into the pieces within which BPE merges. Each rule set does what the regular
// expression of the same name does in the model's own tokenizer, as a scanner whose cost is linear
// in the text: a whitespace run is read at most twice, every other character once. Threading:
// immutable.
#pragma once
#include "runtime/tokenizer/unicode_class.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace rekindle::runtime {

// Bits of PreTokenizerRules::flags; they stand in the compiled table.
enum PreTokenizerFlag : uint32_t {
    kDigitsAlone = 1U << 0,          // Every number character is cut off first (HF "Digits").
    kContractions = 1U << 1,         // 's 't 're 've 'm 'll 'd are pieces.
    kContractionsAnyCase = 1U << 2,  // Also 'S, 'RE, …
    kSpaceJoins = 1U << 3,           // One space goes with the word or symbols behind it.
    kSymbolJoinsWord = 1U << 4,      // One non-newline symbol or space goes with letters behind it.
    kNewlinesEndRun = 1U << 5,       // \s*[\r\n]+ is a piece; symbols take newlines behind them.
    kMarksAreLetters = 1U << 6,      // [\p{L}\p{M}] instead of \p{L}.
    kIgnoreMerges = 1U << 7,         // A piece that is a token becomes it, whatever the merges say.
};

inline constexpr uint32_t kPreTokenizerFlagsAll = (1U << 8) - 1;

struct PreTokenizerRules {
    uint32_t flags = 0;
    uint32_t digits_max = 0;  // Number characters in a piece; 0: any count, and a space may join.
};

// The rules of a GGUF `tokenizer.ggml.pre` name; nothing when it is unknown.
std::optional<PreTokenizerRules> find_rules(std::string_view name) noexcept;

// What the rules distinguish; the many letter classes are one here.
enum class CharKind : uint8_t { kEnd, kLetter, kNumber, kSpace, kSymbol };

// Holds the kinds of ASCII under its rules, so that most characters cost one load.
class PieceScanner {
public:
    explicit PieceScanner(const PreTokenizerRules& rules) noexcept;

    // Bytes of the first piece of a non-empty `text` (>= 1). `text` runs to the end of its segment.
    size_t first_piece_bytes(std::string_view text) const noexcept;

private:
    struct Next {
        CharKind kind;
        uint32_t bytes;
    };

    bool has(PreTokenizerFlag flag) const noexcept { return (rules_.flags & flag) != 0; }

    CharKind kind_of(CharClass cls) const noexcept;
    Next at(std::string_view text, size_t position) const noexcept;
    size_t skip(std::string_view text, size_t position, CharKind kind) const noexcept;
    size_t skip_number(std::string_view text, size_t first_bytes) const noexcept;
    size_t skip_symbols(std::string_view text, size_t position) const noexcept;
    size_t joined_bytes(std::string_view text, const Next& first) const noexcept;
    size_t whitespace_bytes(std::string_view text) const noexcept;
    size_t contraction_bytes(std::string_view text) const noexcept;

    PreTokenizerRules rules_;
    std::array<CharKind, 128> ascii_{};
};

}  // namespace rekindle::runtime
