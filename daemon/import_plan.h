// What an import is going to write: a model's hyperparameters and its tensors in order of first
// use, each found in the file with the expected shape and a type that kernels can read.
#pragma once
#include "base/result.h"
#include "kernels/weight_types.h"
#include "loader/formats/gguf.h"
#include "snapshot/view/image_view.h"

#include <cstdint>
#include <string>
#include <vector>

namespace rekindle::daemon {

struct PlannedTensor {
    const formats::GgufTensor* source = nullptr;           // Lives in the GgufFile.
    kernels::WeightType type = kernels::WeightType::kF32;  // In the file.
    uint32_t rows = 0;
    uint32_t columns = 0;

    // Vectors are written as plain F32, everything else is packed.
    bool is_vector() const noexcept { return rows == 1; }

    uint64_t image_bytes() const noexcept;
};

struct ModelPlan {
    snapshot::Hyperparameters hyperparameters;
    std::vector<PlannedTensor> tensors;
};

// The plan for any architecture that is supported; kUnsupported names one that is not.
// Lifetime: `file` outlives the plan.
Result<ModelPlan> plan_model(const formats::GgufFile& file);

}  // namespace rekindle::daemon
