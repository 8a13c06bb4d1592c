// Any bytes as a model: the whole import, with tokenizer, chat template and packing. What it makes
// must be an image that a worker accepts.
#include "base/check.h"
#include "daemon/import_model.h"
#include "snapshot/view/image_view.h"

#include <cstddef>
#include <cstdint>
#include <span>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    uint64_t image_bytes = 0;
    const auto sink = [&image_bytes](uint64_t offset, std::span<const std::byte> plain,
                                     bool) -> rekindle::Result<void> {
        REKINDLE_CHECK(offset == image_bytes, "chunks follow each other");
        image_bytes += plain.size();
        return {};
    };
    const auto index =
        rekindle::daemon::import_gguf(std::as_bytes(std::span(data, size)), sink, nullptr);
    if (index) {
        const auto layout = rekindle::snapshot::ImageLayout::parse(*index);
        REKINDLE_CHECK(layout.ok(), "an image that was made can be read");
        REKINDLE_CHECK(layout->bytes == image_bytes, "the index tells the image's size");
    }
    return 0;
}
