// AVX-512 and AVX-VNNI in portable C++ over AVX2: the intrinsics that kernels/avx512_*.cpp and
// kernels/avx_vnni.cpp use, written lane by lane from Intel's definitions, under their own names.
// So these files, compiled with this folder in front of the compiler's headers, are tested on any
// machine with AVX2.
// Results are those of the instructions bit for bit, but for scalef's and roundscale's special
// cases, which only exp_lanes uses. Each is a call: inlined, the kernels' unrolled tiles would take
// the compiler many minutes.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>
#include_next <immintrin.h>

namespace portable_isa {

template <typename Lane>
struct Lanes {
    static constexpr int kCount = 64 / sizeof(Lane);
    Lane lane[kCount];

    Lanes() = default;

    template <typename Vector>
    explicit Lanes(const Vector& vector) {
        static_assert(sizeof vector == 64);
        std::memcpy(lane, &vector, 64);
    }

    template <typename Vector>
    operator Vector() const {  // NOLINT(google-explicit-constructor): stands for a register.
        static_assert(sizeof(Vector) == 64);
        Vector vector;
        std::memcpy(&vector, lane, 64);
        return vector;
    }
};

template <typename Lane, typename Function>
inline Lanes<Lane> each(const Function& function) {
    Lanes<Lane> out;
    for (int i = 0; i < Lanes<Lane>::kCount; ++i) {
        out.lane[i] = static_cast<Lane>(function(i));
    }
    return out;
}

using F = Lanes<float>;
using I = Lanes<int32_t>;
using U = Lanes<uint32_t>;
using W = Lanes<uint16_t>;
using S = Lanes<int16_t>;
using B = Lanes<uint8_t>;

[[gnu::noinline]] inline __m512 set1_ps(float a) {
    return each<float>([&](int) { return a; });
}
[[gnu::noinline]] inline __m512i set1_epi32(int a) {
    return each<int32_t>([&](int) { return a; });
}
[[gnu::noinline]] inline __m512i set1_epi16(short a) {
    return each<int16_t>([&](int) { return a; });
}
[[gnu::noinline]] inline __m512i set1_epi8(char a) {
    return each<uint8_t>([&](int) { return static_cast<uint8_t>(a); });
}
[[gnu::noinline]] inline __m512i set4_epi32(int d, int c, int b, int a) {
    const int four[] = {a, b, c, d};
    return each<int32_t>([&](int i) { return four[i % 4]; });
}
template <typename... Ints>
inline __m512i set_epi32(Ints... from_highest) {
    const int all[] = {from_highest...};
    return each<int32_t>([&](int i) { return all[15 - i]; });
}
[[gnu::noinline]] inline __m512 loadu_ps(const void* p) {
    __m512 v;
    std::memcpy(&v, p, sizeof v);
    return v;
}
[[gnu::noinline]] inline __m512i loadu_si512(const void* p) {
    __m512i v;
    std::memcpy(&v, p, sizeof v);
    return v;
}
[[gnu::noinline]] inline __m512 maskz_loadu_ps(__mmask16 m, const void* p) {
    return each<float>([&](int i) {
        float a = 0;
        if ((m >> i & 1) != 0) {
            std::memcpy(&a, static_cast<const char*>(p) + 4 * i, 4);
        }
        return a;
    });
}
[[gnu::noinline]] inline __m512 mask_load_ps(__m512 other, __mmask16 m, const void* p) {
    const F a(maskz_loadu_ps(m, p));
    const F b(other);
    return each<float>([&](int i) { return (m >> i & 1) != 0 ? a.lane[i] : b.lane[i]; });
}
[[gnu::noinline]] inline __m512 mask_mov_ps(__m512 other, __mmask16 m, __m512 a) {
    const F x(a);
    const F y(other);
    return each<float>([&](int i) { return (m >> i & 1) != 0 ? x.lane[i] : y.lane[i]; });
}
[[gnu::noinline]] inline void mask_storeu_ps(void* p, __mmask16 m, __m512 v) {
    const F a(v);
    for (int i = 0; i < 16; ++i) {
        if ((m >> i & 1) != 0) {
            std::memcpy(static_cast<char*>(p) + 4 * i, &a.lane[i], 4);
        }
    }
}
[[gnu::noinline]] inline void mask_storeu_epi16_256(void* p, __mmask16 m, __m256i v) {
    uint16_t a[16];
    std::memcpy(a, &v, sizeof a);
    for (int i = 0; i < 16; ++i) {
        if ((m >> i & 1) != 0) {
            std::memcpy(static_cast<char*>(p) + 2 * i, &a[i], 2);
        }
    }
}
template <typename Function>
inline __m512 floats(__m512 a, __m512 b, const Function& function) {
    const F x(a);
    const F y(b);
    return each<float>([&](int i) { return function(x.lane[i], y.lane[i]); });
}
[[gnu::noinline]] inline __m512 add_ps(__m512 a, __m512 b) {
    return floats(a, b, [](float x, float y) { return x + y; });
}
[[gnu::noinline]] inline __m512 sub_ps(__m512 a, __m512 b) {
    return floats(a, b, [](float x, float y) { return x - y; });
}
[[gnu::noinline]] inline __m512 mul_ps(__m512 a, __m512 b) {
    return floats(a, b, [](float x, float y) { return x * y; });
}
[[gnu::noinline]] inline __m512 div_ps(__m512 a, __m512 b) {
    return floats(a, b, [](float x, float y) { return x / y; });
}
[[gnu::noinline]] inline __m512 max_ps(__m512 a, __m512 b) {  // The second operand for NaN.
    return floats(a, b, [](float x, float y) { return x > y ? x : y; });
}
[[gnu::noinline]] inline __m512 min_ps(__m512 a, __m512 b) {
    return floats(a, b, [](float x, float y) { return x < y ? x : y; });
}
[[gnu::noinline]] inline __m512 fmadd_ps(__m512 a, __m512 b, __m512 c) {
    const F x(a);
    const F y(b);
    const F z(c);
    return each<float>([&](int i) { return std::fma(x.lane[i], y.lane[i], z.lane[i]); });
}
[[gnu::noinline]] inline __m512 fnmadd_ps(__m512 a, __m512 b, __m512 c) {
    const F x(a);
    const F y(b);
    const F z(c);
    return each<float>([&](int i) { return std::fma(-x.lane[i], y.lane[i], z.lane[i]); });
}
[[gnu::noinline]] inline __m512 fmaddsub_ps(__m512 a, __m512 b, __m512 c) {
    const F x(a);
    const F y(b);
    const F z(c);
    return each<float>(
        [&](int i) { return std::fma(x.lane[i], y.lane[i], i % 2 == 0 ? -z.lane[i] : z.lane[i]); });
}
[[gnu::noinline]] inline __m512 scalef_ps(__m512 a, __m512 b) {
    return floats(a, b, [](float x, float y) {
        return std::isnan(y) ? y : std::ldexp(x, static_cast<int>(std::floor(y)));
    });
}
[[gnu::noinline]] inline __m512 roundscale_ps(__m512 a, int) {
    return floats(a, a, [](float x, float) { return std::nearbyint(x); });
}
[[gnu::noinline]] inline __m512 permutexvar_ps(__m512i index, __m512 a) {
    const U k(index);
    const F x(a);
    return each<float>([&](int i) { return x.lane[k.lane[i] & 15]; });
}
[[gnu::noinline]] inline __m512 permute_ps(__m512 a, int control) {
    const F x(a);
    return each<float>([&](int i) { return x.lane[i / 4 * 4 + (control >> (i % 4 * 2) & 3)]; });
}
// The order of the compiler's own reduction: halves are added until one lane is left.
[[gnu::noinline]] inline float reduce_add_ps(__m512 a) {
    F x(a);
    for (int half = 8; half > 0; half /= 2) {
        for (int i = 0; i < half; ++i) {
            x.lane[i] += x.lane[i + half];
        }
    }
    return x.lane[0];
}
[[gnu::noinline]] inline float reduce_max_ps(__m512 a) {
    F x(a);
    for (int half = 8; half > 0; half /= 2) {
        for (int i = 0; i < half; ++i) {
            x.lane[i] = x.lane[i] > x.lane[i + half] ? x.lane[i] : x.lane[i + half];
        }
    }
    return x.lane[0];
}
[[gnu::noinline]] inline int reduce_add_epi32(__m512i a) {
    const U x(a);
    uint32_t sum = 0;
    for (const uint32_t lane : x.lane) {
        sum += lane;
    }
    return static_cast<int>(sum);
}
[[gnu::noinline]] inline uint32_t reduce_max_epu32(__m512i a) {
    const U x(a);
    uint32_t max = 0;
    for (const uint32_t lane : x.lane) {
        max = lane > max ? lane : max;
    }
    return max;
}
[[gnu::noinline]] inline float cvtss_f32(__m512 a) {
    return F(a).lane[0];
}
template <typename Lane, typename Function>
inline __m512i integers(__m512i a, __m512i b, const Function& function) {
    const Lanes<Lane> x(a);
    const Lanes<Lane> y(b);
    return each<Lane>([&](int i) { return function(x.lane[i], y.lane[i]); });
}
[[gnu::noinline]] inline __m512i add_epi32(__m512i a, __m512i b) {
    return integers<uint32_t>(a, b, [](uint32_t x, uint32_t y) { return x + y; });
}
[[gnu::noinline]] inline __m512i sub_epi32(__m512i a, __m512i b) {
    return integers<uint32_t>(a, b, [](uint32_t x, uint32_t y) { return x - y; });
}
[[gnu::noinline]] inline __m512i mullo_epi32(__m512i a, __m512i b) {
    return integers<uint32_t>(a, b, [](uint32_t x, uint32_t y) { return x * y; });
}
[[gnu::noinline]] inline __m512i mullo_epi16(__m512i a, __m512i b) {
    return integers<uint16_t>(a, b, [](uint32_t x, uint32_t y) { return x * y; });
}
[[gnu::noinline]] inline __m512i sub_epi16(__m512i a, __m512i b) {
    return integers<uint16_t>(a, b, [](uint16_t x, uint16_t y) { return x - y; });
}
[[gnu::noinline]] inline __m512i max_epu32(__m512i a, __m512i b) {
    return integers<uint32_t>(a, b, [](uint32_t x, uint32_t y) { return x > y ? x : y; });
}
[[gnu::noinline]] inline __m512i and_si512(__m512i a, __m512i b) {
    return integers<uint32_t>(a, b, [](uint32_t x, uint32_t y) { return x & y; });
}
[[gnu::noinline]] inline __m512i or_si512(__m512i a, __m512i b) {
    return integers<uint32_t>(a, b, [](uint32_t x, uint32_t y) { return x | y; });
}
[[gnu::noinline]] inline __m512i xor_si512(__m512i a, __m512i b) {
    return integers<uint32_t>(a, b, [](uint32_t x, uint32_t y) { return x ^ y; });
}
[[gnu::noinline]] inline __m512i add_epi8(__m512i a, __m512i b) {
    return integers<uint8_t>(a, b, [](uint8_t x, uint8_t y) { return x + y; });
}
[[gnu::noinline]] inline __m512i mask_add_epi8(__m512i other, __mmask64 m, __m512i a, __m512i b) {
    const B x(a);
    const B y(b);
    const B z(other);
    return each<uint8_t>(
        [&](int i) { return (m >> i & 1) != 0 ? x.lane[i] + y.lane[i] : z.lane[i]; });
}
[[gnu::noinline]] inline __mmask64 test_epi8_mask(__m512i a, __m512i b) {
    const B x(a);
    const B y(b);
    __mmask64 m = 0;
    for (int i = 0; i < 64; ++i) {
        m |= static_cast<__mmask64>((x.lane[i] & y.lane[i]) != 0) << i;
    }
    return m;
}
[[gnu::noinline]] inline __mmask16 cmp_ps_mask(__m512 a, __m512 b, int unordered) {
    static_cast<void>(unordered);  // The only comparison that the kernels make.
    const F x(a);
    const F y(b);
    uint32_t m = 0;
    for (int i = 0; i < 16; ++i) {
        m |= static_cast<uint32_t>(std::isnan(x.lane[i]) || std::isnan(y.lane[i])) << i;
    }
    return static_cast<__mmask16>(m);
}
[[gnu::noinline]] inline __m512i slli_epi32(__m512i a, unsigned n) {
    return integers<uint32_t>(a, a, [&](uint32_t x, uint32_t) { return x << n; });
}
[[gnu::noinline]] inline __m512i srai_epi32(__m512i a, unsigned n) {
    return integers<int32_t>(a, a, [&](int32_t x, int32_t) { return x >> n; });
}
[[gnu::noinline]] inline __m512i srli_epi32(__m512i a, unsigned n) {
    return integers<uint32_t>(a, a, [&](uint32_t x, uint32_t) { return x >> n; });
}
[[gnu::noinline]] inline __m512i slli_epi16(__m512i a, unsigned n) {
    return integers<uint16_t>(a, a, [&](uint16_t x, uint16_t) { return x << n; });
}
[[gnu::noinline]] inline __m512i srli_epi16(__m512i a, unsigned n) {
    return integers<uint16_t>(a, a, [&](uint16_t x, uint16_t) { return x >> n; });
}
[[gnu::noinline]] inline __m512i srl_epi16(__m512i a, __m128i count) {
    return srli_epi16(a, static_cast<unsigned>(_mm_cvtsi128_si32(count)));
}
[[gnu::noinline]] inline __m512i shuffle_epi8(__m512i a, __m512i control) {
    const B x(a);
    const B c(control);
    return each<uint8_t>([&](int i) {
        return (c.lane[i] & 0x80) != 0 ? 0 : x.lane[i / 16 * 16 + (c.lane[i] & 15)];
    });
}
[[gnu::noinline]] inline __m512i madd_epi16(__m512i a, __m512i b) {
    const S x(a);
    const S y(b);
    return each<int32_t>([&](int i) {
        return x.lane[2 * i] * y.lane[2 * i] + x.lane[2 * i + 1] * y.lane[2 * i + 1];
    });
}
[[gnu::noinline]] inline __m512i dpbusd_epi32(__m512i sum, __m512i a, __m512i b) {
    const I s(sum);
    const B x(a);
    const B y(b);
    return each<int32_t>([&](int i) {
        int32_t out = s.lane[i];
        for (int k = 4 * i; k < 4 * i + 4; ++k) {
            out += x.lane[k] * static_cast<int8_t>(y.lane[k]);
        }
        return out;
    });
}
[[gnu::noinline]] inline __m512i dpwssd_epi32(__m512i sum, __m512i a, __m512i b) {
    return add_epi32(sum, madd_epi16(a, b));
}
// The same for the rows that 256 bits hold.
template <typename Wide>
inline __m256i lower_half(const Wide& wide, __m256i sum, __m256i a, __m256i b) {
    __m512i all[3] = {};
    std::memcpy(&all[0], &sum, sizeof sum);
    std::memcpy(&all[1], &a, sizeof a);
    std::memcpy(&all[2], &b, sizeof b);
    const __m512i out = wide(all[0], all[1], all[2]);
    std::memcpy(&sum, &out, sizeof sum);
    return sum;
}
[[gnu::noinline]] inline __m256i dpbusd_epi32_256(__m256i sum, __m256i a, __m256i b) {
    return lower_half(dpbusd_epi32, sum, a, b);
}
[[gnu::noinline]] inline __m256i dpwssd_epi32_256(__m256i sum, __m256i a, __m256i b) {
    return lower_half(dpwssd_epi32, sum, a, b);
}
inline float without_denormal(float a) {
    return std::fpclassify(a) == FP_SUBNORMAL ? std::copysign(0.0F, a) : a;
}
inline float from_bf16(uint16_t bits) {
    const uint32_t word = static_cast<uint32_t>(bits) << 16;
    float value = 0;
    std::memcpy(&value, &word, sizeof value);
    return without_denormal(value);
}
template <typename Pairs>
[[gnu::noinline]] inline __m512 dpbf16_ps(__m512 sum, const Pairs& a, const Pairs& b) {
    const F s(sum);
    const W x(a);
    const W y(b);
    return each<float>([&](int i) {
        float out = without_denormal(s.lane[i]);
        for (int k = 2 * i + 1; k >= 2 * i; --k) {
            out = without_denormal(std::fma(from_bf16(x.lane[k]), from_bf16(y.lane[k]), out));
        }
        return out;
    });
}
[[gnu::noinline]] inline __m256i cvtneps_pbh(__m512 a) {  // To nearest, ties to even.
    const F x(a);
    uint16_t halves[16];
    for (int i = 0; i < 16; ++i) {
        const float value = without_denormal(x.lane[i]);
        uint32_t bits = 0;
        std::memcpy(&bits, &value, sizeof bits);
        const uint32_t up = std::isnan(value) ? 0x400000U : 0x7fffU + (bits >> 16 & 1U);
        halves[i] = static_cast<uint16_t>((std::isnan(value) ? bits | up : bits + up) >> 16);
    }
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(halves));
}
[[gnu::noinline]] inline __m512 cvtepi32_ps(__m512i a) {
    const I x(a);
    return each<float>([&](int i) { return static_cast<float>(x.lane[i]); });
}
[[gnu::noinline]] inline __m512i cvtps_epi32(__m512 a) {  // To nearest, ties to even.
    const F x(a);
    return each<int32_t>([&](int i) { return std::lrintf(x.lane[i]); });
}
[[gnu::noinline]] inline __m128i cvtepi32_epi8(__m512i a) {
    const U x(a);
    uint8_t bytes[16];
    for (int i = 0; i < 16; ++i) {
        bytes[i] = static_cast<uint8_t>(x.lane[i]);
    }
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes));
}
[[gnu::noinline]] inline __m256i cvtepi32_epi16(__m512i a) {
    const U x(a);
    uint16_t words[16];
    for (int i = 0; i < 16; ++i) {
        words[i] = static_cast<uint16_t>(x.lane[i]);
    }
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(words));
}
template <typename Narrow, typename Vector>
inline __m512i widen(const Vector& a) {
    Narrow narrow[16];
    static_assert(sizeof narrow == sizeof a);
    std::memcpy(narrow, &a, sizeof narrow);
    return each<int32_t>([&](int i) { return static_cast<int32_t>(narrow[i]); });
}
[[gnu::noinline]] inline __m512 join(__m256 low, __m256 high) {
    __m512 out;
    std::memcpy(&out, &low, 32);
    std::memcpy(reinterpret_cast<char*>(&out) + 32, &high, 32);
    return out;
}
[[gnu::noinline]] inline __m256 half(__m512 a, int which) {
    __m256 out;
    std::memcpy(&out, reinterpret_cast<const char*>(&a) + 32 * which, 32);
    return out;
}
[[gnu::noinline]] inline __m512 cvtph_ps(__m256i a) {
    return join(_mm256_cvtph_ps(_mm256_castsi256_si128(a)),
                _mm256_cvtph_ps(_mm256_extracti128_si256(a, 1)));
}
[[gnu::noinline]] inline __m256i cvtps_ph(__m512 a) {
    return _mm256_setr_m128i(_mm256_cvtps_ph(half(a, 0), _MM_FROUND_TO_NEAREST_INT),
                             _mm256_cvtps_ph(half(a, 1), _MM_FROUND_TO_NEAREST_INT));
}
[[gnu::noinline]] inline __m512i broadcast_i32x4(__m128i a) {
    __m512i out;
    for (int i = 0; i < 4; ++i) {
        std::memcpy(reinterpret_cast<char*>(&out) + 16 * i, &a, 16);
    }
    return out;
}

}  // namespace portable_isa

