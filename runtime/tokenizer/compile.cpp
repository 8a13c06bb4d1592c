// compile_tokenizer: a model file's vocabulary to the flat table of table.h.
#include "base/bytes.h"
#include "base/units.h"
#include "runtime/tokenizer/bpe.h"
#include "runtime/tokenizer/byte_alphabet.h"
#include "runtime/tokenizer/table.h"
#include "runtime/tokenizer/tokenizer.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <unordered_map>

namespace rekindle::runtime {
namespace {

// GGUF's tokenizer.ggml.token_type.
constexpr int32_t kTypeUnknown = 2;
constexpr int32_t kTypeControl = 3;
constexpr int32_t kTypeUserDefined = 4;

// Control tokens with which known families end a turn, beside their declared eos.
constexpr auto kEndNames = std::to_array<std::string_view>({
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end_of_turn|>",
    "<end_of_turn>",
    "<|end|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<|eot|>",
    "<|return|>",
    "<end_of_utterance>",
    "<EOT>",
});

Error corrupt(std::string what) {
    return Error{ErrorCode::kCorrupt, "tokenizer: " + std::move(what)};
}

class Compiler {
public:
    explicit Compiler(const TokenizerSource& source) : source_(source) {}

    Result<std::vector<std::byte>> run();

private:
    Result<void> read_rules();
    Result<void> read_tokens();
    Result<void> add_token(uint32_t id);
    Result<void> read_merges();
    Result<void> read_merge(uint32_t rank);
    Result<void> read_special_ids();
    Result<int32_t> checked_id(std::optional<TokenId> id, std::string_view name) const;
    void mark_whole_tokens();
    TableView view();
    std::vector<std::byte> serialize();

    int32_t type_of(uint32_t id) const {
        return source_.token_types.empty() ? 1 : source_.token_types[id];
    }

    std::string_view bytes_of(uint32_t id) const {
        return std::string_view(text_).substr(offsets_[id], offsets_[id + 1] - offsets_[id]);
    }

