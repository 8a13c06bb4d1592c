#include "runtime/compute.h"

#include "kernels/weight_types.h"

namespace rekindle::runtime {
namespace {

// Enough tiles that a thread which lost its core delays the region by little, few enough that each
// reads its inputs from cache many times.
constexpr uint32_t kTilesPerThread = 4;

uint32_t panels_of(const kernels::PackedMatrix& weights) noexcept {
    return (weights.rows + kernels::kPanelRows - 1) / kernels::kPanelRows;
}

}  // namespace

ActivationBuffer::ActivationBuffer(uint32_t rows_max, uint32_t k, Rounding rounding)
    : terms_(static_cast<uint32_t>(rounding)),
      k_(k),
      blocks_(k % kernels::kBlockColumns == 0 ? k / kernels::kBlockColumns : 0),
      values_(size_t{rows_max} * terms_ * k),
      quants_(size_t{rows_max} * terms_ * blocks_ * kernels::kBlockColumns),
      scales_(size_t{rows_max} * terms_ * blocks_),
      half_sums_(size_t{rows_max} * terms_ * blocks_ * 2) {}

void ActivationBuffer::quantize(const kernels::KernelTable& kernels, uint32_t index) noexcept {
    if (blocks_ == 0) {
        return;
    }
    const size_t vector = size_t{index} * terms_;
    const auto round = terms_ == 1 ? kernels.quantize : kernels.quantize_two_terms;
    round(row(index), k_, quants_.data() + vector * k_, scales_.data() + vector * blocks_,
          half_sums_.data() + vector * blocks_ * 2);
}

kernels::Activations ActivationBuffer::view(uint32_t rows) const noexcept {
    return {.values = values_.data(),
            .quants = quants_.data(),
            .scales = scales_.data(),
            .half_sums = half_sums_.data(),
            .tokens = rows * terms_,
            .k = k_};
}

void ActivationBuffer::add_terms(const kernels::KernelTable& kernels, float* product,
                                 uint32_t n) const noexcept {
    if (terms_ > 1) {
        kernels.add(product, product + n, n);
    }
}

void Compute::project(std::span<const Projection> projections, const kernels::Activations& inputs) {
    uint32_t panels = 0;
    for (const Projection& projection : projections) {
        panels += panels_of(*projection.weights);
    }
    const uint32_t tiles_wanted = pool_.threads() == 1 ? 1 : pool_.threads() * kTilesPerThread;
    const uint32_t tile_panels = (panels + tiles_wanted - 1) / tiles_wanted;
    const uint32_t tiles = (panels + tile_panels - 1) / tile_panels;
    pool_.parallel_for(tiles, [&](uint32_t tile) {
        // Panels of all products are numbered through; a tile may reach over a border.
        const uint32_t begin = tile * tile_panels;
        const uint32_t end = std::min(panels, begin + tile_panels);
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
