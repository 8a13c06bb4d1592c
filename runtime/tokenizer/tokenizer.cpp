#include "runtime/tokenizer/tokenizer.h"

#include "base/check.h"
#include "runtime/tokenizer/bpe.h"
#include "runtime/tokenizer/special_tokens.h"
#include "runtime/tokenizer/table.h"
#include "runtime/tokenizer/word_cache.h"

#include <algorithm>
#include <span>
#include <string>
#include <utility>

namespace rekindle::runtime {
namespace {

// A piece longer than this is cut; positions within a piece are 32 bits.
constexpr size_t kPieceBytesMax = 1U << 30;

}  // namespace

struct EncodeScratch::State {
    const void* owner;  // The Tokenizer::State whose ids the words are.
    BpeScratch bpe{};
    WordCache words{};
};

EncodeScratch::EncodeScratch(std::unique_ptr<State> state) : state_(std::move(state)) {}

EncodeScratch::EncodeScratch(EncodeScratch&&) noexcept = default;
EncodeScratch& EncodeScratch::operator=(EncodeScratch&&) noexcept = default;
EncodeScratch::~EncodeScratch() = default;

struct Tokenizer::State {
    explicit State(const TableView& view) noexcept
        : table(view), scanner(view.header->rules), specials(table) {}

    // Ordinary text between special tokens.
    void encode_segment(std::string_view text, EncodeScratch::State& scratch,
                        std::vector<TokenId>& out) const {
        while (!text.empty()) {
            const size_t bytes =
                std::min(scanner.first_piece_bytes(text.substr(0, kPieceBytesMax)), text.size());
            const std::string_view piece = text.substr(0, bytes);
            text.remove_prefix(bytes);
            if (piece.size() > WordCache::kWordBytesMax) {
                encode_piece(piece, scratch.bpe, out);
                continue;
            }
            const WordCache::Key key = WordCache::key_of(piece);
            if (!scratch.words.find(key, out)) {
                const size_t before = out.size();
                encode_piece(piece, scratch.bpe, out);
                scratch.words.put(key, std::span(out).subspan(before));
            }
        }
    }

    void encode_piece(std::string_view piece, BpeScratch& scratch,
                      std::vector<TokenId>& out) const {
        if (piece.size() <= table.header->whole_bytes_max) {
            if (const int32_t token = table.find_whole(piece); token >= 0) {
                out.push_back(token);
                return;
            }
        }
        merge_piece(table, piece, scratch, out);
    }

    void encode_prefixed(std::string_view text, EncodeScratch::State& scratch,
                         std::vector<TokenId>& out) const {
        const bool wanted = (table.header->flags & kTableAddSpacePrefix) != 0 && !text.empty() &&
                            text.front() != ' ';
        if (!wanted) {
            encode_segment(text, scratch, out);
            return;
        }
        encode_segment(" " + std::string(text), scratch, out);
    }

    bool has_flag(TokenId id, TokenFlag flag) const noexcept {
        return id >= 0 && static_cast<uint32_t>(id) < table.tokens() &&
               (table.token_flags[static_cast<uint32_t>(id)] & flag) != 0;
    }

    TableView table;
    PieceScanner scanner;
    SpecialTokens specials;
};

Result<Tokenizer> Tokenizer::open(std::span<const std::byte> table) {
    Result<TableView> view = open_table(table);
    if (!view) {
        return std::move(view).error();
    }
    return Tokenizer(std::make_unique<State>(*view));
}

Tokenizer::Tokenizer(std::unique_ptr<State> state) : state_(std::move(state)) {}

Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

EncodeScratch Tokenizer::new_scratch() const {
    return EncodeScratch(std::make_unique<EncodeScratch::State>(state_.get()));
}

void Tokenizer::encode(std::string_view text, bool parse_special, EncodeScratch& scratch,
                       std::vector<TokenId>& out) const {
    EncodeScratch::State& memory = *scratch.state_;
    REKINDLE_CHECK(memory.owner == state_.get(), "a scratch is used with its own tokenizer");
    size_t at = 0;
    while (at < text.size()) {
        const SpecialTokens::Match match = state_->specials.find(text, at, parse_special);
        state_->encode_prefixed(text.substr(at, match.position - at), memory, out);
        if (match.position == text.size()) {
            break;
        }
        out.push_back(static_cast<TokenId>(match.token));
        at = match.position + state_->table.bytes_of(match.token).size();
    }
    memory.bpe.trim();
}

std::string_view Tokenizer::bytes_of(TokenId id) const noexcept {
    if (id < 0 || static_cast<uint32_t>(id) >= state_->table.tokens()) {
        return {};
    }
    return state_->table.bytes_of(static_cast<uint32_t>(id));
}

bool Tokenizer::is_control(TokenId id) const noexcept {
    return state_->has_flag(id, kTokenControl);
}

bool Tokenizer::is_end(TokenId id) const noexcept {
    return state_->has_flag(id, kTokenEnd);
}

uint32_t Tokenizer::size() const noexcept {
    return state_->table.tokens();
}

std::optional<TokenId> Tokenizer::bos() const noexcept {
    const int32_t id = state_->table.header->bos;
    return id < 0 ? std::nullopt : std::optional<TokenId>(id);
}

std::optional<TokenId> Tokenizer::eos() const noexcept {
    const int32_t id = state_->table.header->eos;
    return id < 0 ? std::nullopt : std::optional<TokenId>(id);
}

bool Tokenizer::add_bos() const noexcept {
    return (state_->table.header->flags & kTableAddBos) != 0;
}

}  // namespace rekindle::runtime
