// Matrix products of the sizes of a small model: operations per second (a multiply and an add are
// two), tokens per second for one matrix, and the share of the int8 peak that this same run
// measured.
//   kernels_bench [--benchmark_filter=avx512.*Q4_1]
// The peak is that of 512-bit vpdpbusd on registers; where the CPU lacks it the share is left out.
#include "kernels/kernel_table.h"
#include "kernels/pack.h"
#include "kernels/weight_types.h"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace {

using namespace rekindle::kernels;

// Twelve independent chains of vpdpbusd, more than latency times throughput of any core so far.
__attribute__((target("avx512f,avx512vnni"))) void run_int8_chains(uint64_t rounds) {
    for (uint64_t round = 0; round < rounds; ++round) {
        __asm__ volatile(
            "vpdpbusd %%zmm30, %%zmm31, %%zmm0\n\t"
            "vpdpbusd %%zmm30, %%zmm31, %%zmm1\n\t"
            "vpdpbusd %%zmm30, %%zmm31, %%zmm2\n\t"
            "vpdpbusd %%zmm30, %%zmm31, %%zmm3\n\t"
            "vpdpbusd %%zmm30, %%zmm31, %%zmm4\n\t"
            "vpdpbusd %%zmm30, %%zmm31, %%zmm5\n\t"
            "vpdpbusd %%zmm30, %%zmm31, %%zmm6\n\t"
            "vpdpbusd %%zmm30, %%zmm31, %%zmm7\n\t"
            "vpdpbusd %%zmm30, %%zmm31, %%zmm8\n\t"
            "vpdpbusd %%zmm30, %%zmm31, %%zmm9\n\t"
            "vpdpbusd %%zmm30, %%zmm31, %%zmm10\n\t"
            "vpdpbusd %%zmm30, %%zmm31, %%zmm11\n\t"
            :
            :
            : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",
              "xmm10", "xmm11");
    }
}

// Operations per second of one core; 0 if this CPU has no 512-bit VNNI. Measured once, best of 5.
double int8_peak() {
    static const double peak = [] {
        if (find_kernel_table("avx512_vnni") == nullptr) {
            return 0.0;
        }
        constexpr uint64_t kRounds = 4'000'000;
        constexpr double kOperations = 12.0 * 64 * 2;  // 64 products and sums an instruction.
        double best = 0;
        for (int attempt = 0; attempt < 5; ++attempt) {
            const auto start = std::chrono::steady_clock::now();
            run_int8_chains(kRounds);
            const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
            best = std::max(best, kRounds * kOperations / took.count());
        }
        return best;
    }();
    return peak;
}

struct Problem {
    Problem(WeightType type, uint32_t rows, uint32_t k, uint32_t tokens, const KernelTable& table)
        : values(size_t{tokens} * k),
          quants(values.size()),
          scales(values.size() / kBlockColumns),
          half_sums(scales.size() * 2),
          out(size_t{tokens} * rows),
          storage(packed_bytes(type, rows, k) + 64) {
        std::mt19937 random(1);
        std::normal_distribution<float> normal;
        for (float& value : values) {
            value = normal(random);
        }
        table.quantize(values.data(), static_cast<uint32_t>(values.size()), quants.data(),
                       scales.data(), half_sums.data());
        // Bytes below 0x3c: positive finite halves and floats, whatever the type.
        void* aligned = storage.data();
        size_t space = storage.size();
        auto* data = static_cast<std::byte*>(std::align(64, space - 64, aligned, space));
        for (uint64_t i = 0; i < packed_bytes(type, rows, k); ++i) {
            data[i] = static_cast<std::byte>(random() % 0x3c);
        }
        matrix = {.type = type, .rows = rows, .columns = k, .data = data};
        inputs = {.values = values.data(),
                  .quants = quants.data(),
                  .scales = scales.data(),
                  .half_sums = half_sums.data(),
                  .tokens = tokens,
                  .k = k};
    }

    std::vector<float> values;
    std::vector<int8_t> quants;
    std::vector<float> scales;
    std::vector<int16_t> half_sums;
    std::vector<float> out;
    std::vector<std::byte> storage;
    PackedMatrix matrix;
    Activations inputs;
};

void multiply(benchmark::State& state, const KernelTable* table, WeightType type, uint32_t rows) {
    const auto k = static_cast<uint32_t>(state.range(0));
    const auto tokens = static_cast<uint32_t>(state.range(1));
    Problem problem(type, rows, k, tokens, *table);
    const uint32_t panels = (rows + kPanelRows - 1) / kPanelRows;
    const double peak = int8_peak();
    const auto start = std::chrono::steady_clock::now();
    for (auto _ : state) {
        table->matmul(problem.matrix, 0, panels, problem.inputs, problem.out.data(), rows);
        benchmark::DoNotOptimize(problem.out.data());
        benchmark::ClobberMemory();
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    const double operations = static_cast<double>(state.iterations()) * 2.0 * rows * k * tokens;
    state.counters["op/s"] = benchmark::Counter(operations, benchmark::Counter::kIsRate);
    state.counters["tok/s"] = benchmark::Counter(static_cast<double>(state.iterations()) * tokens,
                                                 benchmark::Counter::kIsRate);
    if (peak > 0) {
        state.counters["of_peak_%"] = 100 * operations / took.count() / peak;
    }
}

void register_table(const KernelTable* table) {
    const std::string prefix(table->name);
    for (const WeightType type : kWeightTypes) {
        const std::string name = prefix + "/" + std::string(weight_type_traits(type).name);
        auto* bench = benchmark::RegisterBenchmark(name.c_str(), multiply, table, type, 576U);
        for (const int64_t k : {576, 1536}) {
            if (k % weight_type_traits(type).block_columns != 0) {
                continue;
            }
            for (const int64_t tokens : {1, 2, 4, 8, 12, 32, 480}) {
                bench->Args({k, tokens});
            }
        }
        bench->ArgNames({"k", "tokens"});
    }
}

}  // namespace

int main(int argc, char** argv) {
    for (const char* name : {"scalar", "avx2", "avx512_vnni"}) {
        if (const KernelTable* table = find_kernel_table(name); table != nullptr) {
            register_table(table);
        }
    }
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
        return 1;
    }
    benchmark::AddCustomContext("int8_peak_op/s", std::to_string(int8_peak()));
    benchmark::RunSpecifiedBenchmarks();
    return 0;
}
