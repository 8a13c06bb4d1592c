#include "runtime/compute.h"

#include "kernels/weight_types.h"
#include "runtime/tile_plan.h"

namespace rekindle::runtime {
namespace {

uint32_t panels_of(const kernels::PackedMatrix& weights) noexcept {
    return (weights.rows + kernels::kPanelRows - 1) / kernels::kPanelRows;
}

}  // namespace

ActivationBuffer::ActivationBuffer(uint32_t rows_max, uint32_t k, Rounding rounding)
    : rounding_(rounding),
      k_(k),
      blocks_(k % kernels::kBlockColumns == 0 ? k / kernels::kBlockColumns : 0),
      values_(size_t{rows_max} * k),
      scales_(size_t{rows_max} * blocks_) {
    const size_t quants = size_t{rows_max} * blocks_ * kernels::kBlockColumns;
    const size_t sums = size_t{rows_max} * blocks_ * 2;
    if (rounding == Rounding::k8Bits) {
        quants_ = AlignedBuffer<int8_t>(quants);
        half_sums_ = AlignedBuffer<int16_t>(sums);
    } else {
        quants16_ = AlignedBuffer<int16_t>(quants);
        half_sums16_ = AlignedBuffer<int32_t>(sums);
    }
}

void ActivationBuffer::quantize(const kernels::KernelTable& kernels, uint32_t index) noexcept {
    if (blocks_ == 0) {
        return;
    }
    float* const scales = scales_.data() + size_t{index} * blocks_;
    const size_t quants = size_t{index} * k_;
    const size_t sums = size_t{index} * blocks_ * 2;
    if (rounding_ == Rounding::k8Bits) {
        kernels.quantize(row(index), k_, quants_.data() + quants, scales, half_sums_.data() + sums);
    } else {
        kernels.quantize16(row(index), k_, quants16_.data() + quants, scales,
                           half_sums16_.data() + sums);
    }
}

kernels::Activations ActivationBuffer::view(uint32_t rows) const noexcept {
    return {.values = values_.data(),
            .quants = quants_.data(),
            .half_sums = half_sums_.data(),
            .quants16 = quants16_.data(),
            .half_sums16 = half_sums16_.data(),
            .scales = scales_.data(),
            .tokens = rows,
            .k = k_};
}

void Compute::project(std::span<const Projection> projections, const kernels::Activations& inputs) {
    uint32_t panels = 0;
    for (const Projection& projection : projections) {
        panels += panels_of(*projection.weights);
    }
    plan_tiles(panels, pool_.threads(), tile_ends_);
    pool_.parallel_for(static_cast<uint32_t>(tile_ends_.size()), [&](uint32_t tile) {
        // Panels of all products are numbered through; a tile may reach over a border.
        const uint32_t begin = tile == 0 ? 0 : tile_ends_[tile - 1];
        const uint32_t end = tile_ends_[tile];
        uint32_t first = 0;
        for (const Projection& projection : projections) {
            const uint32_t last = first + panels_of(*projection.weights);
            const uint32_t from = std::max(begin, first);
            const uint32_t to = std::min(end, last);
            if (from < to) {
                kernels_.matmul(*projection.weights, from - first, to - first, inputs,
                                projection.out, projection.weights->rows);
            }
            first = last;
        }
    });
}

}  // namespace rekindle::runtime
