// The runtime alone on a model file: tokens per second of prompts and of batches of answers, beside
// the limits that the same run measures, and the milliseconds of each operation in a step (of a
// prompt: in all its steps). One JSON object per case on standard output.
//   engine_bench MODEL.gguf [--threads N] [--prompt 128] [--answer 128] [--batches 1,8,32]
//                [--prefill 512] [--repeat 3]
#include "kernels/kernel_table.h"
#include "runtime/aligned_buffer.h"
#include "runtime/bench.h"
#include "runtime/machine_limits.h"
#include "runtime/op_profile.h"
#include "tests/bench/model_file.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

namespace {

using namespace rekindle;  // NOLINT(google-build-using-namespace): one program.

struct Arguments {
    std::string model;
    uint32_t threads = 2;
    uint32_t prompt = 128;
    uint32_t answer = 128;
    uint32_t prefill = 512;
    uint32_t repeat = 3;
    uint32_t step_tokens = 512;
    std::vector<uint32_t> batches = {1, 8, 32};
    kernels::KvType kv_type = kernels::KvType::kF16;
};

std::vector<uint32_t> to_list(const std::string& text) {
    std::vector<uint32_t> list;
    std::istringstream in(text);
    for (std::string item; std::getline(in, item, ',');) {
        list.push_back(static_cast<uint32_t>(std::stoul(item)));
    }
    return list;
}

std::optional<Arguments> parse(int argc, char** argv) {
    Arguments arguments;
    if (argc < 2 || argc % 2 != 0) {
        return std::nullopt;
    }
    arguments.model = argv[1];
    for (int i = 2; i < argc; i += 2) {
        const std::string name = argv[i];
        const std::string value = argv[i + 1];
        if (name == "--batches") {
            arguments.batches = to_list(value);
            continue;
        }
        if (name == "--kv-type") {
            const kernels::KvType* type = kernels::find_kv_type(value);
            if (type == nullptr) {
                return std::nullopt;
            }
            arguments.kv_type = *type;
            continue;
        }
        uint32_t* const number = name == "--threads"   ? &arguments.threads
                                 : name == "--prompt"  ? &arguments.prompt
                                 : name == "--answer"  ? &arguments.answer
                                 : name == "--prefill" ? &arguments.prefill
                                 : name == "--repeat"  ? &arguments.repeat
                                 : name == "--step"    ? &arguments.step_tokens
                                                       : nullptr;
        if (number == nullptr) {
            return std::nullopt;
        }
        *number = static_cast<uint32_t>(std::stoul(value));
    }
    return arguments;
}

struct Limits {
    double memory_bytes_per_second = 0;
    double int8_per_second = 0;  // 0: the kernels have no such instruction.
};

void report_operations(const runtime::OpTimes& times, uint32_t steps) {
    const char* comma = "";
    fmt::print(R"(,"ops_ms":{{)");
    for (size_t i = 0; i < times.size(); ++i) {
        fmt::print(R"({}"{}":{:.2f})", comma, runtime::kOpNames[i],
                   static_cast<double>(times[i].nanoseconds) / 1e6 / steps);
        comma = ",";
    }
    fmt::print("}}");
}

void report(const runtime::BenchTimes& times, const runtime::OpTimes& operations,
            const Limits& limits) {
    const auto& what = times.what;
    const auto& measured = what.answer_tokens > 0 ? times.decode : times.prefill;
    fmt::print(R"({{"batch":{},"prompt":{},"answer":{},"prefill_tok_s":{:.1f})", what.batch,
               what.prompt_tokens, what.answer_tokens, times.prefill.tokens_per_second());
    if (what.answer_tokens > 0) {
        fmt::print(R"(,"decode_tok_s":{:.1f})", times.decode.tokens_per_second());
    }
    fmt::print(R"(,"memory_share":{:.3f})",
               measured.bytes_per_second() / limits.memory_bytes_per_second);
    if (limits.int8_per_second > 0) {
        fmt::print(R"(,"int8_share":{:.3f})",
                   measured.operations_per_second() / limits.int8_per_second);
    }
    report_operations(operations, std::max(what.answer_tokens, 1U));
    fmt::print("}}\n");
    std::fflush(stdout);
}

int run(const Arguments& arguments) {
    const auto model = tests::ModelFile::import(arguments.model);
    if (!model) {
        return EXIT_FAILURE;
    }
    auto view = model->view();
    if (!view) {
        fmt::print(stderr, "{}\n", view.error().message);
        return EXIT_FAILURE;
    }
    const auto& hyperparameters = view->layout().hyperparameters;
    const uint64_t page_bytes = runtime::kv_page_bytes(hyperparameters, arguments.kv_type);
    const uint32_t batch_max = *std::ranges::max_element(arguments.batches);
    const uint32_t longest = std::max(arguments.prompt + arguments.answer, arguments.prefill);
    const uint32_t pages = batch_max * (longest / kernels::kPageTokens + 1);
    runtime::AlignedBuffer<std::byte> kv(pages * page_bytes);
    const SystemClock clock;
    auto engine = runtime::Engine::create(*view, {.kernels = kernels::select_kernel_table(),
                                                  .threads = arguments.threads,
                                                  .kv_type = arguments.kv_type,
                                                  .kv_pages = pages,
                                                  .kv_memory = {kv.data(), kv.size()},
                                                  .step_tokens_max = arguments.step_tokens});
    if (!engine) {
        fmt::print(stderr, "{}\n", engine.error().message);
        return EXIT_FAILURE;
    }
    const kernels::KernelTable& table = *kernels::select_kernel_table();
    const Limits limits{runtime::measure_memory_read(arguments.threads, clock),
                        runtime::measure_int8(table, arguments.threads, clock)};
    const runtime::StepCost cost = runtime::step_cost(view->layout(), arguments.kv_type);
    fmt::print(R"({{"memory_read_gb_s":{:.2f},"int8_gop_s":{:.1f},"weight_bytes":{}}})"
               "\n",
               limits.memory_bytes_per_second / 1e9, limits.int8_per_second / 1e9,
               cost.layer_bytes + cost.head_bytes);
    std::vector<runtime::BenchCase> cases{{.prompt_tokens = arguments.prefill}};
    for (const uint32_t batch : arguments.batches) {
        cases.push_back({batch, arguments.prompt, arguments.answer});
    }
    for (uint32_t round = 0; round < arguments.repeat; ++round) {
        for (const auto& what : cases) {
            runtime::OpProfile profile(clock);
            const auto times = runtime::run_bench(
                **engine, what, {.cost = cost, .seed = round, .profile = &profile}, clock);
            if (!times) {
                fmt::print(stderr, "{}\n", times.error().message);
                return EXIT_FAILURE;
            }
            report(*times, profile.times(), limits);
        }
    }
    return EXIT_SUCCESS;
}

}  // namespace

int main(int argc, char** argv) {
    const auto arguments = parse(argc, argv);
    if (!arguments) {
        fmt::print(stderr,
                   "usage: engine_bench MODEL.gguf [--threads N] [--prompt N] [--answer N] "
                   "[--batches 1,8,32] [--prefill N] [--step N] [--repeat N] "
                   "[--kv-type f16|bf16|q8_0]\n");
        return 2;
    }
    return run(*arguments);
}
