// Products of quantised types for AVX-VNNI without AVX-512 (Alder Lake and later). Compiled with
// exactly those flags; everything but the function of detail/tables.h has internal linkage, as in
// avx2.cpp. All else that a table needs is AVX2's.
#include "kernels/detail/avx_vnni_ops.inl"
#include "kernels/detail/tables.h"
#include "kernels/detail/vnni_matmul.inl"

namespace rekindle::kernels::avx_vnni {
namespace {

struct FloatType {
    static constexpr bool kQuantised = false;
};

using F32 = FloatType;
using F16 = FloatType;
using BF16 = FloatType;

template <typename Type>
void compute_panels(const PackedMatrix& w, uint64_t /*panel_bytes*/, uint32_t panel_begin,
                    uint32_t panel_end, const Activations& x, float* out, size_t out_stride) {
    if constexpr (Type::kQuantised) {
        vnni::multiply_panels<Operations, Type>(w, panel_begin, panel_end, x, out, out_stride);
    } else {
        avx2::matmul(w, panel_begin, panel_end, x, out, out_stride);
    }
}

}  // namespace

#include "kernels/detail/matmul_dispatch.inl"

}  // namespace rekindle::kernels::avx_vnni
