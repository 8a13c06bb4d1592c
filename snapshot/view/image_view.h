// What a worker sees of an image: the parsed index, one contiguous read-only mapping of the image
// space, and the latches that say which chunks have arrived (docs/formats/image.md).
// Threading: immutable after open; wait() may be called from any thread.
#pragma once
#include "base/result.h"
#include "base/unique_fd.h"
#include "kernels/weight_types.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace rekindle::snapshot {

// From the index's "hyperparameters". All counts are >= 1 and bounded by the parser.
struct Hyperparameters {
    std::string architecture;  // "llama"
    uint32_t layers = 0;
    uint32_t embedding = 0;
    uint32_t feed_forward = 0;
    uint32_t heads = 0;
    uint32_t kv_heads = 0;
    uint32_t head_dim = 0;
    uint32_t vocabulary = 0;
    uint32_t context = 0;  // Positions the model was trained for.
    uint32_t rope_dimensions = 0;
    double rope_base = 0;
    double rms_epsilon = 0;
    bool tied_output = false;  // The output head is token_embd.weight.
};

struct TensorEntry {
    std::string name;
    kernels::WeightType type = kernels::WeightType::kF32;
    uint32_t rows = 0;
    uint32_t columns = 0;
    uint64_t offset = 0;  // Bytes from the start of the image space, 4096-aligned.
    uint64_t bytes = 0;
};

struct TableEntry {
    uint64_t offset = 0;
    uint64_t bytes = 0;  // 0: the image has no such table.
};

struct ChunkRange {
    uint64_t offset = 0;
    uint64_t bytes = 0;
};

// The worker's reading of the index JSON. Every range is checked against the image space.
struct ImageLayout {
    uint64_t bytes = 0;
    Hyperparameters hyperparameters;
    TableEntry tokenizer;
    TableEntry chat_template;
    std::vector<TensorEntry> tensors;  // Sorted by name.
    std::vector<ChunkRange> chunks;    // Contiguous from 0.

    static Result<ImageLayout> parse(std::string_view index_json);
    const TensorEntry* find(std::string_view name) const noexcept;
};

// One piece of the image space as a memory file; pieces follow each other.
struct ExtentFile {
    UniqueFd fd;
    uint64_t bytes = 0;  // Multiple of 4096.
};

class ImageView {
public:
    // Maps the extents contiguously and the latches, both read-only.
    static Result<ImageView> open(std::string_view index_json, std::vector<ExtentFile> extents,
                                  UniqueFd latches);
    // A view over bytes that are already whole (tests, tools); `space` must outlive the view.
    static Result<ImageView> over_memory(std::string_view index_json,
                                         std::span<const std::byte> space);

    ImageView(ImageView&&) noexcept;
    ImageView& operator=(ImageView&&) noexcept;
    ~ImageView();

    const ImageLayout& layout() const noexcept;
    // Blocks until every chunk under [offset, offset + bytes) is ready, then gives the bytes.
    // kUnavailable when one has failed.
    Result<std::span<const std::byte>> wait(uint64_t offset, uint64_t bytes) const;
    // True when wait() would not block.
    bool ready(uint64_t offset, uint64_t bytes) const noexcept;

private:
    struct State;
    explicit ImageView(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

}  // namespace rekindle::snapshot
