#include "tests/sim/world.h"

#include "base/bytes.h"
#include "base/hash.h"

#include <chrono>
#include <cstdio>
#include <utility>

namespace rekindle::sim {

void World::after(Nanoseconds delay, std::function<void()> event) {
    events_.push(Entry{now() + delay, ++order_, std::move(event)});
}

void World::after_in_daemon(Nanoseconds delay, std::function<void()> event) {
    // What the event holds goes away with the daemon, not when its time comes.
    const auto held = std::make_shared<std::function<void()>>(std::move(event));
    std::erase_if(daemon_events_, [](const auto& kept) { return kept.expired(); });
    daemon_events_.push_back(held);
    after(delay, [this, mine = incarnation_, held] {
        if (mine == incarnation_ && !points.dead()) {
            (*held)();
        }
    });
}

void World::end_incarnation() {
    ++incarnation_;
    drop_daemon_events();
}

void World::drop_daemon_events() {
    for (const auto& kept : std::exchange(daemon_events_, {})) {
        if (const auto held = kept.lock()) {
            const auto event = std::exchange(*held, nullptr);
        }
    }
}

bool World::run_next() {
    if (events_.empty()) {
        return false;
    }
    // The queue's top is const; the entry is taken out before anything else happens.
    Entry entry = std::move(const_cast<Entry&>(events_.top()));
    events_.pop();
    clock.advance(entry.at - now());
    ++events_run_;
    entry.event();
    return true;
}

void World::drop_events() {
    while (!events_.empty()) {
        Entry entry = std::move(const_cast<Entry&>(events_.top()));
        events_.pop();
    }
}

void World::add_line() {
    const auto since_start = std::chrono::duration<double>(now()).count() - 1;  // Starts at 1 s.
    std::string line = fmt::format("{:12.6f} {}", since_start, line_);
    hash_ = xxh3(as_bytes(line)) ^ (hash_ * 0x9E3779B97F4A7C15ULL);
    if (print_trace_) {
        std::printf("%s\n", line.c_str());
    }
}

void World::fail(std::string what) {
    constexpr size_t kFailuresKept = 20;
    trace("WRONG {}", what);
    if (failures_.size() < kFailuresKept) {
        failures_.push_back(std::move(what));
    }
}

}  // namespace rekindle::sim
