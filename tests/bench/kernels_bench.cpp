// Matrix products of the sizes of small models. `op/s` are the operations per second
// (a multiply and an add are two) of the fastest repetition, so that work beside the benchmark
// disturbs it less; `of_int8_%` is their share of the limit that this same run measured
// (kernels/int8_limit.cpp says what it counts).
// `inputs16` names products with inputs of 16 bits. `stream` multiplies a matrix that no cache
// holds, as decoding does: bytes of weights per second, and `of_memory_%` of what as many threads
// read at most.
//   kernels_bench [--benchmark_filter=avx2/Q4_1]
#include "kernels/kernel_table.h"
#include "kernels/pack.h"
#include "kernels/weight_types.h"
#include "runtime/machine_limits.h"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

namespace {

using namespace rekindle::kernels;

constexpr uint32_t kStreamThreadsMax = 2;

struct Problem {
    Problem(WeightType type, uint32_t rows, uint32_t k, uint32_t tokens, const KernelTable& table)
        : values(size_t{tokens} * k),
          quants(values.size()),
          quants16(values.size()),
          scales(values.size() / kBlockColumns),
          half_sums(scales.size() * 2),
          half_sums16(scales.size() * 2),
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
                  .half_sums = half_sums.data(),
                  .scales = scales.data(),
                  .tokens = tokens,
                  .k = k};
    }

    void use_inputs16(const KernelTable& table) {
        for (size_t token = 0; token < inputs.tokens; ++token) {
            const size_t block = token * inputs.k / kBlockColumns;
            const size_t first = token * inputs.k;
            table.quantize16(values.data() + first, inputs.k, quants16.data() + first,
                             scales.data() + block, half_sums16.data() + block * 2);
        }
        inputs.quants16 = quants16.data();
        inputs.half_sums16 = half_sums16.data();
    }

    std::vector<float> values;
    std::vector<int8_t> quants;
    std::vector<int16_t> quants16;
    std::vector<float> scales;
    std::vector<int16_t> half_sums;
    std::vector<int32_t> half_sums16;
    std::vector<float> out;
    std::vector<std::byte> storage;
    PackedMatrix matrix;
    Activations inputs;
};

double seconds_since(std::chrono::steady_clock::time_point start) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void multiply(benchmark::State& state, const KernelTable* table, WeightType type, double limit,
              bool inputs16) {
    constexpr uint32_t kRows = 192;  // Short enough to run between two interruptions.
    const auto k = static_cast<uint32_t>(state.range(0));
    const auto tokens = static_cast<uint32_t>(state.range(1));
    Problem problem(type, kRows, k, tokens, *table);
    if (inputs16) {
        problem.use_inputs16(*table);
    }
    double best = 1e9;
    for (auto _ : state) {
        const auto start = std::chrono::steady_clock::now();
        table->matmul(problem.matrix, 0, kRows / kPanelRows, problem.inputs, problem.out.data(),
                      kRows);
        benchmark::ClobberMemory();
        best = std::min(best, seconds_since(start));
    }
    const double rate = 2.0 * kRows * k * tokens / best;
    state.counters["op/s"] = rate;
    if (limit > 0) {
        state.counters["of_int8_%"] = 100 * rate / limit;
    }
}

// One matrix for all threads, each with its part of the panels.
void stream(benchmark::State& state, const KernelTable* table, WeightType type,
            const double* memory_limits) {
    constexpr uint32_t kRows = 49152;
    constexpr uint32_t kColumns = 2048;
    static std::unique_ptr<Problem> problem;
    const auto tokens = static_cast<uint32_t>(state.range(0));
    if (state.thread_index() == 0) {
        problem = std::make_unique<Problem>(type, kRows, kColumns, tokens, *table);
    }
    const auto threads = static_cast<uint32_t>(state.threads());
    const auto thread = static_cast<uint32_t>(state.thread_index());
    constexpr uint32_t kPanels = kRows / kPanelRows;
    std::optional<std::chrono::steady_clock::time_point> start;  // When all threads are there.
    for (auto _ : state) {
        if (!start) {
            start = std::chrono::steady_clock::now();
        }
        table->matmul(problem->matrix, kPanels * thread / threads, kPanels * (thread + 1) / threads,
                      problem->inputs, problem->out.data(), kRows);
        benchmark::ClobberMemory();
    }
    const double rate = static_cast<double>(state.iterations()) *
                        static_cast<double>(packed_bytes(type, kRows, kColumns)) /
                        seconds_since(*start);
    state.counters["B/s"] = benchmark::Counter(rate, benchmark::Counter::kAvgThreads);
    state.counters["of_memory_%"] = benchmark::Counter(100 * rate / memory_limits[threads - 1],
                                                       benchmark::Counter::kAvgThreads);
}

void register_products(const KernelTable* table, const double* memory_limits) {
    const std::string prefix(table->name);
    const double limit = rekindle::runtime::measure_int8(*table, 1, rekindle::SystemClock());
    if (limit > 0) {
        benchmark::AddCustomContext(prefix + "_int8_limit_op/s", std::to_string(limit));
    }
    for (const WeightType type : kWeightTypes) {
        const std::string name = prefix + "/" + std::string(weight_type_traits(type).name);
        for (const bool inputs16 : {false, true}) {
            if (inputs16 && weight_type_traits(type).block_columns == 1) {
                continue;
            }
            const std::string whole_name = name + (inputs16 ? "/inputs16" : "");
            auto* bench = benchmark::RegisterBenchmark(whole_name.c_str(), multiply, table, type,
                                                       limit, inputs16);
            for (const int64_t k : {576, 1536, 2048, 8192}) {
                if (k % weight_type_traits(type).block_columns != 0) {
                    continue;
                }
                for (const int64_t tokens : {1, 2, 4, 8, 12, 64, 512}) {
                    bench->Args({k, tokens});
                }
            }
            bench->ArgNames({"k", "tokens"});
        }
        benchmark::RegisterBenchmark((name + "/stream").c_str(), stream, table, type, memory_limits)
            ->ArgName("tokens")
            ->Arg(1)
            ->Arg(4)
            ->Arg(8)
            ->UseRealTime()
            ->ThreadRange(1, kStreamThreadsMax);
    }
}

}  // namespace

int main(int argc, char** argv) {
    double memory_limits[kStreamThreadsMax];
    for (uint32_t threads = 1; threads <= kStreamThreadsMax; ++threads) {
        memory_limits[threads - 1] =
            rekindle::runtime::measure_memory_read(threads, rekindle::SystemClock());
        benchmark::AddCustomContext("memory_read_limit_B/s/threads:" + std::to_string(threads),
                                    std::to_string(memory_limits[threads - 1]));
    }
    for (const std::string_view name : rekindle::kernels::kKernelTableNames) {
        if (const KernelTable* table = find_kernel_table(name); table != nullptr) {
            register_products(table, memory_limits);
        }
    }
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
        return 1;
    }
    benchmark::RunSpecifiedBenchmarks();
    return 0;
}
