#include "runtime/tokenizer/pre_tokenizer.h"

#include "runtime/tokenizer/unicode_class.h"

#include <array>

namespace rekindle::runtime {
namespace {

// What the rules distinguish; the many letter classes are one here.
enum class Kind : uint8_t { kEnd, kLetter, kNumber, kSpace, kSymbol };

struct Next {
    Kind kind;
    uint32_t bytes;
};

class Scanner {
public:
    Scanner(std::string_view text, const PreTokenizerRules& rules) noexcept
        : text_(text), rules_(rules) {}

    size_t first_piece() const noexcept {
        if (const size_t bytes = contraction_bytes(); bytes > 0) {
            return bytes;
        }
        const Next first = at(0);
        switch (first.kind) {
            case Kind::kLetter:
                return skip(0, Kind::kLetter);
            case Kind::kNumber:
                return skip_number(first.bytes);
            default:
                break;
        }
        if (const size_t bytes = joined_bytes(first); bytes > 0) {
            return bytes;
        }
        return first.kind == Kind::kSymbol ? skip_symbols(0) : whitespace_bytes();
    }

private:
    bool has(PreTokenizerFlag flag) const noexcept { return (rules_.flags & flag) != 0; }

    bool is_newline(size_t position) const noexcept {
        return text_[position] == '\n' || text_[position] == '\r';
    }

    Next at(size_t position) const noexcept {
        if (position >= text_.size()) {
            return {Kind::kEnd, 0};
        }
        const ClassifiedChar next =
            classify_front(text_.data() + position, text_.size() - position);
        return {kind_of(next.cls), next.bytes};
    }

    Kind kind_of(CharClass cls) const noexcept {
        switch (cls) {
            case CharClass::kSpace:
                return Kind::kSpace;
            case CharClass::kNumber:
                return Kind::kNumber;
            case CharClass::kMark:
                return has(kMarksAreLetters) ? Kind::kLetter : Kind::kSymbol;
            case CharClass::kDigitOnly:
                return has(kDigitsAlone) ? Kind::kNumber : Kind::kSymbol;
            case CharClass::kOther:
                return Kind::kSymbol;
            default:
                return Kind::kLetter;
        }
    }

    // End of the run of `kind` that begins at `position`.
    size_t skip(size_t position, Kind kind) const noexcept {
        for (Next next = at(position); next.kind == kind; next = at(position)) {
            position += next.bytes;
        }
        return position;
    }

    size_t skip_number(size_t first_bytes) const noexcept {
        if (has(kDigitsAlone)) {
            return first_bytes;
        }
        if (rules_.digits_max == 0) {
            return skip(0, Kind::kNumber);
        }
        size_t position = first_bytes;
        for (uint32_t count = 1; count < rules_.digits_max; ++count) {
            const Next next = at(position);
            if (next.kind != Kind::kNumber) {
                break;
            }
            position += next.bytes;
        }
        return position;
    }

    size_t skip_symbols(size_t position) const noexcept {
        position = skip(position, Kind::kSymbol);
        if (has(kNewlinesEndRun)) {
            while (position < text_.size() && is_newline(position)) {
                ++position;
            }
        }
        return position;
    }

    // A first character, neither letter nor number, that goes with what follows it; else 0.
    size_t joined_bytes(const Next& first) const noexcept {
        const bool joins_word = has(kSymbolJoinsWord) && !is_newline(0);
        const bool joins_all = has(kSpaceJoins) && text_[0] == ' ';
        if (!joins_word && !joins_all) {
            return 0;
        }
        switch (at(first.bytes).kind) {
            case Kind::kLetter:
                return skip(first.bytes, Kind::kLetter);
            case Kind::kNumber:
                return joins_all && rules_.digits_max == 0 && !has(kDigitsAlone)
                           ? skip(first.bytes, Kind::kNumber)
                           : 0;
            case Kind::kSymbol:
                return joins_all ? skip_symbols(first.bytes) : 0;
            default:
                return 0;
        }
    }

    // \s*[\r\n]+ | \s+(?!\S) | \s+: the last space of a run is left for the word behind it.
    size_t whitespace_bytes() const noexcept {
        size_t position = 0;
        size_t last_start = 0;
        size_t newline_end = 0;
        Next next = at(0);
        for (; next.kind == Kind::kSpace; next = at(position)) {
            newline_end = is_newline(position) ? position + 1 : newline_end;
            last_start = position;
            position += next.bytes;
        }
        if (has(kNewlinesEndRun) && newline_end > 0) {
            return newline_end;
        }
        const bool at_end =
            next.kind == Kind::kEnd || (has(kDigitsAlone) && next.kind == Kind::kNumber);
        return at_end || last_start == 0 ? position : last_start;
    }

    size_t contraction_bytes() const noexcept;

    std::string_view text_;
    const PreTokenizerRules& rules_;
};

size_t Scanner::contraction_bytes() const noexcept {
    if (text_[0] != '\'' || text_.size() < 2 || !has(kContractions)) {
        return 0;
    }
    const bool any_case = has(kContractionsAnyCase);
    const auto letter = [&](size_t position) noexcept {
        if (position >= text_.size()) {
            return '\0';
        }
        const char c = text_[position];
        return any_case && c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    };
    switch (letter(1)) {
        case 's':
        case 't':
        case 'm':
        case 'd':
            return 2;
        case 'r':
        case 'v':
            return letter(2) == 'e' ? 3 : 0;
        case 'l':
            return letter(2) == 'l' ? 3 : 0;
        default:
            break;
    }
    // U+017F, the long s, is an s to a comparison without case.
    constexpr std::string_view kLongS = "\xC5\xBF";
    return any_case && text_.substr(1, kLongS.size()) == kLongS ? 1 + kLongS.size() : 0;
}

struct NamedRules {
    std::string_view name;
    PreTokenizerRules rules;
};

constexpr uint32_t kGpt2 = kContractions | kSpaceJoins;
constexpr uint32_t kLlama3 =
    kContractions | kContractionsAnyCase | kSpaceJoins | kSymbolJoinsWord | kNewlinesEndRun;

constexpr auto kNamedRules = std::to_array<NamedRules>({
    {"gpt-2", {kGpt2, 0}},
    {"default", {kGpt2, 0}},
    {"phi-2", {kGpt2, 0}},
    {"olmo", {kGpt2, 0}},
    {"smollm", {kGpt2 | kDigitsAlone, 0}},
    {"starcoder", {kGpt2 | kDigitsAlone, 0}},
    {"refact", {kGpt2 | kDigitsAlone, 0}},
    {"llama-bpe", {kLlama3 | kIgnoreMerges, 3}},
    {"llama3", {kLlama3 | kIgnoreMerges, 3}},
    {"llama-v3", {kLlama3 | kIgnoreMerges, 3}},
    {"qwen2", {kLlama3, 1}},
    {"deepseek-r1-qwen", {kLlama3, 1}},
    {"qwen35", {kLlama3 | kMarksAreLetters, 1}},
});

}  // namespace

std::optional<PreTokenizerRules> find_rules(std::string_view name) noexcept {
    for (const NamedRules& entry : kNamedRules) {
        if (entry.name == name) {
            return entry.rules;
        }
    }
    return std::nullopt;
}

size_t first_piece_bytes(std::string_view text, const PreTokenizerRules& rules) noexcept {
    return Scanner(text, rules).first_piece();
}

}  // namespace rekindle::runtime
