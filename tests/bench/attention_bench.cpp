// Attention, the writing of keys and values, and the element-wise work of rows, of the sizes of a
// small model. Attention is told as operations per second (a multiply and an add are two) and as
// the share of the fused multiply-add peak that this same run measured on one core.
//   attention_bench [--benchmark_filter=avx2.*prefill]
#include "kernels/kernel_table.h"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace {

using namespace rekindle::kernels;

// The shortest of many calls: what else runs lengthens the mean, never the minimum. Calls shorter
// than a scheduler's time slice reach it on a busy machine too.
class Shortest {
public:
    template <typename Call>
    void time(const Call& call) {
        const auto start = std::chrono::steady_clock::now();
        call();
        const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
        seconds_ = std::min(seconds_, took.count());
    }

    double seconds() const { return seconds_; }

private:
    double seconds_ = 1e9;
};

// Twelve independent chains of 256-bit fused multiply-adds, more than latency times throughput.
__attribute__((target("avx2,fma"))) void run_fma_chains(uint64_t rounds) {
    for (uint64_t round = 0; round < rounds; ++round) {
        __asm__ volatile(
            "vfmadd231ps %%ymm14, %%ymm15, %%ymm0\n\t"
            "vfmadd231ps %%ymm14, %%ymm15, %%ymm1\n\t"
            "vfmadd231ps %%ymm14, %%ymm15, %%ymm2\n\t"
            "vfmadd231ps %%ymm14, %%ymm15, %%ymm3\n\t"
            "vfmadd231ps %%ymm14, %%ymm15, %%ymm4\n\t"
            "vfmadd231ps %%ymm14, %%ymm15, %%ymm5\n\t"
            "vfmadd231ps %%ymm14, %%ymm15, %%ymm6\n\t"
            "vfmadd231ps %%ymm14, %%ymm15, %%ymm7\n\t"
            "vfmadd231ps %%ymm14, %%ymm15, %%ymm8\n\t"
            "vfmadd231ps %%ymm14, %%ymm15, %%ymm9\n\t"
            "vfmadd231ps %%ymm14, %%ymm15, %%ymm10\n\t"
            "vfmadd231ps %%ymm14, %%ymm15, %%ymm11\n\t"
            :
            :
            : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",
              "xmm10", "xmm11");
    }
}

// Operations per second of one core with 256-bit registers; 0 without AVX2.
double fma_peak() {
    static const double peak = [] {
        if (find_kernel_table("avx2") == nullptr) {
            return 0.0;
        }
        constexpr uint64_t kRounds = 50'000;
        constexpr double kOperations = 12.0 * 8 * 2;
        Shortest shortest;
        for (int attempt = 0; attempt < 400; ++attempt) {
            shortest.time([] { run_fma_chains(kRounds); });
        }
        return kRounds * kOperations / shortest.seconds();
    }();
    return peak;
}

std::vector<float> normals(size_t count) {
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    std::vector<float> values(count);
    for (float& value : values) {
        value = normal(random);
    }
    return values;
}

// A sequence's pages for one KV head, filled by store_kv, one behind the other.
class Sequence {
public:
    Sequence(const KernelTable& table, KvType type, uint32_t positions, uint32_t head_dim)
        : head_bytes_(kv_head_bytes(type, head_dim)) {
        const uint32_t pages = (positions + kPageTokens - 1) / kPageTokens;
        memory_.resize(pages * 2 * head_bytes_);
        const std::vector<float> rows = normals(size_t{kPageTokens} * head_dim * 2);
        for (uint32_t page = 0; page < pages; ++page) {
            std::byte* base = memory_.data() + page * 2 * head_bytes_;
            table.store_kv({.type = type,
                            .keys = rows.data(),
                            .values = rows.data() + head_dim,
                            .stride = size_t{head_dim} * 2,
                            .rows = kPageTokens,
                            .slot = 0,
                            .head_dim = head_dim,
                            .page_keys = base,
                            .page_values = base + head_bytes_});
            pages_.push_back(base);
        }
    }

