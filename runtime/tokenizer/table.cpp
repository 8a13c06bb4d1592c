#include "runtime/tokenizer/table.h"

#include <algorithm>
#include <cstring>
#include <string>

namespace rekindle::runtime {
namespace {

Error corrupt(std::string_view what) {
    return Error{ErrorCode::kCorrupt, "tokenizer table: " + std::string(what)};
}

// The elements of one section; false when it leaves the table.
template <typename T>
bool bind(std::span<const std::byte> bytes, const TableSection& section,
          std::span<const T>& out) noexcept {
    if (section.offset % 8 != 0 || section.offset > bytes.size() ||
        section.count > (bytes.size() - section.offset) / sizeof(T)) {
        return false;
    }
    out = {reinterpret_cast<const T*>(bytes.data() + section.offset),
           static_cast<size_t>(section.count)};
    return true;
}

bool bind_sections(std::span<const std::byte> bytes, TableView& view) noexcept {
    const TableHeader& header = *view.header;
    return bind(bytes, header.token_offsets, view.token_offsets) &&
           bind(bytes, header.token_flags, view.token_flags) &&
           bind(bytes, header.text, view.text) &&
           bind(bytes, header.token_slots, view.token_slots) &&
           bind(bytes, header.merges, view.merges) &&
           bind(bytes, header.merge_slots, view.merge_slots) &&
           bind(bytes, header.byte_tokens, view.byte_tokens) &&
           bind(bytes, header.specials, view.specials);
}

Result<void> check_header(std::span<const std::byte> bytes) {
    if (reinterpret_cast<uintptr_t>(bytes.data()) % 8 != 0) {
        return corrupt("it does not lie at a multiple of eight bytes");
    }
    if (bytes.size() < sizeof(TableHeader)) {
        return corrupt("ends within its header");
    }
    TableHeader header;
    std::memcpy(&header, bytes.data(), sizeof header);
    if (header.magic != kTableMagic) {
        return corrupt("wrong magic");
    }
    if (header.version != kTableVersion) {
        return Error{
            ErrorCode::kUnsupported,
            "tokenizer table: version " + std::to_string(header.version) + " is not known here"};
    }
    if (header.table_bytes != bytes.size()) {
        return corrupt("has " + std::to_string(bytes.size()) + " bytes, its header says " +
                       std::to_string(header.table_bytes));
    }
    if ((header.rules.flags & ~kPreTokenizerFlagsAll) != 0 || header.rules.digits_max > 64) {
        return corrupt("unknown pre-tokenizer rules");
    }
    return {};
}

Result<void> check_tokens(const TableView& view) {
    const size_t tokens = view.token_flags.size();
    if (tokens == 0 || tokens > kEntriesMax || view.token_offsets.size() != tokens + 1) {
        return corrupt("token count and offsets disagree");
    }
    // One pass without branches; the compiler makes it a vector loop.
    uint32_t bad = 0;
    for (size_t i = 0; i < tokens; ++i) {
        const uint32_t begin = view.token_offsets[i];
        const uint32_t end = view.token_offsets[i + 1];
        bad |= static_cast<uint32_t>(end < begin) |
               static_cast<uint32_t>(end - begin > kTokenBytesMax);
    }
    if (bad != 0 || view.token_offsets.back() != view.text.size()) {
        return corrupt("token offsets leave the text");
    }
    const auto count = static_cast<int32_t>(tokens);
    const TableHeader& header = *view.header;
    for (const int32_t id : {header.bos, header.eos, header.unknown, header.padding}) {
        if (id < -1 || id >= count) {
            return corrupt("a special id is out of range");
        }
    }
    if (view.byte_tokens.size() != 256 ||
        std::any_of(view.byte_tokens.begin(), view.byte_tokens.end(),
                    [count](int32_t id) { return id < -1 || id >= count; })) {
        return corrupt("byte tokens are out of range");
    }
    for (const uint32_t id : view.specials) {
        if (id >= tokens || view.bytes_of(id).empty() ||
            view.bytes_of(id).size() > kSpecialBytesMax) {
            return corrupt("special tokens are out of range");
        }
    }
    return {};
}

bool slots_within(std::span<const uint32_t> slots, size_t entries) noexcept {
    uint32_t highest = 0;
    for (const uint32_t slot : slots) {
        highest = std::max(highest, slot & kSlotIndexMask);
    }
    return highest <= entries;
}

Result<void> check_merges(const TableView& view) {
    if (view.merges.size() > kEntriesMax) {
        return corrupt("too many merges");
    }
    uint32_t highest = 0;
    for (const TableMerge& merge : view.merges) {
        highest = std::max({highest, merge.left, merge.right, merge.merged});
    }
    if (highest >= view.tokens()) {
        return corrupt("a merge names a token out of range");
    }
    const TableHeader& header = *view.header;
    if (view.token_slots.empty() || view.merge_slots.empty() ||
        !slots_within(view.token_slots, view.tokens()) ||
        !slots_within(view.merge_slots, view.merges.size())) {
        return corrupt("a hash slot is out of range");
    }
    if (header.token_probes_max > kProbesMax || header.merge_probes_max > kProbesMax) {
        return corrupt("its hash tables are degenerate");
    }
    return {};
}

}  // namespace

uint64_t hash_bytes(std::string_view bytes) noexcept {
    const char* at = bytes.data();
    size_t left = bytes.size();
    uint64_t hash = left;
    for (; left > 8; at += 8, left -= 8) {
        hash = mix_hash(hash ^ load_short(at, 8));
    }
    return mix_hash(hash ^ mix_hash(load_short(at, left)));
}

int32_t TableView::find_whole(std::string_view bytes) const noexcept {
    const uint64_t hash = hash_bytes(bytes);
    const uint32_t fingerprint = fingerprint_of(hash);
    const size_t slots = token_slots.size();
    size_t slot = slot_of(hash, slots);
    for (uint32_t probe = 0; probe <= header->token_probes_max; ++probe) {
        const uint32_t entry = token_slots.data()[slot];
        if ((entry & kSlotIndexMask) == 0) {
            return -1;
        }
        if ((entry & ~kSlotIndexMask) == fingerprint) {
            const uint32_t token = (entry & kSlotIndexMask) - 1;
            if (bytes_of(token) == bytes) {
                return static_cast<int32_t>(token);
            }
        }
        slot = slot + 1 == slots ? 0 : slot + 1;
    }
    return -1;
}

int32_t TableView::find_merge(uint32_t left, uint32_t right) const noexcept {
    const uint64_t hash = hash_pair(left, right);
    const uint32_t fingerprint = fingerprint_of(hash);
    const size_t slots = merge_slots.size();
    size_t slot = slot_of(hash, slots);
    for (uint32_t probe = 0; probe <= header->merge_probes_max; ++probe) {
        const uint32_t entry = merge_slots.data()[slot];
        if ((entry & kSlotIndexMask) == 0) {
            return -1;
        }
        if ((entry & ~kSlotIndexMask) == fingerprint) {
            const uint32_t rank = (entry & kSlotIndexMask) - 1;
            const TableMerge& merge = merges.data()[rank];
            if (merge.left == left && merge.right == right) {
                return static_cast<int32_t>(rank);
            }
        }
        slot = slot + 1 == slots ? 0 : slot + 1;
    }
    return -1;
}

Result<TableView> open_table(std::span<const std::byte> bytes) {
    if (Result<void> checked = check_header(bytes); !checked) {
        return std::move(checked).error();
    }
    TableView view;
    view.header = reinterpret_cast<const TableHeader*>(bytes.data());
    if (!bind_sections(bytes, view)) {
        return corrupt("a section leaves the table");
    }
    if (Result<void> checked = check_tokens(view); !checked) {
        return std::move(checked).error();
    }
    if (Result<void> checked = check_merges(view); !checked) {
        return std::move(checked).error();
    }
    return view;
}

}  // namespace rekindle::runtime
