// How pages of each KvType keep their numbers, for any register width: `V` is the Vector of an
// instruction set. A type loads kLanes neighbours as floats, multiplies what belongs to positions
// by their scales, and rounds a row. For files that are compiled for one instruction set; internal
// linkage, see README.md.
#pragma once
#include "kernels/detail/block_scale.inl"
#include "kernels/kernel_table.h"

namespace rekindle::kernels {
namespace {

template <typename V>
struct F16Numbers {
    using Number = uint16_t;
    using Floats = typename V::Floats;
    static constexpr uint32_t kBytes = sizeof(Number);
    static constexpr bool kScaled = false;

    static Floats load(const std::byte* place) { return V::load_halves(place); }

    // `x` belongs to the positions from `first` on of the head's keys or values at `head`.
    static Floats scale(Floats x, const std::byte* /*head*/, uint32_t /*head_dim*/,
                        uint32_t /*first*/) {
        return x;
    }

    // Gives the row's scale.
    static float store_row(const float* values, uint32_t head_dim, Number* out) {
        for (uint32_t d = 0; d < head_dim; d += V::kLanes) {
            V::store_halves(out + d, V::load(values + d));
        }
        return 1;
    }
};

template <typename V>
struct BF16Numbers : F16Numbers<V> {
    static typename V::Floats load(const std::byte* place) { return V::load_bfloats(place); }

    static float store_row(const float* values, uint32_t head_dim, uint16_t* out) {
        for (uint32_t d = 0; d < head_dim; d += V::kLanes) {
            V::store_bfloats(out + d, V::load(values + d));
        }
        return 1;
    }
};

template <typename V>
struct Q8Numbers {
    using Number = int8_t;
    using Floats = typename V::Floats;
    static constexpr uint32_t kBytes = sizeof(Number);
    static constexpr bool kScaled = true;

    static Floats load(const std::byte* place) { return V::load_int8(place); }

    static Floats scale(Floats x, const std::byte* head, uint32_t head_dim, uint32_t first) {
        return V::mul(x, V::load(scales(head, head_dim) + first));
    }

    static float store_row(const float* values, uint32_t head_dim, Number* out) {
        constexpr float kSteps = 127;
        const BlockScale row = block_scale(V::largest_magnitude(values, head_dim), kSteps);
        if (row.inverse == 0) {
            __builtin_memset(out, 0, head_dim);
            return row.scale;
        }
        const auto inverse = V::all(row.inverse);
        for (uint32_t d = 0; d < head_dim; d += V::kLanes) {
            V::store_int8(out + d, V::mul(V::load(values + d), inverse));
        }
        return row.scale;
    }

private:
    static const float* scales(const std::byte* head, uint32_t head_dim) {
        return reinterpret_cast<const float*>(head + static_cast<size_t>(kPageTokens) * head_dim);
    }
};

}  // namespace
}  // namespace rekindle::kernels
