// How many requests a second the ledger takes, each with its begin, marks and a synced final.
//   ledger_bench --benchmark_out=… ; the folder is under TMPDIR: put it on the disk that counts.
// Arguments: requests in flight. Counters: requests/s, and the 50th and 99th percentile of the time
// from finish() to its acknowledgement, in microseconds.
#include "base/check.h"
#include "base/clock.h"
#include "billing/ledger.h"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <string>
#include <unistd.h>
#include <vector>

namespace rekindle::billing {
namespace {

RequestFacts facts_of(uint64_t number) {
    RequestFacts facts;
    std::memcpy(facts.id.bytes.data() + 8, &number, sizeof(number));
    facts.model = "smollm2-135m-instruct";
    facts.revision = std::string(64, 'a');
    facts.price_input = 50'000;
    facts.price_output = 200'000;
    facts.prompt_tokens = 300;
    facts.streamed = true;
    facts.started_unix_ms = 1'700'000'000'000;
    return facts;
}

UsageFinal final_of(uint64_t number) {
    UsageFinal usage = settle(facts_of(number), Outcome::kCompleted, 100, 100, true);
    usage.finished_unix_ms = 1'700'000'000'000 + static_cast<int64_t>(number);
    return usage;
}

// Keeps `width` requests in flight.
class Load {
public:
    Load(Ledger& ledger, uint64_t width, uint64_t first)
        : ledger_(ledger), width_(width), next_(first) {}

    void run(uint64_t requests) {
        for (uint64_t i = 0; i < requests; ++i) {
            std::unique_lock lock(mutex_);
            changed_.wait(lock, [this] { return in_flight_ < width_; });
            ++in_flight_;
            lock.unlock();
            start(next_++);
        }
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return in_flight_ == 0; });
    }

    double percentile_us(double share) {
        std::sort(waits_us_.begin(), waits_us_.end());
        return waits_us_[static_cast<size_t>(share * static_cast<double>(waits_us_.size() - 1))];
    }

private:
    void start(uint64_t number) {
        ledger_.begin(facts_of(number), [this, number](const Result<void>& begun) {
            REKINDLE_CHECK(begun.ok(), "the ledger takes it");
            ledger_.mark({{facts_of(number).id, 1}}, nullptr);
            const Nanoseconds asked = clock_.monotonic();
            ledger_.finish(final_of(number), [this, asked](const Result<void>& ended) {
                REKINDLE_CHECK(ended.ok(), "the ledger takes it");
                end(clock_.monotonic() - asked);
            });
        });
    }

    void end(Nanoseconds wait) {
        {
            const std::lock_guard lock(mutex_);
            --in_flight_;
            waits_us_.push_back(static_cast<double>(wait.count()) / 1000);
        }
        changed_.notify_one();
    }

    const SystemClock clock_;
    Ledger& ledger_;
    const uint64_t width_;
    uint64_t next_;
    std::mutex mutex_;
    std::condition_variable changed_;
    uint64_t in_flight_ = 0;
    std::vector<double> waits_us_;
};

void requests(benchmark::State& state) {
    const SystemClock clock;
    std::string folder = (std::filesystem::temp_directory_path() / "ledger_bench_XXXXXX").string();
    REKINDLE_CHECK(::mkdtemp(folder.data()) != nullptr, "a temporary folder");
    {
        auto ledger = Ledger::open(folder, clock);
        REKINDLE_CHECK(ledger.ok(), "a new ledger opens");
        const auto width = static_cast<uint64_t>(state.range(0));
        constexpr uint64_t kRequests = 20'000;
        uint64_t done = 0;
        for (auto unused : state) {
            static_cast<void>(unused);
            Load load(**ledger, width, 1 + done);
            load.run(kRequests);
            done += kRequests;
            state.counters["ack_us_p50"] = load.percentile_us(0.5);
            state.counters["ack_us_p99"] = load.percentile_us(0.99);
        }
        state.SetItemsProcessed(static_cast<int64_t>(done));
    }
    std::filesystem::remove_all(folder);
}

BENCHMARK(requests)->Arg(1)->Arg(8)->Arg(64)->Arg(512)->UseRealTime()->Unit(
    benchmark::kMillisecond);

}  // namespace
}  // namespace rekindle::billing

BENCHMARK_MAIN();
