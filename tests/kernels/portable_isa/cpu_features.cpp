// This machine's features, and VNNI and AVX-512 on top of AVX2: their instructions are portable
// ones here.
#define cpu_features machine_cpu_features
#include "kernels/cpu_features.cpp"
#undef cpu_features

namespace rekindle::kernels {

const CpuFeatures& cpu_features() noexcept;

const CpuFeatures& cpu_features() noexcept {
    static const CpuFeatures features = [] {
        CpuFeatures all = machine_cpu_features();
        all.avx_vnni = all.avx2;
        all.avx512_vnni = all.avx2;
        all.avx512_bf16 = all.avx2;
        return all;
    }();
    return features;
}

}  // namespace rekindle::kernels
