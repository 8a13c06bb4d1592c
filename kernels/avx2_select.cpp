// Selection kernels for AVX2 (kernels/detail/avx2_select.inl); the same rules as avx2.cpp.
#include "kernels/detail/avx2_select.inl"

#include "kernels/detail/tables.h"

namespace rekindle::kernels::avx2 {

void block_maxima(const float* x, uint32_t n, float* out) noexcept {
    for (uint32_t first = 0; first < n; first += kSelectBlock) {
        const uint32_t left = n - first;
        *out++ = block_maximum(x + first, left < kSelectBlock ? left : kSelectBlock);
    }
}

void block_exp_sums(const float* x, uint32_t n, float best, float scale, float* out) noexcept {
    const Weights weights(best, scale);
    uint32_t first = 0;
    for (; first + kSelectBlock <= n; first += kSelectBlock) {
        *out++ = block_exp_sum(x + first, weights);
    }
    if (first < n) {
        *out = part_block_exp_sum(x + first, n - first, weights);
    }
}

double exp_sum_above(const LogitRow& row, float threshold) noexcept {
    const Weights weights(row.best, row.scale);
    const __m256 least = _mm256_set1_ps(threshold);
    double sum = 0;
    const float* maximum = row.maxima;
    for (uint32_t first = 0; first < row.n; first += kSelectBlock) {
        const uint32_t left = row.n - first;
        if (*maximum++ > threshold) {
            const uint32_t count = left < kSelectBlock ? left : kSelectBlock;
            sum += static_cast<double>(block_exp_sum_above(row.x + first, count, weights, least));
        }
    }
    return sum;
}

uint32_t collect_above(const float* x, uint32_t n, float threshold, uint32_t* out) noexcept {
    const __m256 least = _mm256_set1_ps(threshold);
    uint32_t found = 0;
    for (uint32_t i = 0; i < n; i += kSelectLanes) {
        const uint32_t left = n - i;
        const __m256 values =
            left < kSelectLanes ? load_front(x + i, left) : _mm256_loadu_ps(x + i);
        auto lanes =
            static_cast<uint32_t>(_mm256_movemask_ps(_mm256_cmp_ps(values, least, _CMP_GE_OQ)));
        if (left < kSelectLanes) {
            lanes &= (1U << left) - 1U;
        }
        for (; lanes != 0; lanes &= lanes - 1U) {
            out[found++] = i + static_cast<uint32_t>(__builtin_ctz(lanes));
        }
    }
    return found;
}

}  // namespace rekindle::kernels::avx2
