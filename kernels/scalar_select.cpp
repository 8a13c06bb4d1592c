// Selection kernels in plain C++: the reference for the other tables.
#include "kernels/detail/tables.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace rekindle::kernels::scalar {

void block_maxima(const float* x, uint32_t n, float* out) noexcept {
    for (uint32_t first = 0; first < n; first += kSelectBlock) {
        const uint32_t end = first + std::min(kSelectBlock, n - first);
        float most = -std::numeric_limits<float>::infinity();
        for (uint32_t i = first; i < end; ++i) {
            most = x[i] > most ? x[i] : most;
        }
        *out++ = most;
    }
}

void block_exp_sums(const float* x, uint32_t n, float best, float scale, float* out) noexcept {
    for (uint32_t first = 0; first < n; first += kSelectBlock) {
        const uint32_t end = first + std::min(kSelectBlock, n - first);
        float sum = 0;
        for (uint32_t i = first; i < end; ++i) {
            const float distance = (x[i] - best) * scale;
            sum += distance > -kNegligibleWeight ? std::exp(distance) : 0.0F;
        }
        *out++ = sum;
    }
}

double exp_sum_above(const LogitRow& row, float threshold) noexcept {
    double sum = 0;
    for (uint32_t i = 0; i < row.n; ++i) {
        const float distance = (row.x[i] - row.best) * row.scale;
        if (row.x[i] > threshold && distance > -kNegligibleWeight) {
            sum += static_cast<double>(std::exp(distance));
        }
    }
    return sum;
}

uint32_t collect_above(const float* x, uint32_t n, float threshold, uint32_t* out) noexcept {
    uint32_t found = 0;
    for (uint32_t i = 0; i < n; ++i) {
        if (x[i] >= threshold) {
            out[found++] = i;
        }
    }
    return found;
}

}  // namespace rekindle::kernels::scalar
