// Text to token ids and back, exactly as the model's own tokenizer does it. The importer compiles a
// vocabulary to a flat table once; a worker maps the table and uses it in place.
// Threading: immutable after open; any thread. Lifetime: the table's bytes outlive the Tokenizer.
#pragma once
#include "base/result.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace rekindle::runtime {

using TokenId = int32_t;

// What the importer reads out of a model file (GGUF's tokenizer.ggml.* keys).
struct TokenizerSource {
    std::string model;                 // "gpt2": byte-level BPE.
    std::string pre_tokenizer;         // "smollm", "gpt-2", "llama-bpe", "qwen2", …
    std::vector<std::string> tokens;   // In GPT-2's printable byte alphabet.
    std::vector<int32_t> token_types;  // GGUF: 1 normal, 2 unknown, 3 control, 4 user-defined, …
    std::vector<std::string> merges;   // "left right", by rank.
    std::optional<TokenId> bos;
    std::optional<TokenId> eos;
    std::optional<TokenId> unknown;
    std::optional<TokenId> padding;
    bool add_bos = false;
    bool add_eos = false;
    bool add_space_prefix = false;
};

// The flat table (docs/formats/tokenizer-table.md). kUnsupported names a model or pre-tokenizer
// that is not known here; kCorrupt for contradictions (ids out of range, merges of unknown tokens).
Result<std::vector<std::byte>> compile_tokenizer(const TokenizerSource& source);

// Memory that encode() reuses from text to text, among it the ids of frequent words: 128 KiB, and
// up to 1.5 MiB more after long words. Made by the tokenizer that it is used with. Threading: one
// thread at a time.
class EncodeScratch {
public:
    EncodeScratch(EncodeScratch&&) noexcept;
    EncodeScratch& operator=(EncodeScratch&&) noexcept;
    ~EncodeScratch();

private:
    friend class Tokenizer;
    struct State;
    explicit EncodeScratch(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

class Tokenizer {
public:
    // Checks every offset of the table once.
    static Result<Tokenizer> open(std::span<const std::byte> table);
    Tokenizer(Tokenizer&&) noexcept;
    Tokenizer& operator=(Tokenizer&&) noexcept;
    ~Tokenizer();

    EncodeScratch new_scratch() const;
    // Appends the ids of `text` (any bytes). With `parse_special`, control tokens written out in
    // the text (as a rendered chat template has them) become their single id; otherwise they are
    // split as ordinary text, so that a user's text can never forge one. Linear in text.size().
    // The ids do not depend on what `scratch` was used for before.
    void encode(std::string_view text, bool parse_special, EncodeScratch& scratch,
                std::vector<TokenId>& out) const;
    // Raw bytes of a token; control tokens give their written form. Empty for ids out of range.
    std::string_view bytes_of(TokenId id) const noexcept;
    bool is_control(TokenId id) const noexcept;
    // Ends an answer: eos and the end-of-turn tokens of known families.
    bool is_end(TokenId id) const noexcept;

    uint32_t size() const noexcept;
    std::optional<TokenId> bos() const noexcept;
    std::optional<TokenId> eos() const noexcept;
    bool add_bos() const noexcept;

private:
    struct State;
    explicit Tokenizer(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

}  // namespace rekindle::runtime
