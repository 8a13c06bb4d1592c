// The few numbers of an image, or of one that an import would make, that rekindled needs to say
// what a deployment costs in memory. The text may come from the importer, which is not trusted:
// every number is bounded. Pure.
#pragma once
#include "base/result.h"
#include "kernels/kv_type.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace rekindle::daemon {

struct ImageFacts {
    std::string architecture;
    uint64_t bytes = 0;
    uint64_t tensors = 0;
    uint32_t context = 0;               // Positions that the model was trained for.
    uint64_t kv_rows_per_position = 0;  // Keys and values of all layers and KV heads, of
    uint32_t head_dim = 0;              // so many numbers each.

    uint64_t kv_page_bytes(kernels::KvType type) const noexcept;
    // KV of one sequence of `positions`, in whole pages.
    uint64_t kv_bytes(uint64_t positions, kernels::KvType type) const noexcept;
};

// `text` is an image index (docs/formats/image.md) or an importer's plan, which has the same
// members but for offsets and chunks.
Result<ImageFacts> parse_image_facts(std::string_view text);

}  // namespace rekindle::daemon
