#include "runtime/bench.h"

#include "base/random.h"
#include "runtime/aligned_buffer.h"
#include "runtime/kv_pages.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <thread>
#include <utility>

namespace rekindle::runtime {
namespace {

double seconds(Nanoseconds time) noexcept {
    return std::chrono::duration<double>(time).count();
}

TokenId most_likely(const float* logits, uint32_t vocabulary) noexcept {
    return static_cast<TokenId>(std::max_element(logits, logits + vocabulary) - logits);
}

// The sequences of one case. Each has the tokens that its next step appends.
class Batch {
public:
    Batch(Engine& engine, const BenchCase& what, uint64_t seed) : engine_(engine), what_(what) {
        for (uint32_t i = 0; i < what.batch; ++i) {
            sequences_.push_back(engine.new_sequence());
            std::vector<TokenId> prompt;
            for (uint32_t at = 0; at < what.prompt_tokens; ++at) {
                const uint64_t random = counter_random(seed, i, at);
                prompt.push_back(static_cast<TokenId>(random % engine.vocabulary()));
            }
            prompts_.push_back(std::move(prompt));
        }
    }

    Result<void> reserve() {
        for (const auto& sequence : sequences_) {
            auto reserved = engine_.reserve(*sequence, what_.prompt_tokens + what_.answer_tokens);
            if (!reserved) {
                return reserved;
            }
        }
        return {};
    }

    // All prompts, in steps as full as they may be.
    Result<void> prefill() {
        std::vector<StepEntry> entries;
        uint32_t room = engine_.step_tokens_max();
        for (uint32_t i = 0; i < what_.batch; ++i) {
            std::span<const TokenId> rest(prompts_[i]);
            while (!rest.empty()) {
                const auto piece = rest.first(std::min<size_t>(room, rest.size()));
                rest = rest.subspan(piece.size());
                entries.push_back(
                    {.kv = sequences_[i].get(), .tokens = piece, .logits_of_last = rest.empty()});
                room -= static_cast<uint32_t>(piece.size());
                if (room > 0 && (i + 1 < what_.batch || !rest.empty())) {
                    continue;
                }
                auto stepped = step(entries);
                if (!stepped) {
                    return stepped;
                }
                entries.clear();
                room = engine_.step_tokens_max();
            }
        }
        return {};
    }

    Result<void> decode_step() {
        const std::vector<TokenId> appended = std::exchange(next_, {});
        std::vector<StepEntry> entries;
        for (uint32_t i = 0; i < what_.batch; ++i) {
            entries.push_back(
                {.kv = sequences_[i].get(), .tokens = {&appended[i], 1}, .logits_of_last = true});
        }
        return step(entries);
    }

    uint64_t positions() const {
        uint64_t sum = 0;
        for (const auto& sequence : sequences_) {
            sum += sequence->length();
        }
        return sum;
    }

private:
    // Appends the sampled tokens to next_, in entry order.
    Result<void> step(std::span<const StepEntry> entries) {
        auto computed = engine_.step(entries, logits_);
        for (const float* row : logits_) {
            next_.push_back(most_likely(row, engine_.vocabulary()));
        }
        return computed;
    }

    Engine& engine_;
    BenchCase what_;
    std::vector<std::unique_ptr<KvSequence>> sequences_;
    std::vector<std::vector<TokenId>> prompts_;
    std::vector<TokenId> next_;
    std::vector<const float*> logits_;
};

constexpr uint64_t kReadBytes = 64 * kMiB;  // Of each thread: beyond any second-level cache share.
constexpr uint32_t kReadPasses = 8;

uint64_t read_all(const uint64_t* words, size_t count) noexcept {
    constexpr size_t kLanes = 16;  // Two cache lines: as much as is in flight per iteration.
    uint64_t lanes[kLanes] = {};
    for (size_t i = 0; i < count; i += kLanes) {
        for (size_t lane = 0; lane < kLanes; ++lane) {
            lanes[lane] |= words[i + lane];
        }
    }
    uint64_t sum = 0;
    for (const uint64_t lane : lanes) {
        sum |= lane;
    }
    return sum;
}

}  // namespace

Result<BenchTimes> run_bench(Engine& engine, const BenchCase& what, uint64_t kv_token_bytes,
                             uint64_t seed, const Clock& clock) {
    Batch batch(engine, what, seed);
    auto reserved = batch.reserve();
    if (!reserved) {
        return reserved.error();
    }
    BenchTimes times{.what = what};
    const Nanoseconds start = clock.monotonic();
    auto computed = batch.prefill();
    const Nanoseconds prefilled = clock.monotonic();
    for (uint32_t i = 0; i < what.answer_tokens && computed; ++i) {
        computed = batch.decode_step();
        times.kv_bytes_read += batch.positions() * kv_token_bytes;
    }
    if (!computed) {
        return computed.error();
    }
    times.prefill_seconds = seconds(prefilled - start);
    times.decode_seconds = seconds(clock.monotonic() - prefilled);
    return times;
}

double measure_memory_read(uint32_t threads, const Clock& clock) {
    constexpr size_t kWords = kReadBytes / sizeof(uint64_t);
    AlignedBuffer<uint64_t> memory(kWords * threads);
    std::fill_n(memory.data(), memory.size(), 1);  // Untouched pages would all be one.
    double best = 0;
    std::atomic<uint64_t> sink{0};
    for (uint32_t pass = 0; pass < kReadPasses; ++pass) {
        const Nanoseconds start = clock.monotonic();
        std::vector<std::thread> helpers;
        for (uint32_t i = 0; i < threads; ++i) {
            helpers.emplace_back([&, i] { sink |= read_all(memory.data() + i * kWords, kWords); });
        }
        for (std::thread& helper : helpers) {
            helper.join();
        }
        const double took = seconds(clock.monotonic() - start);
        best = std::max(best, static_cast<double>(kReadBytes * threads) / took);
    }
    return best;
}

}  // namespace rekindle::runtime