#define _mm512_set1_ps portable_isa::set1_ps
#define _mm512_set1_epi32 portable_isa::set1_epi32
#define _mm512_set1_epi16 portable_isa::set1_epi16
#define _mm512_set1_epi8 portable_isa::set1_epi8
#define _mm512_set4_epi32 portable_isa::set4_epi32
#undef _mm512_set_epi32
#define _mm512_set_epi32 portable_isa::set_epi32
#define _mm512_setzero_ps() portable_isa::set1_ps(0)
#define _mm512_setzero_si512() portable_isa::set1_epi32(0)
#define _mm512_loadu_ps portable_isa::loadu_ps
#define _mm512_loadu_si512 portable_isa::loadu_si512
#define _mm512_storeu_ps(p, v) portable_isa::mask_storeu_ps(p, 0xffff, v)
#define _mm512_maskz_loadu_ps portable_isa::maskz_loadu_ps
#define _mm512_mask_load_ps portable_isa::mask_load_ps
#define _mm512_mask_mov_ps portable_isa::mask_mov_ps
#define _mm512_mask_storeu_ps portable_isa::mask_storeu_ps
#define _mm256_mask_storeu_epi16 portable_isa::mask_storeu_epi16_256
#define _mm512_add_ps portable_isa::add_ps
#define _mm512_sub_ps portable_isa::sub_ps
#define _mm512_mul_ps portable_isa::mul_ps
#define _mm512_div_ps portable_isa::div_ps
#define _mm512_max_ps portable_isa::max_ps
#define _mm512_min_ps portable_isa::min_ps
#define _mm512_fmadd_ps portable_isa::fmadd_ps
#define _mm512_fnmadd_ps portable_isa::fnmadd_ps
#define _mm512_fmaddsub_ps portable_isa::fmaddsub_ps
#define _mm512_scalef_ps portable_isa::scalef_ps
#undef _mm512_roundscale_ps
#define _mm512_roundscale_ps portable_isa::roundscale_ps
#define _mm512_permutexvar_ps portable_isa::permutexvar_ps
#undef _mm512_permute_ps
#define _mm512_permute_ps portable_isa::permute_ps
#define _mm512_reduce_add_ps portable_isa::reduce_add_ps
#define _mm512_reduce_max_ps portable_isa::reduce_max_ps
#define _mm512_reduce_add_epi32 portable_isa::reduce_add_epi32
#define _mm512_reduce_max_epu32 portable_isa::reduce_max_epu32
#define _mm512_cvtss_f32 portable_isa::cvtss_f32
#define _mm512_add_epi32 portable_isa::add_epi32
#define _mm512_sub_epi32 portable_isa::sub_epi32
#define _mm512_mullo_epi32 portable_isa::mullo_epi32
#define _mm512_mullo_epi16 portable_isa::mullo_epi16
#define _mm512_sub_epi16 portable_isa::sub_epi16
#define _mm512_max_epu32 portable_isa::max_epu32
#define _mm512_and_si512 portable_isa::and_si512
#define _mm512_or_si512 portable_isa::or_si512
#define _mm512_xor_si512 portable_isa::xor_si512
#define _mm512_add_epi8 portable_isa::add_epi8
#define _mm512_mask_add_epi8 portable_isa::mask_add_epi8
#define _mm512_test_epi8_mask portable_isa::test_epi8_mask
#define _mm512_slli_epi32 portable_isa::slli_epi32
#define _mm512_srli_epi32 portable_isa::srli_epi32
#undef _mm512_cmp_ps_mask
#define _mm512_cmp_ps_mask portable_isa::cmp_ps_mask
#define _mm512_srai_epi32 portable_isa::srai_epi32
#define _mm512_slli_epi16 portable_isa::slli_epi16
#define _mm512_srli_epi16 portable_isa::srli_epi16
#define _mm512_srl_epi16 portable_isa::srl_epi16
#define _mm512_shuffle_epi8 portable_isa::shuffle_epi8
#define _mm512_dpbusd_epi32 portable_isa::dpbusd_epi32
#define _mm512_dpwssd_epi32 portable_isa::dpwssd_epi32
#define _mm256_dpbusd_avx_epi32 portable_isa::dpbusd_epi32_256
#define _mm256_dpwssd_avx_epi32 portable_isa::dpwssd_epi32_256
#define _mm512_dpbf16_ps portable_isa::dpbf16_ps
#define _mm512_cvtneps_pbh portable_isa::cvtneps_pbh
#define _mm512_cvtepi32_ps portable_isa::cvtepi32_ps
#define _mm512_cvtps_epi32 portable_isa::cvtps_epi32
#define _mm512_cvtepi32_epi8 portable_isa::cvtepi32_epi8
#define _mm512_cvtepi32_epi16 portable_isa::cvtepi32_epi16
#define _mm512_cvtepi8_epi32 portable_isa::widen<int8_t>
#define _mm512_cvtepu8_epi32 portable_isa::widen<uint8_t>
#define _mm512_cvtepu16_epi32 portable_isa::widen<uint16_t>
#define _mm512_cvtph_ps portable_isa::cvtph_ps
#undef _mm512_cvtps_ph
#define _mm512_cvtps_ph(a, rounding) portable_isa::cvtps_ph(a)
#define _mm512_broadcast_i32x4 portable_isa::broadcast_i32x4
#undef _mm512_extractf32x8_ps
#define _mm512_extractf32x8_ps portable_isa::half
#define _mm512_castps512_ps256(a) portable_isa::half(a, 0)
#define _mm512_castps_si512(a) (__m512i)(a)
#define _mm512_castsi512_ps(a) (__m512)(a)