    const std::byte* const* pages() const { return pages_.data(); }

    uint64_t value_offset() const { return head_bytes_; }

private:
    uint64_t head_bytes_;
    std::vector<std::byte> memory_;
    std::vector<const std::byte*> pages_;
};

struct Shape {
    KvType type;
    uint32_t group;
    uint32_t head_dim;
};

// Rows from `position` on, in calls of the rows of one page, as the runtime makes them.
void attend(benchmark::State& state, const KernelTable* table, Shape shape) {
    const auto position = static_cast<uint32_t>(state.range(0));
    const auto rows = static_cast<uint32_t>(state.range(1));
    const Sequence sequence(*table, shape.type, position + rows, shape.head_dim);
    const size_t width = size_t{shape.group} * shape.head_dim;
    const std::vector<float> query = normals(width * rows);
    std::vector<float> out(query.size());
    std::vector<Shortest> calls((rows + kPageTokens - 1) / kPageTokens);
    for (auto _ : state) {
        for (uint32_t call = 0; call < calls.size(); ++call) {
            const uint32_t first = call * kPageTokens;
            const AttentionArgs args{.type = shape.type,
                                     .query = query.data() + first * width,
                                     .query_stride = width,
                                     .pages = sequence.pages(),
                                     .key_offset = 0,
                                     .value_offset = sequence.value_offset(),
                                     .rows = std::min(kPageTokens, rows - first),
                                     .position = position + first,
                                     .group = shape.group,
                                     .head_dim = shape.head_dim,
                                     .scale = 0.1F,
                                     .out = out.data() + first * width,
                                     .out_stride = width};
            calls[call].time([&] { table->attention(args); });
            benchmark::DoNotOptimize(out.data());
        }
    }
    double seconds = 0;
    for (const Shortest& call : calls) {
        seconds += call.seconds();
    }
    const double visible = (position + 1 + (position + rows)) / 2.0 * rows;
    const double operations = 4.0 * static_cast<double>(width) * visible;
    state.counters["best_ns"] = seconds * 1e9;
    state.counters["Gop/s"] = operations / seconds / 1e9;
    if (fma_peak() > 0) {
        state.counters["of_fma_peak_%"] = 100 * operations / seconds / fma_peak();
    }
}

void store(benchmark::State& state, const KernelTable* table, KvType type) {
    constexpr uint32_t kHeadDim = 64;
    const auto rows = static_cast<uint32_t>(state.range(0));
    const std::vector<float> values = normals(size_t{rows} * kHeadDim);
    std::vector<std::byte> keys(kv_head_bytes(type, kHeadDim));
    std::vector<std::byte> page_values(keys.size());
    Shortest shortest;
    for (auto _ : state) {
        shortest.time([&] {
            for (int repeat = 0; repeat < 100; ++repeat) {
                table->store_kv({.type = type,
                                 .keys = values.data(),
                                 .values = values.data(),
                                 .stride = kHeadDim,
                                 .rows = rows,
                                 .slot = 0,
                                 .head_dim = kHeadDim,
                                 .page_keys = keys.data(),
                                 .page_values = page_values.data()});
            }
        });
    }
    state.counters["best_ns_per_row"] = shortest.seconds() * 1e9 / 100 / rows;
}

// What a row of SmolLM2-135M needs: 576 values of the residual stream, 1,536 of the feed-forward
// block, 9 query heads of 64.
class Row {
public:
    explicit Row(const KernelTable& table) : table_(table) {}

    void norm() {
        table_.rms_norm({.x = x_.data(),
                         .delta = y_.data(),
                         .weight = weight_.data(),
                         .n = 576,
                         .epsilon = 1e-5F,
                         .out = out_.data()});
    }

    void quantize() {
        table_.quantize(x_.data(), 576, quants_.data(), scales_.data(), sums_.data());
    }

    void quantize16() {
        table_.quantize16(x_.data(), 576, quants16_.data(), scales_.data(), sums16_.data());
    }

