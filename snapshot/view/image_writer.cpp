#include "snapshot/view/image_writer.h"

#include "base/json.h"
#include "base/units.h"

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>
#include <vector>

namespace rekindle::snapshot {

namespace {

// docs/formats/image.md
constexpr uint64_t kChunkBytesMin = 2 * kMiB;
constexpr uint64_t kChunkBytesMax = 4 * kMiB;
constexpr uint64_t kImageBytesMax = 1024 * kGiB;
constexpr size_t kTensorsMax = 65'536;
constexpr size_t kChunksMax = 262'144;

struct Item {
    std::string name;
    bool is_table = false;
    kernels::WeightType type = kernels::WeightType::kF32;
    uint32_t rows = 0;
    uint32_t columns = 0;
    uint64_t bytes = 0;
    uint64_t offset = 0;  // From the start of the image space; set by begin().

    uint64_t end() const noexcept { return align_up(offset + bytes, kPageBytes); }
};

struct Chunk {
    uint64_t offset = 0;
    uint64_t bytes = 0;
    bool tables = false;  // Nothing else is in it: worth compressing.
};

// "blk.12" of "blk.12.attn_q.weight"; for all others the whole name.
std::string_view layer_of(std::string_view name) noexcept {
    constexpr std::string_view kLayerPrefix = "blk.";
    if (!name.starts_with(kLayerPrefix)) {
        return name;
    }
    return name.substr(0, name.find('.', kLayerPrefix.size()));
}

// Cuts the image space into chunks, item by item (docs/formats/image.md, "Image space").
class ChunkCutter {
public:
    void add(const Item& item) {
        const uint64_t open = at_ - start_;
        const bool new_kind = open > 0 && item.is_table != tables_;
        const bool new_layer = open >= kChunkBytesMin && layer_of(item.name) != layer_;
        const bool full = open >= kChunkBytesMin && item.end() - start_ > kChunkBytesMax;
        if (new_kind || new_layer || full) {
            cut(at_);
        }
        tables_ = item.is_table;
        layer_ = layer_of(item.name);
        at_ = item.end();
        while (at_ - start_ > kChunkBytesMax) {
            cut(start_ + kChunkBytesMax);
        }
    }

    std::vector<Chunk> finish() {
        if (at_ > start_) {
            cut(at_);
        }
        return std::move(chunks_);
    }

private:
    void cut(uint64_t end) {
        chunks_.push_back({start_, end - start_, tables_});
        start_ = end;
    }

    std::vector<Chunk> chunks_;
    uint64_t start_ = 0;  // Of the open chunk.
    uint64_t at_ = 0;     // End of the last item.
    bool tables_ = false;
    std::string_view layer_;
};

json::object hyperparameters_json(const Hyperparameters& h) {
    return {{"layers", h.layers},
            {"embedding", h.embedding},
            {"feed_forward", h.feed_forward},
            {"heads", h.heads},
            {"kv_heads", h.kv_heads},
            {"head_dim", h.head_dim},
            {"vocabulary", h.vocabulary},
            {"context", h.context},
            {"rope_dimensions", h.rope_dimensions},
            {"rope_base", h.rope_base},
            {"rms_epsilon", h.rms_epsilon},
            {"tied_output", h.tied_output}};
}

}  // namespace

struct ImageWriter::State {
    Hyperparameters hyperparameters;
    std::string source_format;
    uint64_t source_bytes = 0;
    std::vector<Item> items;
    std::vector<Chunk> chunks;
    uint64_t image_bytes = 0;
    ChunkSink sink;
    bool begun = false;

    size_t current = 0;             // The item that write() continues.
    uint64_t written = 0;           // Bytes of it so far.
    size_t open_chunk = 0;          // The chunk that is being filled.
    uint64_t at = 0;                // Position in the image space.
    std::vector<std::byte> buffer;  // [kChunkBytesMax], zeros after what the open chunk has.

    Result<void> place_items();
    Result<void> append(std::span<const std::byte> bytes);
    Result<void> flush_chunk();
    std::string index() const;
};

// Gives each item its offset, then cuts the space.
Result<void> ImageWriter::State::place_items() {
    ChunkCutter cutter;
    size_t tensors = 0;
    for (Item& item : items) {
        if (item.bytes == 0 || item.bytes > kImageBytesMax - image_bytes) {
            return Error{ErrorCode::kTooLarge,
                         fmt::format("image: \"{}\" of {} bytes after {} bytes; an image has at "
                                     "most {} bytes and no empty parts",
                                     item.name, item.bytes, image_bytes, kImageBytesMax)};
        }
        item.offset = image_bytes;
        image_bytes = item.end();
        tensors += item.is_table ? 0 : 1;
        cutter.add(item);
    }
    chunks = cutter.finish();
    if (tensors > kTensorsMax || chunks.size() > kChunksMax) {
        return Error{ErrorCode::kTooLarge,
                     fmt::format("image: {} tensors in {} chunks; at most {} and {} are allowed",
                                 tensors, chunks.size(), kTensorsMax, kChunksMax)};
    }
    return {};
}

Result<void> ImageWriter::State::append(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
        const Chunk& open = chunks[open_chunk];
        const uint64_t inside = at - open.offset;
        const auto count =
            static_cast<size_t>(std::min<uint64_t>(bytes.size(), open.bytes - inside));
        std::memcpy(buffer.data() + inside, bytes.data(), count);
        at += count;
        bytes = bytes.subspan(count);
        if (at == open.offset + open.bytes) {
            if (Result<void> flushed = flush_chunk(); !flushed) {
                return flushed;
            }
        }
    }
    return {};
}

