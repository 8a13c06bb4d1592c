// Small llama images with random weights, for tests of the engine and the batcher.
#pragma once
#include "kernels/weight_types.h"
#include "runtime/aligned_buffer.h"
#include "runtime/engine.h"
#include "snapshot/view/image_view.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace rekindle::tests {

// GGUF's row-major form.
struct PlainTensor {
    kernels::WeightType type = kernels::WeightType::kF32;
    uint32_t rows = 0;
    uint32_t columns = 0;
    std::vector<std::byte> bytes;
};

using PlainTensors = std::map<std::string, PlainTensor>;

struct SyntheticOptions {
    kernels::WeightType matrices = kernels::WeightType::kF32;
    bool tied_output = true;
    uint32_t rope_dimensions = 32;
    uint32_t context = 512;
    uint64_t seed = 1;
};

// 3 layers, embedding 64, feed-forward 96, 4 heads of 32 over 2 KV heads, 200 tokens.
snapshot::Hyperparameters synthetic_hyperparameters(const SyntheticOptions& options);
PlainTensors synthetic_tensors(const SyntheticOptions& options);

// An image whose bytes are in memory; keep it where it is while its view is used.
class MemoryImage {
public:
    MemoryImage(const snapshot::Hyperparameters& hyperparameters, const PlainTensors& tensors);
    MemoryImage(std::string index, std::span<const std::byte> bytes);

    const std::string& index() const noexcept { return index_; }

    Result<snapshot::ImageView> open() const;

private:
    std::string index_;
    runtime::AlignedBuffer<std::byte> space_;
};

// An engine over an image, with the KV memory that it works on.
class EngineFixture {
public:
    struct Options {
        const kernels::KernelTable* kernels = nullptr;
        uint32_t threads = 1;
        kernels::KvType kv_type = kernels::KvType::kF16;
        uint32_t kv_pages = 64;
        uint32_t step_tokens_max = 512;
    };

    EngineFixture(snapshot::ImageView image, const Options& options);

    runtime::Engine& operator*() { return *engine_; }

    runtime::Engine* operator->() { return engine_.get(); }

private:
    snapshot::ImageView image_;
    runtime::AlignedBuffer<std::byte> kv_memory_;
    std::unique_ptr<runtime::Engine> engine_;
};

// Every kernel table that this machine can run; never empty.
std::vector<const kernels::KernelTable*> kernel_tables();

}  // namespace rekindle::tests
