// The last log lines in memory, for those who ask for them later or follow them. It takes lines of
// level info and above; when it is full the oldest one leaves, and a follower that was too slow is
// told how many it missed.
// Invariant: sequence numbers rise by one; bytes() never exceeds kLogRingBytesMax.
// Threading: any thread; attach() and detach() on one. Ownership: what watches it leaves first.
#pragma once
#include "base/clock.h"
#include "base/log.h"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rekindle {

inline constexpr size_t kLogLinesMax = 8192;
inline constexpr size_t kLogRingBytesMax = 4U << 20;
inline constexpr size_t kLogValueBytesMax = 1024;  // Longer values are cut.

struct LogLine {
    uint64_t sequence = 0;
    int64_t unix_ms = 0;
    LogLevel level = LogLevel::kInfo;
    std::string event;
    std::vector<std::pair<std::string, std::string>> fields;

    // Value of a field, empty when there is none.
    std::string_view field(std::string_view key) const noexcept;
};

struct LogFilter {
    LogLevel level = LogLevel::kInfo;  // And above.
    std::string model;                 // Lines with model=…; empty: all.
    int64_t since_unix_ms = 0;

    bool takes(const LogLine& line) const noexcept;
};

class LogRing {
public:
    explicit LogRing(const Clock& clock) : clock_(clock) {}

    LogRing(const LogRing&) = delete;
    LogRing& operator=(const LogRing&) = delete;
    ~LogRing();

    // From now on gets what log_line() writes.
    void attach();
    void detach();

    void add(LogLevel level, std::string_view event, std::span<const LogField> fields);

    struct Batch {
        std::vector<LogLine> lines;
        uint64_t next = 0;    // Ask with this.
        uint64_t missed = 0;  // Lines that left the ring before they were read.
    };

    // Up to `count` lines from sequence `from` on that the filter takes.
    Batch read(uint64_t from, size_t count, const LogFilter& filter) const;
    // The oldest line that is kept.
    uint64_t first() const;
    // `on_line` is called after each line, on the thread that wrote it, and must not log or block.
    uint64_t watch(std::function<void()> on_line);
    void unwatch(uint64_t watcher);

    size_t lines() const;
    size_t bytes() const;

private:
    const Clock& clock_;
    mutable std::mutex mutex_;
    std::deque<LogLine> lines_;
    size_t bytes_ = 0;
    uint64_t next_ = 0;
    uint64_t next_watcher_ = 1;
    std::vector<std::pair<uint64_t, std::function<void()>>> watchers_;
    bool attached_ = false;
};

}  // namespace rekindle
