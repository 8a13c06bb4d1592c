// Perplexity of a model on a text, as llama.cpp's llama-perplexity computes it: windows of N tokens
// that don't overlap, the second half of each is predicted. Prints one number.
// With another type of KV pages than F16 also how far its predictions are from those with F16.
//   perplexity_bench MODEL.gguf TEXT N THREADS [f16|bf16|q8_0]
#include "kernels/kernel_table.h"
#include "runtime/aligned_buffer.h"
#include "runtime/engine.h"
#include "runtime/kv_pages.h"
#include "runtime/tokenizer/tokenizer.h"
#include "tests/bench/model_file.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
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

using Row = std::span<const float>;

// log of the sum of exp of the logits.
double log_sum(Row logits) {
    const float best = *std::ranges::max_element(logits);
    double sum = 0;
    for (const float logit : logits) {
        sum += std::exp(double{logit} - best);
    }
    return best + std::log(sum);
}

// How far predictions are from those with F16 pages.
struct Distance {
    double divergence = 0;  // Kullback-Leibler, from F16, in nats; sum.
    double changed = 0;     // |change of log p of the text's token|; sum.
    size_t same_best = 0;

    void add(Row base, Row other, TokenId token) {
        const double base_log = log_sum(base);
        const double other_log = log_sum(other);
        for (size_t i = 0; i < base.size(); ++i) {
            const double log_p = base[i] - base_log;
            divergence += std::exp(log_p) * (log_p - (other[i] - other_log));
        }
        const auto at = static_cast<size_t>(token);
        changed += std::abs((base[at] - base_log) - (other[at] - other_log));
        same_best += std::ranges::max_element(base) - base.begin() ==
                     std::ranges::max_element(other) - other.begin();
    }
};

struct Totals {
    double loss = 0;  // -log p of the predicted tokens; sum.
    size_t predicted = 0;
    Distance distance;
};

// An engine and the memory of its pages.
class Model {
public:
    Model(const snapshot::ImageView& view, uint32_t positions, uint32_t threads,
          kernels::KvType type)
        : pages_(positions / kernels::kPageTokens + 1),
          memory_(pages_ * runtime::kv_page_bytes(view.layout().hyperparameters, type)) {
        auto engine = runtime::Engine::create(view, {.kernels = kernels::select_kernel_table(),
                                                     .threads = threads,
                                                     .kv_type = type,
                                                     .kv_pages = pages_,
                                                     .kv_memory = {memory_.data(), memory_.size()},
                                                     .step_tokens_max = kStepTokens});
        if (!engine) {
            fmt::print(stderr, "perplexity_bench: {}\n", engine.error().message);
            std::exit(EXIT_FAILURE);
        }
        engine_ = std::move(engine).value();
    }

    void begin() {
        kv_ = engine_->new_sequence();
        static_cast<void>(engine_->reserve(*kv_, pages_ * kernels::kPageTokens));
    }

    // The logits of each of `piece`.
    std::vector<Row> step(std::span<const TokenId> piece) {
        const runtime::StepEntry entry{.kv = kv_.get(), .tokens = piece, .logits_of_all = true};
        if (!engine_->step({&entry, 1}, logits_)) {
            std::exit(EXIT_FAILURE);
        }
        std::vector<Row> rows;
        for (const float* logits : logits_) {
            rows.emplace_back(logits, engine_->vocabulary());
        }
        return rows;
    }

private:
    uint32_t pages_;
    runtime::AlignedBuffer<std::byte> memory_;
    std::unique_ptr<runtime::Engine> engine_;
    std::unique_ptr<runtime::KvSequence> kv_;
    std::vector<const float*> logits_;
};

// The second half of one window is predicted. `base`: with F16 pages, or null.
void add_window(Model& model, Model* base, std::span<const TokenId> window, Totals& totals) {
    model.begin();
    if (base != nullptr) {
        base->begin();
    }
    for (size_t at = 0; at < window.size(); at += kStepTokens) {
        const auto piece = window.subspan(at, std::min<size_t>(kStepTokens, window.size() - at));
        const auto rows = model.step(piece);
        const auto base_rows = base == nullptr ? std::vector<Row>() : base->step(piece);
        for (size_t i = 0; i < piece.size(); ++i) {
            const size_t next = at + i + 1;
            if (next <= window.size() / 2 || next >= window.size()) {
                continue;
            }
            totals.loss += log_sum(rows[i]) - rows[i][static_cast<size_t>(window[next])];
            ++totals.predicted;
            if (base != nullptr) {
                totals.distance.add(base_rows[i], rows[i], window[next]);
            }
        }
    }
}

struct Arguments {
    std::string model;
    std::string text;
    uint32_t context = 0;
    uint32_t threads = 0;
    kernels::KvType kv_type = kernels::KvType::kF16;
};

int run(const Arguments& arguments) {
    const auto file = tests::ModelFile::import(arguments.model);
    auto view = file ? file->view() : Error{ErrorCode::kNotFound, "no model"};
    if (!view) {
        return EXIT_FAILURE;
    }
    bool add_bos = false;
    auto tokens = tokens_of(*view, arguments.text, add_bos);
    if (!tokens) {
        fmt::print(stderr, "perplexity_bench: the tokenizer can't be read\n");
        return EXIT_FAILURE;
    }
    const uint32_t context = arguments.context;
    Model model(*view, context, arguments.threads, arguments.kv_type);
    std::optional<Model> base;
    if (arguments.kv_type != kernels::KvType::kF16) {
        base.emplace(*view, context, arguments.threads, kernels::KvType::kF16);
    }
    Totals totals;
    for (size_t at = 0; at + context <= tokens->size(); at += context) {
        const std::span<TokenId> window(tokens->data() + at, context);
        const TokenId first = window[0];
        window[0] = add_bos ? tokens->front() : first;
        add_window(model, base ? &*base : nullptr, window, totals);
        window[0] = first;
    }
    const auto predicted = static_cast<double>(totals.predicted);
    fmt::print("{:.6f}\n", std::exp(totals.loss / predicted));
    if (base) {
        fmt::print(
            "from f16: divergence {:.3e} nats, log p changed by {:.3e}, same best token {:.2f} %\n",
            totals.distance.divergence / predicted, totals.distance.changed / predicted,
            100 * static_cast<double>(totals.distance.same_best) / predicted);
    }
    return EXIT_SUCCESS;
}

}  // namespace

int main(int argc, char** argv) {
    const kernels::KvType* type =
        argc == 6 ? kernels::find_kv_type(argv[5]) : &kernels::kKvTypes[0];
    if (argc < 5 || argc > 6 || type == nullptr) {
        fmt::print(stderr,
                   "usage: perplexity_bench MODEL.gguf TEXT WINDOW THREADS [f16|bf16|q8_0]\n");
        return 2;
    }
    std::ifstream file(argv[2]);
    const auto number = [](const char* argument) {
        return static_cast<uint32_t>(std::max(1, std::atoi(argument)));
    };
    return run({.model = argv[1],
                .text = {std::istreambuf_iterator<char>(file), {}},
                .context = number(argv[3]),
                .threads = number(argv[4]),
                .kv_type = *type});
}
