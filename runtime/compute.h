// The building blocks of graphs: input vectors of a matrix product with their quantised form, and
// parallel loops over rows and over panels of weights.
// Invariant: how work is split into tiles never changes a bit of the result.
// Threading: the engine thread calls; tiles run on the pool.
#pragma once
#include "kernels/kernel_table.h"
#include "runtime/aligned_buffer.h"
#include "runtime/op_profile.h"
#include "runtime/thread_pool.h"

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

namespace rekindle::runtime {

// How inputs of quantised weights are rounded, with a scale for each 32 of them. Products with 16
// bits take 1 to 1.8 times as long (docs/decisions/0010-inputs-of-16-bits.md).
enum class Rounding : uint8_t { k8Bits, k16Bits };

// Inputs of a matrix product: up to `rows_max` vectors of `k` values.
class ActivationBuffer {
public:
    ActivationBuffer(uint32_t rows_max, uint32_t k, Rounding rounding);

    float* row(uint32_t index) noexcept { return values_.data() + size_t{index} * k_; }

    // Floats from a row to the next.
    size_t row_stride() const noexcept { return k_; }

    // Fills the quantised form of a row from its values.
    void quantize(const kernels::KernelTable& kernels, uint32_t index) noexcept;
    // The first `rows` rows.
    kernels::Activations view(uint32_t rows) const noexcept;

private:
    Rounding rounding_;
    uint32_t k_;
    uint32_t blocks_;              // k / 32; 0 when k has no whole blocks (float weights only).
    AlignedBuffer<float> values_;  // [rows_max][k]
    AlignedBuffer<float> scales_;  // [rows_max][blocks]
    // Those of the other rounding are empty.
    AlignedBuffer<int8_t> quants_;        // [rows_max][k]
    AlignedBuffer<int16_t> half_sums_;    // [rows_max][2 * blocks]
    AlignedBuffer<int16_t> quants16_;     // [rows_max][k]
    AlignedBuffer<int32_t> half_sums16_;  // [rows_max][2][blocks]
};

// One product: out[row * weights->rows + i], i < weights->rows.
struct Projection {
    const kernels::PackedMatrix* weights = nullptr;
    float* out = nullptr;
};

class Compute {
public:
    // The pool outlives it.
    Compute(const kernels::KernelTable& kernels, ThreadPool& pool)
        : kernels_(kernels), pool_(pool) {}

    const kernels::KernelTable& kernels() const noexcept { return kernels_; }

    ThreadPool& threads() noexcept { return pool_; }

    // Threads that work from the next region on; at most those that there are.
    void set_threads(uint32_t threads) { pool_.set_threads(threads); }

    // Around the regions of one step.
    void begin_step() {
        pool_.begin_step();
        if (profile_ != nullptr) {
            profile_->begin_step();
        }
    }

    void end_step() noexcept { pool_.end_step(); }

    // Null: nothing is timed.
    void set_profile(OpProfile* profile) noexcept { profile_ = profile; }

    // After the regions of one operation.
    void ended(Op op) noexcept {
        if (profile_ != nullptr) {
            profile_->ended(op);
        }
    }

    // body(row) for each row; a few rows per tile.
    template <typename Body>
    void for_rows(uint32_t rows, const Body& body) {
        const uint32_t each = std::clamp(rows / (pool_.threads() * 2), 1U, kTileRowsMax);
        const uint32_t tiles = (rows + each - 1) / each;
        pool_.parallel_for(tiles, [&](uint32_t tile) {
            const uint32_t end = std::min(rows, (tile + 1) * each);
            for (uint32_t row = tile * each; row < end; ++row) {
                body(row);
            }
        });
    }

    // body(item) for each item, one per tile.
    template <typename Body>
    void for_each(uint32_t items, const Body& body) {
        pool_.parallel_for(items, body);
    }

    // All products of the same inputs, in one parallel region.
    void project(std::span<const Projection> projections, const kernels::Activations& inputs);

private:
    // A row's element-wise work is 0.2 to 2 microseconds, handing out a tile 0.1.
    static constexpr uint32_t kTileRowsMax = 8;

    const kernels::KernelTable& kernels_;
    ThreadPool& pool_;
    OpProfile* profile_ = nullptr;
    std::vector<uint32_t> tile_ends_;  // Of the product in progress.
};

}  // namespace rekindle::runtime