Result<void> ImageWriter::State::flush_chunk() {
    const Chunk& full = chunks[open_chunk];
    Result<void> taken =
        sink(full.offset, std::span(buffer).first(static_cast<size_t>(full.bytes)), full.tables);
    std::fill(buffer.begin(), buffer.end(), std::byte{0});
    ++open_chunk;
    return taken;
}

std::string ImageWriter::State::index() const {
    json::object tables;
    json::array tensors;
    for (const Item& item : items) {
        if (item.is_table) {
            tables[item.name] = {{"offset", item.offset}, {"bytes", item.bytes}};
            continue;
        }
        tensors.push_back({{"name", item.name},
                           {"type", std::string_view(kernels::weight_type_traits(item.type).name)},
                           {"rows", item.rows},
                           {"columns", item.columns},
                           {"offset", item.offset},
                           {"bytes", item.bytes}});
    }
    json::array chunk_list;
    for (const Chunk& cut : chunks) {
        chunk_list.push_back({{"offset", cut.offset}, {"bytes", cut.bytes}});
    }
    json::object root;
    root["rekindle_image"] = 1;
    root["layout"] = std::string_view(kernels::kLayoutName);
    root["bytes"] = image_bytes;
    root["architecture"] = hyperparameters.architecture;
    root["source"] = {{"format", source_format}, {"bytes", source_bytes}};
    root["hyperparameters"] = hyperparameters_json(hyperparameters);
    root["tables"] = std::move(tables);
    root["tensors"] = std::move(tensors);
    root["chunks"] = std::move(chunk_list);
    return json::serialize(root);
}

ImageWriter::ImageWriter(Hyperparameters hyperparameters, std::string source_format,
                         uint64_t source_bytes)
    : state_(std::make_unique<State>()) {
    state_->hyperparameters = std::move(hyperparameters);
    state_->source_format = std::move(source_format);
    state_->source_bytes = source_bytes;
}

ImageWriter::~ImageWriter() = default;

void ImageWriter::declare_table(std::string_view kind, uint64_t bytes) {
    REKINDLE_CHECK(!state_->begun, "declare_table() after begin()");
    REKINDLE_CHECK(kind == "tokenizer" || kind == "template", "declare_table(): unknown kind");
    Item item;
    item.name = kind;
    item.is_table = true;
    item.bytes = bytes;
    state_->items.push_back(std::move(item));
}

void ImageWriter::declare_tensor(std::string_view name, kernels::WeightType type, uint32_t rows,
                                 uint32_t columns, uint64_t bytes) {
    REKINDLE_CHECK(!state_->begun, "declare_tensor() after begin()");
    Item item;
    item.name = name;
    item.type = type;
    item.rows = rows;
    item.columns = columns;
    item.bytes = bytes;
    state_->items.push_back(std::move(item));
}

Result<void> ImageWriter::begin(ChunkSink sink) {
    REKINDLE_CHECK(!state_->begun, "begin() twice");
    if (!std::isfinite(state_->hyperparameters.rope_base) ||
        !std::isfinite(state_->hyperparameters.rms_epsilon)) {
        return Error{ErrorCode::kInvalidArgument, "image: a hyperparameter is not finite"};
    }
    if (Result<void> placed = state_->place_items(); !placed) {
        return placed;
    }
    state_->sink = std::move(sink);
    state_->buffer.resize(kChunkBytesMax);
    state_->begun = true;
    return {};
}

Result<void> ImageWriter::write(std::span<const std::byte> bytes) {
    State& state = *state_;
    REKINDLE_CHECK(state.begun, "write() before begin()");
    REKINDLE_CHECK(state.current < state.items.size(), "write() after the last item");
    const Item& item = state.items[state.current];
    if (bytes.size() > item.bytes - state.written) {
        return Error{ErrorCode::kInternal,
                     fmt::format("image: \"{}\" was declared with {} bytes; {} more come after {}",
                                 item.name, item.bytes, bytes.size(), state.written)};
    }
    state.written += bytes.size();
    return state.append(bytes);
}

Result<void> ImageWriter::end_item() {
    State& state = *state_;
    REKINDLE_CHECK(state.begun, "end_item() before begin()");
    REKINDLE_CHECK(state.current < state.items.size(), "end_item() after the last item");
    const Item& item = state.items[state.current];
    if (state.written != item.bytes) {
        return Error{ErrorCode::kInternal,
                     fmt::format("image: \"{}\" was declared with {} bytes, but {} were written",
                                 item.name, item.bytes, state.written)};
    }
    ++state.current;
    state.written = 0;
    const std::byte zeros[kPageBytes] = {};  // The gap up to the next item.
    return state.append(std::span(zeros).first(static_cast<size_t>(item.end() - state.at)));
}

Result<std::string> ImageWriter::finish() {
    const State& state = *state_;
    REKINDLE_CHECK(state.begun, "finish() before begin()");
    if (state.current != state.items.size()) {
        return Error{ErrorCode::kInternal,
                     fmt::format("image: only {} of {} declared items were written", state.current,
                                 state.items.size())};
    }
    return state.index();
}

}  // namespace rekindle::snapshot
