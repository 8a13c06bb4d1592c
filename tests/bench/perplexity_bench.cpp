// Perplexity of a model on a text, as llama.cpp's llama-perplexity computes it: windows of N tokens
// that don't overlap, the second half of each is predicted. Prints one number.
//   perplexity_bench MODEL.gguf TEXT N THREADS
#include "kernels/kernel_table.h"
#include "runtime/aligned_buffer.h"
#include "runtime/engine.h"
#include "runtime/kv_pages.h"
#include "runtime/sampler.h"
#include "runtime/tokenizer/tokenizer.h"
#include "tests/bench/model_file.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace {

using namespace rekindle;  // NOLINT(google-build-using-namespace): one program.
using runtime::TokenId;

// Logits of so many rows are kept at once: 64 rows of 49,152 floats are 12 MiB.
constexpr uint32_t kStepTokens = 64;

std::optional<std::vector<TokenId>> tokens_of(const snapshot::ImageView& view,
                                              const std::string& text, bool& add_bos) {
    const auto& table = view.layout().tokenizer;
    const auto bytes = view.wait(table.offset, table.bytes);
    if (!bytes) {
        return std::nullopt;
    }
    const auto tokenizer = runtime::Tokenizer::open(*bytes);
    if (!tokenizer) {
        return std::nullopt;
    }
    std::vector<TokenId> tokens;
    add_bos = tokenizer->add_bos();
    if (add_bos) {
        tokens.push_back(tokenizer->bos().value());
    }
    auto scratch = tokenizer->new_scratch();
    tokenizer->encode(text, false, scratch, tokens);
    return tokens;
}

// Sum of -log p over the second half of one window.
double window_loss(runtime::Engine& engine, std::span<const TokenId> window) {
    const auto kv = engine.new_sequence();
    const auto reserved = engine.reserve(*kv, static_cast<uint32_t>(window.size()));
    runtime::Sampler sampler;
    std::vector<const float*> logits;
    std::vector<runtime::LogprobEntry> unused;
    double loss = reserved ? 0 : std::nan("");
    for (size_t at = 0; at < window.size(); at += kStepTokens) {
        const auto piece = window.subspan(at, std::min<size_t>(kStepTokens, window.size() - at));
        const runtime::StepEntry entry{.kv = kv.get(), .tokens = piece, .logits_of_all = true};
        if (!engine.step({&entry, 1}, logits)) {
            return std::nan("");
        }
        for (size_t i = 0; i < piece.size(); ++i) {
            const size_t position = at + i;
            if (position >= window.size() / 2 && position + 1 < window.size()) {
                loss -= double{sampler.top_logprobs({logits[i], engine.vocabulary()},
                                                    window[position + 1], 0, unused)};
            }
        }
    }
    return loss;
}

int run(const std::string& model_path, const std::string& text, uint32_t context,
        uint32_t threads) {
    const auto model = tests::ModelFile::import(model_path);
    auto view = model ? model->view() : Error{ErrorCode::kNotFound, "no model"};
    if (!view) {
        return EXIT_FAILURE;
    }
    bool add_bos = false;
    auto tokens = tokens_of(*view, text, add_bos);
    const uint32_t pages = context / kernels::kPageTokens + 1;
    runtime::AlignedBuffer<std::byte> kv(pages *
                                         runtime::kv_page_bytes(view->layout().hyperparameters));
    auto engine = runtime::Engine::create(*view, {.kernels = kernels::select_kernel_table(),
                                                  .threads = threads,
                                                  .kv_pages = pages,
                                                  .kv_memory = {kv.data(), kv.size()},
                                                  .step_tokens_max = kStepTokens});
    if (!tokens || !engine) {
        fmt::print(stderr, "perplexity_bench: {}\n",
                   engine ? "the tokenizer can't be read" : engine.error().message);
        return EXIT_FAILURE;
    }
    double loss = 0;
    size_t predicted = 0;
    for (size_t at = 0; at + context <= tokens->size(); at += context) {
        const std::span<TokenId> window(tokens->data() + at, context);
        const TokenId first = window[0];
        window[0] = add_bos ? tokens->front() : first;
        loss += window_loss(**engine, window);
        window[0] = first;
        predicted += context - context / 2 - 1;
    }
    fmt::print("{:.6f}\n", std::exp(loss / static_cast<double>(predicted)));
    return EXIT_SUCCESS;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 5) {
        fmt::print(stderr, "usage: perplexity_bench MODEL.gguf TEXT WINDOW THREADS\n");
        return 2;
    }
    std::ifstream file(argv[2]);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    const auto number = [](const char* argument) {
        return static_cast<uint32_t>(std::max(1, std::atoi(argument)));
    };
    return run(argv[1], text, number(argv[3]), number(argv[4]));
}