    void rope() {
        table_.rope_pairs({.heads = out_.data(),
                           .count = 9,
                           .head_dim = 64,
                           .rotated = 64,
                           .cos = cos_.data(),
                           .sin = sin_.data()});
    }

    void silu() { table_.silu_mul(x_.data(), weight_.data(), 1536, out_.data()); }

    void add() { table_.add(x_.data(), y_.data(), 576); }

private:
    const KernelTable& table_;
    std::vector<float> x_ = normals(1536);
    std::vector<float> y_ = std::vector<float>(1536, 0);
    std::vector<float> weight_ = normals(1536);
    std::vector<float> out_ = std::vector<float>(1536);
    std::vector<float> cos_ = std::vector<float>(32, 0.6F);
    std::vector<float> sin_ = std::vector<float>(32, 0.8F);
    std::vector<int8_t> quants_ = std::vector<int8_t>(1536);
    std::vector<float> scales_ = std::vector<float>(48);
    std::vector<int16_t> sums_ = std::vector<int16_t>(96);
    std::vector<int16_t> quants16_ = std::vector<int16_t>(1536);
    std::vector<int32_t> sums16_ = std::vector<int32_t>(96);
};

void row_work(benchmark::State& state, const KernelTable* table, void (Row::*work)()) {
    constexpr int kRepeats = 100;
    Row row(*table);
    Shortest shortest;
    for (auto _ : state) {
        shortest.time([&] {
            for (int repeat = 0; repeat < kRepeats; ++repeat) {
                (row.*work)();
                benchmark::ClobberMemory();
            }
        });
    }
    state.counters["best_ns"] = shortest.seconds() * 1e9 / kRepeats;
}

void register_attention(const KernelTable* table, KvType type) {
    for (const Shape shape :
         {Shape{type, 3, 64}, Shape{type, 4, 128}, Shape{type, 8, 128}, Shape{type, 1, 128}}) {
        const std::string name =
            std::string(table->name) + "/attention/" + std::string(kv_type_name(type)) + "/group" +
            std::to_string(shape.group) + "/dim" + std::to_string(shape.head_dim);
        benchmark::RegisterBenchmark((name + "/decode").c_str(), attend, table, shape)
            ->ArgNames({"position", "rows"})
            ->Args({127, 1})
            ->Args({1023, 1})
            ->Args({4095, 1})
            ->Args({8191, 1});
        benchmark::RegisterBenchmark((name + "/prefill").c_str(), attend, table, shape)
            ->ArgNames({"position", "rows"})
            ->Args({0, 512})
            ->Args({1024, 32});
    }
}

void register_rows(const KernelTable* table) {
    const std::string name(table->name);
    for (const KvType type : kKvTypes) {
        const std::string kv_name = name + "/store_kv/" + std::string(kv_type_name(type));
        benchmark::RegisterBenchmark(kv_name.c_str(), store, table, type)->Arg(1)->Arg(32);
    }
    const std::pair<const char*, void (Row::*)()> works[] = {
        {"add_rms_norm_576", &Row::norm},     {"quantize_576", &Row::quantize},
        {"quantize16_576", &Row::quantize16}, {"rope_9x64", &Row::rope},
        {"silu_mul_1536", &Row::silu},        {"add_576", &Row::add},
    };
    for (const auto& [work_name, work] : works) {
        benchmark::RegisterBenchmark((name + "/" + work_name).c_str(), row_work, table, work);
    }
}

}  // namespace

int main(int argc, char** argv) {
    for (const std::string_view name : rekindle::kernels::kKernelTableNames) {
        if (const KernelTable* table = find_kernel_table(name); table != nullptr) {
            for (const KvType type : kKvTypes) {
                register_attention(table, type);
            }
            register_rows(table);
        }
    }
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
        return 1;
    }
    benchmark::AddCustomContext("fma_peak_op/s", std::to_string(fma_peak()));
    benchmark::RunSpecifiedBenchmarks();
    return 0;
}
