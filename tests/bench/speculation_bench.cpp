// What speculative decoding brings and costs: the same answers with and without it, in turns, by
// the batch of a worker. Answers that copy, that edit, and open-ended prose, for 1 and 8 streams;
// time is counted from when all prompts are computed. One JSON object per case on standard output;
// the best of the rounds, as other programs of the machine only ever take away. With a draft model
// (draft_pair.py makes one) "on" has its guesses too, and is compared with "text", which has not.
//   speculation_bench MODEL.gguf [--draft DRAFT.gguf] [--threads N] [--rounds 5] [--answer 160]
//                    [--streams 1 or 8] [--task copy] [--always 1]
#include "base/clock.h"
#include "kernels/kernel_table.h"
#include "runtime/aligned_buffer.h"
#include "runtime/engine.h"
#include "runtime/tokenizer/tokenizer.h"
#include "scheduler/batch/batcher.h"
#include "tests/bench/model_file.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

using namespace rekindle;  // NOLINT(google-build-using-namespace): one program.
using runtime::TokenId;
using scheduler::SpeculationMode;

constexpr uint32_t kStreamsMax = 8;
constexpr uint32_t kPages = 256;

constexpr std::string_view kText =
    "The harbour master writes every arrival into a ledger: the name of the ship, the hour, the "
    "cargo and the number of her crew. On the third of March the brig Amelia came in with timber "
    "from Riga and eleven men. On the fourth the schooner Two Brothers came in with salt from "
    "Setubal and seven men. Nothing else came in that week, for the wind stood in the east.";

struct Task {
    const char* name;
    const char* question;
    bool with_text;
    float temperature;
};

constexpr std::array<Task, 4> kTasks{{
    {"copy", "Repeat the following text word for word.\n\n", true, 0.0F},
    {"edit", "Repeat the following text, but write Rosalind in place of Amelia.\n\n", true, 0.0F},
    {"prose", "Write a long story about a lighthouse keeper who finds a letter.", false, 0.8F},
    {"prose_greedy", "Explain how bread is made, and why it rises.", false, 0.0F},
}};

struct Arguments {
    std::string model;
    uint32_t threads = 2;
    uint32_t rounds = 5;
    uint32_t answer = 160;
    uint32_t streams = 0;  // 0: 1, then 8.
    std::string task;      // Empty: all.
    std::string draft;     // Empty: none.
    uint32_t always = 0;   // 1: "on" computes all guesses, whatever they cost.
};

std::optional<Arguments> parse(int argc, char** argv) {
    Arguments arguments;
    if (argc < 2 || argc % 2 != 0) {
        return std::nullopt;
    }
    arguments.model = argv[1];
    for (int i = 2; i < argc; i += 2) {
        const std::string_view name = argv[i];
        if (name == "--task" || name == "--draft") {
            (name == "--task" ? arguments.task : arguments.draft) = argv[i + 1];
            continue;
        }
        uint32_t* const number = name == "--threads"   ? &arguments.threads
                                 : name == "--rounds"  ? &arguments.rounds
                                 : name == "--answer"  ? &arguments.answer
                                 : name == "--streams" ? &arguments.streams
                                 : name == "--always"  ? &arguments.always
                                                       : nullptr;
        if (number == nullptr) {
            return std::nullopt;
        }
        *number = static_cast<uint32_t>(std::stoul(argv[i + 1]));
    }
    return arguments;
}

struct Measured {
    double seconds = 0;
    uint32_t tokens = 0;
    uint32_t steps = 0;
    uint32_t guesses = 0;
    uint32_t right = 0;
    uint32_t of_draft = 0;  // Guesses.
    uint32_t of_draft_right = 0;
    double draft_seconds = 0;
    std::vector<scheduler::TokenEvent> events;

    double pace() const { return seconds > 0 ? tokens / seconds : 0; }
};

class Bench {
public:
    Bench(runtime::Engine& engine, const runtime::Tokenizer& tokenizer, uint32_t answer)
        : engine_(engine), tokenizer_(tokenizer), answer_(answer) {}

