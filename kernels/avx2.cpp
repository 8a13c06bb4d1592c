// The kernel table for AVX2, FMA and F16C (Haswell, Zen and later). Compiled with exactly those
// flags; everything but the functions of detail/tables.h has internal linkage, so that no other
// object file can end up calling AVX2 code. scripts/check_isa_leak.sh proves it.
#include "kernels/detail/attention.inl"
#include "kernels/detail/avx2_matmul.inl"
#include "kernels/detail/avx2_vector.inl"
#include "kernels/detail/elementwise.inl"
#include "kernels/detail/kv_store.inl"
#include "kernels/detail/tables.h"

namespace rekindle::kernels::avx2 {

#include "kernels/detail/table_functions.inl"

}  // namespace rekindle::kernels::avx2
