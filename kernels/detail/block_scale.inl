// The scale of values that are rounded to integers: kernel_table.h, `quantize`. For files that are
// compiled for one instruction set; internal linkage, see README.md.
#pragma once
#include "kernels/kernel_table.h"

#include <cstdint>

namespace rekindle::kernels {
namespace {

[[gnu::always_inline]] inline float float_from_bits(uint32_t bits) {
    float value = 0;
    __builtin_memcpy(&value, &bits, sizeof value);
    return value;
}

// value = quant * scale, quant = round(value * inverse). The inverse 0 says that all quants are 0.
struct BlockScale {
    float inverse;
    float scale;
};

// Of values whose largest magnitude has these bits, for quants of up to `steps`. Magnitudes order
// as their bits do, NaN above all.
[[gnu::always_inline]] inline BlockScale block_scale(uint32_t magnitude_bits, float steps) {
    const float max = float_from_bits(magnitude_bits);
    if (magnitude_bits >= 0x7f800000U || max < kQuantizeFloor) {
        return {0, magnitude_bits >= 0x7f800000U ? float_from_bits(0x7fc00000U) : 0.0F};
    }
    return {steps / max, max / steps};
}

}  // namespace
}  // namespace rekindle::kernels
