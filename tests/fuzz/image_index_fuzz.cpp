// Both readings of an image index, the daemon's and the worker's, over arbitrary bytes; what either
// accepts must keep the promises of docs/formats/image.md.
#include "base/check.h"
#include "base/hash.h"
#include "loader/image_index.h"
#include "snapshot/view/image_view.h"

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace {

using namespace rekindle;  // NOLINT(google-build-using-namespace): a fuzz target.

void check_layout(const snapshot::ImageLayout& layout) {
    uint64_t next = 0;
    for (const snapshot::ChunkRange& chunk : layout.chunks) {
        REKINDLE_CHECK(chunk.offset == next && chunk.bytes > 0, "chunks follow each other");
        next += chunk.bytes;
    }
    REKINDLE_CHECK(next == layout.bytes, "chunks cover the image");
    for (const snapshot::TensorEntry& tensor : layout.tensors) {
        REKINDLE_CHECK(tensor.offset <= layout.bytes, "a tensor begins inside of the image");
        REKINDLE_CHECK(tensor.bytes <= layout.bytes - tensor.offset, "and ends there");
        REKINDLE_CHECK(layout.find(tensor.name) == &tensor, "a tensor is found by its name");
    }
    for (const snapshot::TableEntry& table : {layout.tokenizer, layout.chat_template}) {
        REKINDLE_CHECK(table.offset <= layout.bytes && table.bytes <= layout.bytes - table.offset,
                       "a table lies inside of the image");
    }
}

void check_finished(std::string_view text, const loader::ImageIndex& index) {
    auto finished = loader::finish_image_index(text, index.chunks);
    REKINDLE_CHECK(finished.ok(), "an index agrees with its own chunks");
    auto again = loader::ImageIndex::parse(*finished);
    REKINDLE_CHECK(again.ok() && again->bytes == index.bytes, "a finished index can be read");
    REKINDLE_CHECK(loader::image_digest(*finished).value() == to_hex(sha256(as_bytes(*finished))),
                   "a finished index is canonical");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t bytes) {
    const std::string_view text(reinterpret_cast<const char*>(data), bytes);
    auto layout = snapshot::ImageLayout::parse(text);
    if (layout) {
        check_layout(*layout);
    }
    auto index = loader::ImageIndex::parse(text);
    if (index) {
        check_finished(text, *index);
    }
    static_cast<void>(loader::image_digest(text));
    static_cast<void>(loader::finish_image_index(text, {}));
    return 0;
}
