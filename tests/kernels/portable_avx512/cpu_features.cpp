// This machine's features, and AVX-512 on top of AVX2: its instructions are portable ones here.
#define cpu_features machine_cpu_features
#include "kernels/cpu_features.cpp"
#undef cpu_features

namespace rekindle::kernels {

const CpuFeatures& cpu_features() noexcept;

const CpuFeatures& cpu_features() noexcept {
    static const CpuFeatures features = [] {
        CpuFeatures all = machine_cpu_features();
        all.avx512_vnni = all.avx2;
        return all;
    }();
    return features;
}

}  // namespace rekindle::kernels
