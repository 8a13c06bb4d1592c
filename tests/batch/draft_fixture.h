// A model and a draft model beside it, on simulated time: each step of either takes as long as the
// test says, so that what pays is exactly known.
#pragma once
#include "base/clock.h"
#include "runtime/engine.h"
#include "runtime/kv_pages.h"
#include "scheduler/batch/batcher.h"
#include "tests/batch/batch_fixture.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace rekindle::tests {

// An engine whose steps take `time(rows)` of `clock`, and which can be made to think the contrary:
// the most likely token becomes the least likely one.
class TimedEngine final : public runtime::Engine {
public:
    using Time = std::function<Nanoseconds(uint32_t rows)>;

    TimedEngine(runtime::Engine& inner, ManualClock& clock, Time time)
        : inner_(inner), clock_(clock), time_(std::move(time)) {}

    std::unique_ptr<runtime::KvSequence> new_sequence() override { return inner_.new_sequence(); }
    Result<void> reserve(runtime::KvSequence& sequence, uint32_t positions) override {
        return inner_.reserve(sequence, positions);
    }
    uint32_t free_pages() const noexcept override { return inner_.free_pages(); }
    runtime::KvPool& kv_pool() noexcept override { return inner_.kv_pool(); }
    uint32_t context_max() const noexcept override { return inner_.context_max(); }
    uint32_t vocabulary() const noexcept override { return inner_.vocabulary(); }
    uint32_t step_tokens_max() const noexcept override { return inner_.step_tokens_max(); }
    void set_threads(uint32_t threads) override { inner_.set_threads(threads); }
    runtime::ThreadPool* threads() noexcept override { return inner_.threads(); }
    void set_profile(runtime::OpProfile* profile) override { inner_.set_profile(profile); }
    Nanoseconds waited() const noexcept override { return {}; }

    Result<void> step(std::span<const runtime::StepEntry> entries,
                      std::vector<const float*>& logits) override;

    bool contrary = false;
    Nanoseconds spent{};  // In steps, so far.

private:
    runtime::Engine& inner_;
    ManualClock& clock_;
    const Time time_;
    std::vector<std::vector<float>> rows_;  // Contrary ones.
};

// How much the draft model knows of the model.
enum class Likeness : uint8_t {
    kSame,   // The same weights.
    kClose,  // Those of the last layer are others.
    kNone,   // Other weights.
};

struct DraftFixtureOptions {
    Likeness likeness = Likeness::kSame;
    uint32_t kv_pages = 64;
    uint32_t draft_pages = 64;
    // A row is much cheaper than a step; a step of the draft model is a tenth of one.
    TimedEngine::Time time = [](uint32_t rows) {
        return std::chrono::microseconds(5000 + 200 * rows);
    };
    TimedEngine::Time draft_time = [](uint32_t rows) {
        return std::chrono::microseconds(500 + 20 * rows);
    };
};

struct DraftFixture {
    explicit DraftFixture(DraftFixtureOptions options = {});

    // With the draft model attached.
    std::unique_ptr<scheduler::Batcher> batcher(scheduler::SpeculationMode mode);

    BatchFixture model;
    MemoryImage draft_image;
    EngineFixture draft_engine;
    ManualClock clock;
    TimedEngine engine;
    TimedEngine draft;
    uint32_t draft_pages;
};

}  // namespace rekindle::tests
