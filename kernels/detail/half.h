// F16 and BF16 to and from float in plain integer arithmetic, bit for bit what F16C's instructions
// give under the default rounding mode. Pure functions.
#pragma once
#include <bit>
#include <cstdint>

namespace rekindle::kernels::detail {

constexpr float half_to_float(uint16_t half) noexcept {
    const uint32_t magnitude = (half & 0x7fffU) << 13;
    const uint32_t sign = (half & 0x8000U) << 16;
    // Read with float's exponent bias the value is 2^112 too small, denormals included.
    const float scaled = std::bit_cast<float>(magnitude) * 0x1p112f;
    const uint32_t finite = std::bit_cast<uint32_t>(scaled);
    const bool special = magnitude >= (0x7c00U << 13);
    const bool nan = magnitude > (0x7c00U << 13);
    const uint32_t quiet = nan ? 0x00400000U : 0U;
    return std::bit_cast<float>(sign | (special ? 0x7f800000U | magnitude | quiet : finite));
}

// Round to nearest even; beyond 65,519.99 infinity; NaN stays a (quiet) NaN.
constexpr uint16_t float_to_half(float value) noexcept {
    const uint32_t bits = std::bit_cast<uint32_t>(value);
    const uint32_t sign = (bits >> 16) & 0x8000U;
    const uint32_t magnitude = bits & 0x7fffffffU;
    if (magnitude > 0x7f800000U) {
        return static_cast<uint16_t>(sign | 0x7e00U | ((magnitude >> 13) & 0x3ffU));
    }
    if (magnitude >= 0x47800000U) {  // 65,536 and above.
        return static_cast<uint16_t>(sign | 0x7c00U);
    }
    if (magnitude < 0x38800000U) {  // Below 2^-14: a half denormal; float addition rounds it.
        const float aligned = std::bit_cast<float>(magnitude) + 0.5f;
        return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(aligned) - 0x3f000000U));
    }
    const uint32_t odd = (magnitude >> 13) & 1U;
    const uint32_t rounded = magnitude - 0x38000000U + 0xfffU + odd;
    return static_cast<uint16_t>(sign | (rounded >> 13));
}

constexpr float bfloat_to_float(uint16_t bfloat) noexcept {
    return std::bit_cast<float>(static_cast<uint32_t>(bfloat) << 16);
}

// Round to nearest even; NaN stays a (quiet) NaN.
constexpr uint16_t float_to_bfloat(float value) noexcept {
    const uint32_t bits = std::bit_cast<uint32_t>(value);
    if ((bits & 0x7fffffffU) > 0x7f800000U) {
        return static_cast<uint16_t>(bits >> 16 | 0x40U);
    }
    const uint32_t odd = (bits >> 16) & 1U;
    return static_cast<uint16_t>((bits + 0x7fffU + odd) >> 16);
}

}  // namespace rekindle::kernels::detail
