// The runtime alone on a model file: tokens per second of prompts and of batches of answers, beside
// the memory limit that the same run measures. One JSON object per case on standard output.
//   engine_bench MODEL.gguf [--threads N] [--prompt 128] [--answer 128] [--batches 1,8,32]
//                [--prefill 512] [--repeat 3]
#include "kernels/kernel_table.h"
#include "runtime/aligned_buffer.h"
#include "runtime/bench.h"
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

// Bytes of weights that a step reads: all but an embedding table that is not the head too.
uint64_t weight_bytes(const snapshot::ImageLayout& layout) {
    uint64_t sum = 0;
    for (const auto& tensor : layout.tensors) {
        const bool looked_up =
            tensor.name == "token_embd.weight" && !layout.hyperparameters.tied_output;
        sum += looked_up ? 0 : tensor.bytes;
    }
    return sum;
}

void report(const runtime::BenchTimes& times, uint64_t step_bytes, double memory_limit) {
    const auto& what = times.what;
    fmt::print(R"({{"batch":{},"prompt":{},"answer":{},"prefill_tok_s":{:.1f})", what.batch,
               what.prompt_tokens, what.answer_tokens, times.prefill_tokens_per_second());
    if (what.answer_tokens > 0) {
        const double read =
            static_cast<double>(step_bytes * what.answer_tokens + times.kv_bytes_read);
        fmt::print(R"(,"decode_tok_s":{:.1f},"memory_share":{:.3f})",
                   times.decode_tokens_per_second(), read / times.decode_seconds / memory_limit);
    }
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
    const uint64_t page_bytes = runtime::kv_page_bytes(hyperparameters);
    const uint32_t batch_max = *std::ranges::max_element(arguments.batches);
    const uint32_t longest = std::max(arguments.prompt + arguments.answer, arguments.prefill);
    const uint32_t pages = batch_max * (longest / kernels::kPageTokens + 1);
    runtime::AlignedBuffer<std::byte> kv(pages * page_bytes);
    const SystemClock clock;
    auto engine = runtime::Engine::create(*view, {.kernels = kernels::select_kernel_table(),
                                                  .threads = arguments.threads,
                                                  .kv_pages = pages,
                                                  .kv_memory = {kv.data(), kv.size()},
                                                  .step_tokens_max = arguments.step_tokens});
    if (!engine) {
        fmt::print(stderr, "{}\n", engine.error().message);
        return EXIT_FAILURE;
    }
    const double limit = runtime::measure_memory_read(arguments.threads, clock);
    fmt::print(R"({{"memory_read_gb_s":{:.2f},"weight_bytes":{}}})"
               "\n",
               limit / 1e9, weight_bytes(view->layout()));
    std::vector<runtime::BenchCase> cases{{.prompt_tokens = arguments.prefill}};
    for (const uint32_t batch : arguments.batches) {
        cases.push_back({batch, arguments.prompt, arguments.answer});
    }
    for (uint32_t round = 0; round < arguments.repeat; ++round) {
        for (const auto& what : cases) {
            const auto times =
                runtime::run_bench(**engine, what, page_bytes / kernels::kPageTokens, round, clock);
            if (!times) {
                fmt::print(stderr, "{}\n", times.error().message);
                return EXIT_FAILURE;
            }
            report(*times, weight_bytes(view->layout()), limit);
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
                   "[--batches 1,8,32] [--prefill N] [--step N] [--repeat N]\n");
        return 2;
    }
    return run(*arguments);
}