    // One batcher for a mode's rounds, as a worker has one: it knows what rows cost.
    std::unique_ptr<scheduler::Batcher> batcher(SpeculationMode mode,
                                                runtime::Engine* draft) const {
        auto batcher = std::make_unique<scheduler::Batcher>(
            engine_, scheduler::BatcherLimits{
                         .prefix_cache = false,
                         .speculation = mode,
                         .clock = &clock_,
                         .is_end = [this](TokenId token) { return tokenizer_.is_end(token); }});
        if (draft != nullptr && !batcher->attach_draft(*draft)) {
            fmt::print(stderr, "the draft has another vocabulary than the model\n");
            std::exit(EXIT_FAILURE);
        }
        return batcher;
    }

    Measured run(scheduler::Batcher& batcher, const Task& task, uint32_t streams,
                 uint64_t round) const {
        for (uint32_t i = 0; i < streams; ++i) {
            const auto submitted =
                batcher.submit({.id = i,
                                .prompt = prompt(task, i),
                                .tokens_max = answer_,
                                .lease = answer_,
                                .sampling = {.temperature = task.temperature, .seed = round + i}});
            if (!submitted) {
                fmt::print(stderr, "{}\n", submitted.error().message);
                std::exit(EXIT_FAILURE);
            }
        }
        Measured out;
        while (out.events.size() < streams && batcher.runnable()) {
            static_cast<void>(batcher.step(out.events));
        }
        const auto before = static_cast<uint32_t>(out.events.size());
        const Nanoseconds begun = clock_.monotonic();
        for (; batcher.runnable(); ++out.steps) {
            static_cast<void>(batcher.step(out.events));
            out.guesses += batcher.last_step().draft_tokens;
            out.right += batcher.last_step().draft_accepted;
            out.of_draft += batcher.last_step().model_tokens;
            out.of_draft_right += batcher.last_step().model_accepted;
            out.draft_seconds +=
                std::chrono::duration<double>(batcher.last_step().model_time).count();
        }
        out.seconds = std::chrono::duration<double>(clock_.monotonic() - begun).count();
        out.tokens = static_cast<uint32_t>(out.events.size()) - before;
        return out;
    }

private:
    std::vector<TokenId> prompt(const Task& task, uint32_t stream) const {
        const std::string text = fmt::format(
            "<|im_start|>system\nYou are assistant number {}.<|im_end|>\n<|im_start|>user\n{}{}"
            "<|im_end|>\n<|im_start|>assistant\n",
            stream + 1, task.question, task.with_text ? kText : "");
        std::vector<TokenId> tokens;
        auto scratch = tokenizer_.new_scratch();
        tokenizer_.encode(text, true, scratch, tokens);
        return tokens;
    }

    runtime::Engine& engine_;
    const runtime::Tokenizer& tokenizer_;
    const uint32_t answer_;
    SystemClock clock_;
};

bool same_tokens(const Measured& a, const Measured& b) {
    for (uint64_t id = 0; id < kStreamsMax; ++id) {
        std::vector<TokenId> of_a;
        std::vector<TokenId> of_b;
        for (const auto& event : a.events) {
            event.id == id ? of_a.push_back(event.token) : void();
        }
        for (const auto& event : b.events) {
            event.id == id ? of_b.push_back(event.token) : void();
        }
        if (of_a != of_b) {
            return false;
        }
    }
    return true;
}

// The ways to answer that are compared.
struct Way {
    const char* name;
    std::unique_ptr<scheduler::Batcher> batcher;
    double best = 0;               // Tokens a second.
    std::vector<double> ratios{};  // Of each round to the first way's.
    Measured last{};
};

std::vector<Way> ways_of(const Bench& bench, runtime::Engine* draft, bool always) {
    std::vector<Way> ways;
    ways.push_back({.name = "off", .batcher = bench.batcher(SpeculationMode::kOff, nullptr)});
    if (draft != nullptr) {
        ways.push_back({.name = "text", .batcher = bench.batcher(SpeculationMode::kAuto, nullptr)});
    }
    const auto mode = always ? SpeculationMode::kAlways : SpeculationMode::kAuto;
    ways.push_back({.name = "on", .batcher = bench.batcher(mode, draft)});
    return ways;
}

