#include "runtime/tokenizer/pre_tokenizer.h"

namespace rekindle::runtime {
namespace {

bool is_newline(char c) noexcept {
    return c == '\n' || c == '\r';
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

PieceScanner::PieceScanner(const PreTokenizerRules& rules) noexcept : rules_(rules) {
    for (uint32_t c = 0; c < ascii_.size(); ++c) {
        ascii_[c] = kind_of(class_of(c));
    }
}

CharKind PieceScanner::kind_of(CharClass cls) const noexcept {
    switch (cls) {
        case CharClass::kSpace:
            return CharKind::kSpace;
        case CharClass::kNumber:
            return CharKind::kNumber;
        case CharClass::kMark:
            return has(kMarksAreLetters) ? CharKind::kLetter : CharKind::kSymbol;
        case CharClass::kDigitOnly:
            return has(kDigitsAlone) ? CharKind::kNumber : CharKind::kSymbol;
        case CharClass::kOther:
            return CharKind::kSymbol;
        default:
            return CharKind::kLetter;
    }
}

PieceScanner::Next PieceScanner::at(std::string_view text, size_t position) const noexcept {
    if (position >= text.size()) {
        return {CharKind::kEnd, 0};
    }
    const char* front = text.data() + position;
    if (const auto c = static_cast<uint8_t>(*front); c < ascii_.size()) {
        return {ascii_.data()[c], 1};
    }
    const ClassifiedChar next = classify_front(front, text.size() - position);
    return {kind_of(next.cls), next.bytes};
}

size_t PieceScanner::first_piece_bytes(std::string_view text) const noexcept {
    if (const size_t bytes = contraction_bytes(text); bytes > 0) {
        return bytes;
    }
    const Next first = at(text, 0);
    switch (first.kind) {
        case CharKind::kLetter:
            return skip(text, first.bytes, CharKind::kLetter);
        case CharKind::kNumber:
            return skip_number(text, first.bytes);
        default:
            break;
    }
    if (const size_t bytes = joined_bytes(text, first); bytes > 0) {
        return bytes;
    }
    return first.kind == CharKind::kSymbol ? skip_symbols(text, 0) : whitespace_bytes(text);
}

// End of the run of `kind` that begins at `position`.
size_t PieceScanner::skip(std::string_view text, size_t position, CharKind kind) const noexcept {
    for (Next next = at(text, position); next.kind == kind; next = at(text, position)) {
        position += next.bytes;
    }
    return position;
}

size_t PieceScanner::skip_number(std::string_view text, size_t first_bytes) const noexcept {
    if (has(kDigitsAlone)) {
        return first_bytes;
    }
    if (rules_.digits_max == 0) {
        return skip(text, 0, CharKind::kNumber);
    }
    size_t position = first_bytes;
    for (uint32_t count = 1; count < rules_.digits_max; ++count) {
        const Next next = at(text, position);
        if (next.kind != CharKind::kNumber) {
            break;
        }
        position += next.bytes;
    }
    return position;
}

size_t PieceScanner::skip_symbols(std::string_view text, size_t position) const noexcept {
    position = skip(text, position, CharKind::kSymbol);
    if (has(kNewlinesEndRun)) {
        while (position < text.size() && is_newline(text[position])) {
            ++position;
        }
    }
    return position;
}

// A first character, neither letter nor number, that goes with what follows it; else 0.
size_t PieceScanner::joined_bytes(std::string_view text, const Next& first) const noexcept {
    const bool joins_word = has(kSymbolJoinsWord) && !is_newline(text[0]);
    const bool joins_all = has(kSpaceJoins) && text[0] == ' ';
    if (!joins_word && !joins_all) {
        return 0;
    }
    switch (at(text, first.bytes).kind) {
        case CharKind::kLetter:
            return skip(text, first.bytes, CharKind::kLetter);
        case CharKind::kNumber:
            return joins_all && rules_.digits_max == 0 && !has(kDigitsAlone)
                       ? skip(text, first.bytes, CharKind::kNumber)
                       : 0;
        case CharKind::kSymbol:
            return joins_all ? skip_symbols(text, first.bytes) : 0;
        default:
            return 0;
    }
}

// \s*[\r\n]+ | \s+(?!\S) | \s+: the last space of a run is left for the word behind it.
size_t PieceScanner::whitespace_bytes(std::string_view text) const noexcept {
    size_t position = 0;
    size_t last_start = 0;
    size_t newline_end = 0;
    Next next = at(text, 0);
    for (; next.kind == CharKind::kSpace; next = at(text, position)) {
        newline_end = is_newline(text[position]) ? position + 1 : newline_end;
        last_start = position;
        position += next.bytes;
    }
    if (has(kNewlinesEndRun) && newline_end > 0) {
        return newline_end;
    }
    const bool at_end =
        next.kind == CharKind::kEnd || (has(kDigitsAlone) && next.kind == CharKind::kNumber);
    return at_end || last_start == 0 ? position : last_start;
}

size_t PieceScanner::contraction_bytes(std::string_view text) const noexcept {
    if (text[0] != '\'' || text.size() < 2 || !has(kContractions)) {
        return 0;
    }
    const bool any_case = has(kContractionsAnyCase);
    const auto letter = [&](size_t position) noexcept {
        if (position >= text.size()) {
            return '\0';
        }
        const char c = text[position];
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
    return any_case && text.substr(1, kLongS.size()) == kLongS ? 1 + kLongS.size() : 0;
}

}  // namespace rekindle::runtime
