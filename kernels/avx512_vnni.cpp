// The kernel table for AVX-512 F, BW, DQ, VL and VNNI (Ice Lake, Zen 4 and later). Compiled with
// exactly those flags; everything but the functions of detail/tables.h has internal linkage, so
// that no other object file can end up calling AVX-512 code. scripts/check_isa_leak.sh proves it.
#include "kernels/detail/attention.inl"
#include "kernels/detail/avx512_matmul.inl"
#include "kernels/detail/avx512_vector.inl"
#include "kernels/detail/elementwise.inl"
#include "kernels/detail/kv_store.inl"
#include "kernels/detail/tables.h"

namespace rekindle::kernels::avx512_vnni {

#include "kernels/detail/table_functions.inl"

}  // namespace rekindle::kernels::avx512_vnni
