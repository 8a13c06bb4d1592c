// A llama forward pass in doubles, written for reading: no cache, no batch, no kernels. F32
// weights.
#pragma once
#include "tests/runtime/synthetic_model.h"

#include <cstdint>
#include <span>
#include <vector>

namespace rekindle::tests {

// Logits [vocabulary] after the last of `tokens`.
std::vector<double> reference_logits(const snapshot::Hyperparameters& h,
                                     const PlainTensors& tensors,
                                     std::span<const runtime::TokenId> tokens);

}  // namespace rekindle::tests
