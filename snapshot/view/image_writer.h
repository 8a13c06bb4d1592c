// Lays out an image (docs/formats/image.md) and streams its bytes in order. Used by the importer:
// declare tables and tensors in first-use order, then write each one's bytes in the same order.
// Threading: one thread. Peak memory: one chunk plus the index.
#pragma once
#include "base/result.h"
#include "snapshot/view/image_view.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace rekindle::snapshot {

// Gets the plain bytes of each chunk, in order of offset. `compress` is a hint (tables).
using ChunkSink =
    std::function<Result<void>(uint64_t offset, std::span<const std::byte> plain, bool compress)>;

class ImageWriter {
public:
    ImageWriter(Hyperparameters hyperparameters, std::string source_format, uint64_t source_bytes);
    ~ImageWriter();

    void declare_table(std::string_view kind /* "tokenizer" or "template" */, uint64_t bytes);
    void declare_tensor(std::string_view name, kernels::WeightType type, uint32_t rows,
                        uint32_t columns, uint64_t bytes);
    // Fixes the layout. After this: write each declared item's bytes in order, any piece size.
    Result<void> begin(ChunkSink sink);
    Result<void> write(std::span<const std::byte> bytes);
    // Ends the current item, checking that it is complete.
    Result<void> end_item();
    // Flushes the last chunk and gives the index without "chunks" digests: each chunk entry holds
    // offset and bytes only.
    Result<std::string> finish();

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace rekindle::snapshot
