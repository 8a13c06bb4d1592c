// The compiled vocabulary as it lies in memory (docs/formats/tokenizer-table.md): a header, then
// flat arrays at multiples of eight bytes. It is used in place; open_table checks every offset and
// id once, so that no later lookup can leave the table. Threading: immutable. Lifetime: a TableView
// points into the table's bytes.
#pragma once
#include "base/result.h"
#include "runtime/tokenizer/pre_tokenizer.h"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

namespace rekindle::runtime {

inline constexpr uint64_t kTableMagic = 0x314E'454B'4F54'4B52;  // "RKTOKEN1" in memory order.
inline constexpr uint32_t kTableVersion = 1;
// Twenty bits of a hash slot hold index + 1, the other twelve a fingerprint.
inline constexpr uint32_t kSlotIndexBits = 20;
inline constexpr uint32_t kSlotIndexMask = (1U << kSlotIndexBits) - 1;
inline constexpr uint32_t kEntriesMax = kSlotIndexMask - 1;  // Tokens, and merges; the largest
                                                             // known vocabularies have 262,144.
inline constexpr uint32_t kTokenBytesMax = 64U << 10;
inline constexpr uint32_t kSpecialBytesMax = 512;  // Bounds the work at every '<' of a text.
inline constexpr uint32_t kProbesMax = 1024;       // Longest probe run that open accepts.

enum TokenFlag : uint8_t {
    kTokenControl = 1,      // Matched only with parse_special.
    kTokenUserDefined = 2,  // Matched in every text.
    kTokenEnd = 4,          // Ends an answer.
    kTokenWhole = 8,        // A piece with these bytes becomes this token.
};

enum TableFlag : uint32_t {
    kTableAddBos = 1,
    kTableAddEos = 2,
    kTableAddSpacePrefix = 4,
};

struct TableSection {
    uint64_t offset;  // From the start of the table; a multiple of 8.
    uint64_t count;   // Elements, not bytes.
};

struct TableMerge {
    uint32_t left;
    uint32_t right;
    uint32_t merged;
};

struct TableHeader {
    uint64_t magic;
    uint32_t version;
    uint32_t flags;  // TableFlag
    uint64_t table_bytes;
    PreTokenizerRules rules;
    int32_t bos;  // -1: none; likewise below.
    int32_t eos;
    int32_t unknown;
    int32_t padding;
    uint32_t token_probes_max;
    uint32_t merge_probes_max;
    uint32_t whole_bytes_max;  // Longest token that has kTokenWhole.
    uint32_t reserved;
    TableSection token_offsets;  // uint32_t[tokens + 1], into the text.
    TableSection token_flags;    // uint8_t[tokens]
    TableSection text;           // char[]
    TableSection token_slots;    // uint32_t[], by hash_bytes of the token; kTokenWhole ones only.
    TableSection merges;         // TableMerge[], by rank.
    TableSection merge_slots;    // uint32_t[], by hash_pair(left, right).
    TableSection byte_tokens;    // int32_t[256], the token of one byte or -1.
    TableSection specials;       // uint32_t[], control and user-defined tokens sorted by bytes.
};

static_assert(sizeof(TableHeader) == 192 && sizeof(TableMerge) == 12);

struct TableView {
    const TableHeader* header = nullptr;
    std::span<const uint32_t> token_offsets;
    std::span<const uint8_t> token_flags;
    std::span<const char> text;
    std::span<const uint32_t> token_slots;
    std::span<const TableMerge> merges;
    std::span<const uint32_t> merge_slots;
    std::span<const int32_t> byte_tokens;
    std::span<const uint32_t> specials;

    uint32_t tokens() const noexcept { return static_cast<uint32_t>(token_flags.size()); }

    std::string_view bytes_of(uint32_t token) const noexcept {
        const uint32_t* offsets = token_offsets.data() + token;
        return {text.data() + offsets[0], offsets[1] - offsets[0]};
    }

    // The kTokenWhole token with exactly these bytes, or -1.
    int32_t find_whole(std::string_view bytes) const noexcept;
    // The rank of the merge of two neighbours, or -1.
    int32_t find_merge(uint32_t left, uint32_t right) const noexcept;
};

inline uint64_t mix_hash(uint64_t value) noexcept {
    constexpr uint64_t kMix = 0x9E37'79B9'7F4A'7C15;  // 2^64 over the golden ratio, odd.
    value *= kMix;
    value ^= value >> 32;
    value *= kMix;
    return value ^ (value >> 29);
}

// The `bytes` (0 to 8) at `at` as a little-endian number, without a call and without reading beyond
// them: halves that overlap say the same in the bits that they share.
inline uint64_t load_short(const char* at, size_t bytes) noexcept {
    if (bytes >= 4) {
        uint32_t low = 0;
        uint32_t high = 0;
        std::memcpy(&low, at, 4);
        std::memcpy(&high, at + bytes - 4, 4);
        return low | (uint64_t{high} << (8 * (bytes - 4)));
    }
    if (bytes == 0) {
        return 0;
    }
    const auto byte = [at](size_t index) noexcept {
        return uint64_t{static_cast<uint8_t>(at[index])} << (8 * index);
    };
    return byte(0) | byte(bytes / 2) | byte(bytes - 1);
}

uint64_t hash_bytes(std::string_view bytes) noexcept;

inline uint64_t hash_pair(uint32_t left, uint32_t right) noexcept {
    return mix_hash((uint64_t{left} << 32) | right);
}

// First slot of a hash among `slots` (> 0) ones, and its fingerprint, ready to be or-ed with the
// index.
inline size_t slot_of(uint64_t hash, size_t slots) noexcept {
    return static_cast<size_t>(((hash >> 32) * slots) >> 32);
}

inline uint32_t fingerprint_of(uint64_t hash) noexcept {
    return static_cast<uint32_t>(hash) & ~kSlotIndexMask;
}

// kCorrupt names the first thing that is wrong. The bytes must lie at a multiple of eight.
Result<TableView> open_table(std::span<const std::byte> bytes);

}  // namespace rekindle::runtime
