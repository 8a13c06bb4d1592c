// A GGUF file as an image in memory, for programs that measure the runtime alone.
#pragma once
#include "base/result.h"
#include "runtime/aligned_buffer.h"
#include "snapshot/view/image_view.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace rekindle::tests {

class ModelFile {
public:
    // Says on standard error why it can't.
    static std::optional<ModelFile> import(const std::string& path);

    // The model file outlives the view.
    Result<snapshot::ImageView> view() const;

private:
    runtime::AlignedBuffer<std::byte> space_;
    uint64_t bytes_ = 0;
    std::string index_;
};

}  // namespace rekindle::tests
