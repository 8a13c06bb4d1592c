// Hyperparameters of the `llama` architecture out of GGUF metadata, with llama.cpp's defaults, held
// against the limits of kernels and of docs/formats/image.md.
#pragma once
#include "base/result.h"
#include "loader/formats/gguf.h"
#include "snapshot/view/image_view.h"

namespace rekindle::daemon {

// All but tied_output, which the tensors decide. kUnsupported for what would change the arithmetic
// and is not implemented (rope scaling, experts, …), by the key's name.
Result<snapshot::Hyperparameters> read_llama_hyperparameters(const formats::GgufFile& file);

}  // namespace rekindle::daemon
