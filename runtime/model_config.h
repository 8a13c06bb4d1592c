// A model's hyperparameters, checked for what the graphs and kernels rely on, with the widths that
// follow from them.
// Threading: immutable value.
#pragma once
#include "base/result.h"
#include "snapshot/view/image_view.h"

#include <cstdint>

namespace rekindle::runtime {

struct ModelConfig {
    snapshot::Hyperparameters base;

    // kUnsupported for an architecture or geometry that has no graph here; kCorrupt for numbers
    // that contradict each other. The message names the number.
    static Result<ModelConfig> from(const snapshot::Hyperparameters& hyperparameters);

    uint32_t query_width() const noexcept { return base.heads * base.head_dim; }

    uint32_t kv_width() const noexcept { return base.kv_heads * base.head_dim; }

    // Query heads that share one KV head.
    uint32_t group() const noexcept { return base.heads / base.kv_heads; }
};

}  // namespace rekindle::runtime