    const TokenizerSource& source_;
    TableHeader header_{};
    std::vector<uint32_t> offsets_;
    std::vector<uint8_t> flags_;
    std::string text_;
    std::vector<uint32_t> token_slots_;
    std::vector<TableMerge> merges_;
    std::vector<uint32_t> merge_slots_;
    std::array<int32_t, 256> byte_tokens_{};
    std::vector<uint32_t> specials_;
    std::unordered_map<std::string_view, uint32_t> by_name_;  // As the source writes them.
};

// Open addressing at half load. `entries` are (hash, index); gives the longest probe run.
uint32_t fill_slots(const std::vector<std::pair<uint64_t, uint32_t>>& entries,
                    std::vector<uint32_t>& slots) {
    slots.assign(std::max<size_t>(8, entries.size() * 2), 0);
    uint32_t probes_max = 0;
    for (const auto& [hash, index] : entries) {
        size_t slot = slot_of(hash, slots.size());
        uint32_t probes = 0;
        for (; slots[slot] != 0; ++probes) {
            slot = slot + 1 == slots.size() ? 0 : slot + 1;
        }
        slots[slot] = fingerprint_of(hash) | (index + 1);
        probes_max = std::max(probes_max, probes);
    }
    return probes_max;
}

Result<void> Compiler::read_rules() {
    if (source_.model != "gpt2") {
        return Error{ErrorCode::kUnsupported,
                     "tokenizer: the model \"" + source_.model +
                         "\" is not supported; byte-level BPE (\"gpt2\") is"};
    }
    const std::optional<PreTokenizerRules> rules = find_rules(source_.pre_tokenizer);
    if (!rules) {
        return Error{ErrorCode::kUnsupported, "tokenizer: the pre-tokenizer \"" +
                                                  source_.pre_tokenizer + "\" is not supported"};
    }
    if (source_.add_space_prefix && (rules->flags & kDigitsAlone) != 0) {
        return Error{ErrorCode::kUnsupported,
                     "tokenizer: a space prefix with the pre-tokenizer \"" + source_.pre_tokenizer +
                         "\" is not supported"};
    }
    header_.rules = *rules;
    header_.flags = (source_.add_bos ? kTableAddBos : 0U) | (source_.add_eos ? kTableAddEos : 0U) |
                    (source_.add_space_prefix ? kTableAddSpacePrefix : 0U);
    return {};
}

Result<void> Compiler::read_tokens() {
    const size_t count = source_.tokens.size();
    if (count == 0 || count > kEntriesMax) {
        return corrupt("has " + std::to_string(count) + " tokens, 1 to " +
                       std::to_string(kEntriesMax) + " are possible");
    }
    if (!source_.token_types.empty() && source_.token_types.size() != count) {
        return corrupt("has " + std::to_string(count) + " tokens but " +
                       std::to_string(source_.token_types.size()) + " token types");
    }
    byte_tokens_.fill(-1);
    by_name_.reserve(count);
    offsets_.reserve(count + 1);
    offsets_.push_back(0);
    for (uint32_t id = 0; id < count; ++id) {
        if (Result<void> added = add_token(id); !added) {
            return added;
        }
    }
    std::sort(specials_.begin(), specials_.end(),
              [this](uint32_t a, uint32_t b) { return bytes_of(a) < bytes_of(b); });
    return {};
}

Result<void> Compiler::add_token(uint32_t id) {
    const std::string& name = source_.tokens[id];
    const int32_t type = type_of(id);
    const bool control = type == kTypeControl || type == kTypeUnknown;
    const bool special = control || type == kTypeUserDefined;
    const size_t bytes_max = special ? kSpecialBytesMax : kTokenBytesMax;
    if (name.size() > bytes_max) {
        return corrupt("token " + std::to_string(id) + " has " + std::to_string(name.size()) +
                       " bytes, at most " + std::to_string(bytes_max) + " are possible");
    }
    if (!by_name_.emplace(name, id).second) {
        return corrupt("token " + std::to_string(id) + " has the same text as token " +
                       std::to_string(by_name_[name]));
    }
    std::optional<std::string> bytes;
    if (!special) {
        bytes = bytes_of_printed(name);
    }
    text_ += bytes ? *bytes : name;
    if (text_.size() > std::numeric_limits<uint32_t>::max()) {
        return corrupt("the texts of its tokens exceed 4 GiB");
    }
    offsets_.push_back(static_cast<uint32_t>(text_.size()));
    flags_.push_back(control ? kTokenControl : special ? kTokenUserDefined : uint8_t{0});
    if (special && !name.empty()) {
        specials_.push_back(id);
    }
    if (bytes && bytes->size() == 1) {
        byte_tokens_[static_cast<uint8_t>((*bytes)[0])] = static_cast<int32_t>(id);
    }
    if (control && std::find(kEndNames.begin(), kEndNames.end(), name) != kEndNames.end()) {
        flags_.back() |= kTokenEnd;
    }
    return {};
}

Result<void> Compiler::read_merges() {
    if (source_.merges.size() > kEntriesMax) {
        return corrupt("has " + std::to_string(source_.merges.size()) + " merges, at most " +
                       std::to_string(kEntriesMax) + " are possible");
    }
    merges_.reserve(source_.merges.size());
    for (uint32_t rank = 0; rank < source_.merges.size(); ++rank) {
        if (Result<void> read = read_merge(rank); !read) {
            return read;
        }
    }
    // Of merges of the same pair the last one counts, as in the reference.
    std::unordered_map<uint64_t, uint32_t> rank_of_pair;
    rank_of_pair.reserve(merges_.size());
    for (uint32_t rank = 0; rank < merges_.size(); ++rank) {
        rank_of_pair[(uint64_t{merges_[rank].left} << 32) | merges_[rank].right] = rank;
    }
    std::vector<std::pair<uint64_t, uint32_t>> entries;
    entries.reserve(rank_of_pair.size());
    for (uint32_t rank = 0; rank < merges_.size(); ++rank) {
        const TableMerge& merge = merges_[rank];
        if (rank_of_pair[(uint64_t{merge.left} << 32) | merge.right] == rank) {
            entries.emplace_back(hash_pair(merge.left, merge.right), rank);
        }
    }
    header_.merge_probes_max = fill_slots(entries, merge_slots_);
    return {};
}

Result<void> Compiler::read_merge(uint32_t rank) {
    const std::string_view merge = source_.merges[rank];
    const size_t space = merge.find(' ', 1);  // A token may itself begin with a space.
    if (space == std::string_view::npos || space + 1 == merge.size()) {
        return corrupt("merge " + std::to_string(rank) + " has no two parts");
    }
    const std::string_view left = merge.substr(0, space);
    const std::string_view right = merge.substr(space + 1);
    const std::string joined = std::string(left) + std::string(right);
    std::array<uint32_t, 3> ids{};
    size_t at = 0;
    for (const std::string_view name : {left, right, std::string_view(joined)}) {
        const auto found = by_name_.find(name);
        if (found == by_name_.end()) {
            return corrupt("merge " + std::to_string(rank) + " names the unknown token \"" +
                           std::string(name) + "\"");
        }
        ids[at++] = found->second;
    }
    if ((flags_[ids[2]] & kTokenControl) != 0) {
        // It would let any text make a control token.
        return corrupt("merge " + std::to_string(rank) + " makes the control token \"" + joined +
                       "\"");
    }
    merges_.push_back({ids[0], ids[1], ids[2]});
    return {};
}

Result<int32_t> Compiler::checked_id(std::optional<TokenId> id, std::string_view name) const {
    if (!id) {
        return -1;
    }
    if (*id < 0 || static_cast<size_t>(*id) >= source_.tokens.size()) {
        return corrupt("the " + std::string(name) + " id " + std::to_string(*id) +
                       " is not one of its " + std::to_string(source_.tokens.size()) + " tokens");
    }
    return *id;
}

Result<void> Compiler::read_special_ids() {
    const std::array<std::pair<std::optional<TokenId>, std::string_view>, 4> ids{{
        {source_.bos, "bos"},
        {source_.eos, "eos"},
        {source_.unknown, "unknown"},
        {source_.padding, "padding"},
    }};
    std::array<int32_t*, 4> places{&header_.bos, &header_.eos, &header_.unknown, &header_.padding};
    for (size_t i = 0; i < ids.size(); ++i) {
        Result<int32_t> id = checked_id(ids[i].first, ids[i].second);
        if (!id) {
            return std::move(id).error();
        }
        *places[i] = *id;
    }
    if (header_.eos >= 0) {
        flags_[static_cast<uint32_t>(header_.eos)] |= kTokenEnd;
    }
    return {};
}

TableView Compiler::view() {
    TableView view;
    view.header = &header_;
    view.token_offsets = offsets_;
    view.token_flags = flags_;
    view.text = text_;
    view.token_slots = token_slots_;
    view.merges = merges_;
    view.merge_slots = merge_slots_;
    view.byte_tokens = byte_tokens_;
    view.specials = specials_;
    return view;
}

// A piece whose merging gives one token can be looked up whole; which ones do is known here, once.
void Compiler::mark_whole_tokens() {
    const TableView table = view();
    BpeScratch scratch;
    std::vector<TokenId> merged;
    std::vector<std::pair<uint64_t, uint32_t>> entries;
    for (uint32_t id = 0; id < flags_.size(); ++id) {
        const std::string_view bytes = bytes_of(id);
        if ((flags_[id] & (kTokenControl | kTokenUserDefined)) != 0 || bytes.empty()) {
            continue;
        }
        merged.clear();
        if ((header_.rules.flags & kIgnoreMerges) == 0) {
            merge_piece(table, bytes, scratch, merged);
            if (merged.size() != 1 || merged[0] != static_cast<TokenId>(id)) {
                continue;
            }
        }
        flags_[id] |= kTokenWhole;
        header_.whole_bytes_max =
            std::max(header_.whole_bytes_max, static_cast<uint32_t>(bytes.size()));
        entries.emplace_back(hash_bytes(bytes), id);
    }
    header_.token_probes_max = fill_slots(entries, token_slots_);
}

std::vector<std::byte> Compiler::serialize() {
    std::vector<std::byte> out(align_up(sizeof(TableHeader), 8));
    const auto append = [&out](TableSection& section, const auto& elements) {
        const auto bytes = std::as_bytes(std::span(elements));
        section = {out.size(), elements.size()};
        out.insert(out.end(), bytes.begin(), bytes.end());
        out.resize(align_up(out.size(), 8));
    };
    append(header_.token_offsets, offsets_);
    append(header_.token_flags, flags_);
    append(header_.text, text_);
    append(header_.token_slots, token_slots_);
    append(header_.merges, merges_);
    append(header_.merge_slots, merge_slots_);
    append(header_.byte_tokens, byte_tokens_);
    append(header_.specials, specials_);
    header_.magic = kTableMagic;
    header_.version = kTableVersion;
    header_.table_bytes = out.size();
    std::memcpy(out.data(), &header_, sizeof header_);
    return out;
}

Result<std::vector<std::byte>> Compiler::run() {
    for (Result<void> (Compiler::*step)() : {&Compiler::read_rules, &Compiler::read_tokens,
                                             &Compiler::read_merges, &Compiler::read_special_ids}) {
        if (Result<void> done = (this->*step)(); !done) {
            return std::move(done).error();
        }
    }
    mark_whole_tokens();
    return serialize();
}

}  // namespace

Result<std::vector<std::byte>> compile_tokenizer(const TokenizerSource& source) {
    return Compiler(source).run();
}

}  // namespace rekindle::runtime
