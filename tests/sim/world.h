// What everything in one run shares: simulated time with its queue of events, the random draws, the
// crash points, the trace and its hash, and what was found wrong.
// Threading: one thread, by construction: nothing here blocks, and nothing in a run starts a
// thread.
#pragma once
#include "base/clock.h"
#include "tests/sim/draws.h"
#include "tests/sim/points.h"

#include <fmt/format.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rekindle::sim {

class World {
public:
    World(uint64_t seed, bool print_trace) : draws(seed), print_trace_(print_trace) {}

    Draws draws;
    ManualClock clock;
    Points points;
    uint64_t guessed = 0;  // Tokens of answers that a step had guessed.

    Nanoseconds now() const noexcept { return clock.monotonic(); }
    // Events of one moment run in the order in which they were added.
    void after(Nanoseconds delay, std::function<void()> event);
    // The same, for something inside the daemon: dropped when the daemon of now is gone by then.
    void after_in_daemon(Nanoseconds delay, std::function<void()> event);
    // Moves time to the next event and runs it; false when there is none.
    bool run_next();
    // What was still to come refers to things that go away.
    void drop_events();
    uint64_t events_run() const noexcept { return events_run_; }

    // Daemons of a run are counted; events of an earlier one are void.
    uint32_t incarnation() const noexcept { return incarnation_; }
    void end_incarnation();
    // Before the daemon goes away: what is still to happen in it holds parts of it.
    void drop_daemon_events();

    // One line of the trace: hashed, and printed when asked.
    template <typename... Args>
    void trace(fmt::format_string<Args...> format, Args&&... args) {
        line_.clear();
        fmt::format_to(std::back_inserter(line_), format, std::forward<Args>(args)...);
        add_line();
    }

    uint64_t trace_hash() const noexcept { return hash_; }
    // Something that must never be.
    void fail(std::string what);
    const std::vector<std::string>& failures() const noexcept { return failures_; }

    // A fault took effect.
    void fault(std::string_view kind) {
        ++faults_;
        trace("fault {}", kind);
    }
    uint32_t faults() const noexcept { return faults_; }

    // Something was done to this model's worker (empty: to any): errors of about now are explained.
    void blame(const std::string& model) { blamed_[model] = now(); }
    std::optional<Nanoseconds> blamed(const std::string& model) const {
        const auto at = blamed_.find(model);
        return at == blamed_.end() ? std::nullopt : std::optional(at->second);
    }

private:
    struct Entry {
        Nanoseconds at;
        uint64_t order;
        std::function<void()> event;
        bool operator<(const Entry& other) const noexcept {  // The queue gives the largest first.
            return at != other.at ? at > other.at : order > other.order;
        }
    };

    void add_line();

    const bool print_trace_;
    std::priority_queue<Entry> events_;
    uint64_t order_ = 0;
    uint64_t events_run_ = 0;
    uint32_t incarnation_ = 0;
    std::vector<std::weak_ptr<std::function<void()>>> daemon_events_;
    std::string line_;
    uint64_t hash_ = 0;
    uint32_t faults_ = 0;
    std::map<std::string, Nanoseconds> blamed_;
    std::vector<std::string> failures_;
};

}  // namespace rekindle::sim