void print(const Task& task, uint32_t streams, std::vector<Way>& ways) {
    fmt::print(R"({{"task":"{}","streams":{})", task.name, streams);
    for (Way& way : ways) {
        std::ranges::sort(way.ratios);
        fmt::print(R"(,"{}_tok_s":{:.1f},"{}_ratio_median":{:.3f})", way.name, way.best, way.name,
                   way.ratios[way.ratios.size() / 2]);
    }
    const Measured& last = ways.back().last;
    fmt::print(R"(,"tokens":{},"steps":{},"guesses":{},"right":{},"of_draft":{},)"
               R"("of_draft_right":{},"draft_share":{:.4f}}})"
               "\n",
               last.tokens, last.steps, last.guesses, last.right, last.of_draft,
               last.of_draft_right, last.draft_seconds / last.seconds);
    std::fflush(stdout);
}

bool measure(const Bench& bench, const Task& task, const Arguments& arguments, uint32_t streams,
             runtime::Engine* draft) {
    std::vector<Way> ways = ways_of(bench, draft, arguments.always == 1);
    for (uint64_t round = 0; round < arguments.rounds; ++round) {
        // Both orders in turns: whoever comes later finds a warmer machine.
        for (size_t i = 0; i < ways.size(); ++i) {
            Way& way = ways[round % 2 == 0 ? i : ways.size() - 1 - i];
            way.last = bench.run(*way.batcher, task, streams, round);
            way.best = std::max(way.best, way.last.pace());
        }
        for (Way& way : ways) {
            if (!same_tokens(ways[0].last, way.last)) {
                fmt::print(stderr, "{}: the answers differ\n", task.name);
                return false;
            }
            way.ratios.push_back(way.last.pace() / ways[0].last.pace());
        }
    }
    print(task, streams, ways);
    return true;
}

// A model file, opened.
struct Opened {
    std::optional<tests::ModelFile> file;
    std::optional<snapshot::ImageView> view;
    runtime::AlignedBuffer<std::byte> kv;
    std::unique_ptr<runtime::Engine> engine;
};

// Its threads are those of `beside`, if there is one.
bool open(Opened& opened, const std::string& path, uint32_t threads, runtime::Engine* beside) {
    opened.file = tests::ModelFile::import(path);
    if (!opened.file) {
        return false;
    }
    auto view = opened.file->view();
    if (!view) {
        return false;
    }
    opened.view.emplace(std::move(view).value());
    const auto& facts = opened.view->layout().hyperparameters;
    opened.kv = runtime::AlignedBuffer<std::byte>(
        kPages * runtime::kv_page_bytes(facts, kernels::KvType::kF16));
    auto engine = runtime::Engine::create(*opened.view,
                                          {.kernels = kernels::select_kernel_table(),
                                           .threads = threads,
                                           .pool = beside == nullptr ? nullptr : beside->threads(),
                                           .kv_pages = kPages,
                                           .kv_memory = {opened.kv.data(), opened.kv.size()}});
    if (!engine) {
        fmt::print(stderr, "{}: {}\n", path, engine.error().message);
        return false;
    }
    opened.engine = std::move(engine).value();
    return true;
}

int run(const Arguments& arguments) {
    Opened model;
    Opened draft;
    if (!open(model, arguments.model, arguments.threads, nullptr) ||
        (!arguments.draft.empty() &&
         !open(draft, arguments.draft, arguments.threads, model.engine.get()))) {
        return EXIT_FAILURE;
    }
    const auto& table = model.view->layout().tokenizer;
    const auto bytes = model.view->wait(table.offset, table.bytes);
    const auto tokenizer = runtime::Tokenizer::open(*bytes);
    if (!tokenizer) {
        return EXIT_FAILURE;
    }
    const Bench bench(*model.engine, *tokenizer, arguments.answer);
    for (const uint32_t streams : {1U, kStreamsMax}) {
        if (arguments.streams != 0 && arguments.streams != streams) {
            continue;
        }
        for (const Task& task : kTasks) {
            const bool wanted = arguments.task.empty() || arguments.task == task.name;
            if (wanted && !measure(bench, task, arguments, streams, draft.engine.get())) {
                return EXIT_FAILURE;
            }
        }
    }
    return EXIT_SUCCESS;
}

}  // namespace

int main(int argc, char** argv) {
    const auto arguments = parse(argc, argv);
    if (!arguments) {
        fmt::print(stderr,
                   "usage: speculation_bench MODEL.gguf [--draft DRAFT.gguf] [--threads N] "
                   "[--rounds 5] [--answer 160] [--streams 1 or 8] [--task NAME] [--always 1]\n");
        return 2;
    }
    return run(*arguments);
}
