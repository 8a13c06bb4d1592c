// What waits for the ledger thread: commands in order, with limits, and the latest mark of each
// request, merged, so that marks need no limit of their own and never push back.
// Threading: any number of senders, one receiver.
#pragma once
#include "billing/detail/journal.h"
#include "billing/ledger.h"

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <variant>
#include <vector>

namespace rekindle::billing {

// Begins are refused first: the final of a request that began has room left. Gate 1 allows far
// fewer requests at a time.
inline constexpr size_t kBeginsQueuedMax = 16'384;
inline constexpr size_t kCommandsQueuedMax = 131'072;
inline constexpr size_t kMarksQueuedMax = 131'072;  // Requests; marks of others are dropped.
inline constexpr size_t kCommandsTakenMax = 4096;   // One batch: about 2 MiB of records.

struct Command {
    std::variant<RequestFacts, UsageFinal> body;
    Ledger::Done done;
};

struct Delivery {
    std::vector<Command> commands;
    std::vector<ProgressMark> marks;
    std::vector<Ledger::Written> written;  // Wait for these marks.

    bool empty() const noexcept { return commands.empty() && marks.empty(); }
};

class Inbox {
public:
    enum class Refusal { kFull, kClosed };

    // Nothing when taken; `command` is then moved from.
    std::optional<Refusal> offer(Command& command, size_t queued_max);
    void mark(const std::vector<ProgressMark>& marks, Ledger::Written written);
    // The next delivery; an empty one when `timeout` passed first; nothing once closed and empty.
    std::optional<Delivery> wait(std::optional<std::chrono::nanoseconds> timeout);
    void close();

private:
    Delivery take();

    std::mutex mutex_;
    std::condition_variable filled_;
    std::deque<Command> commands_;
    std::unordered_map<RequestId, uint32_t, RequestIdHash> marks_;
    std::vector<Ledger::Written> written_;  // Wait for marks_.
    bool closed_ = false;
};

}  // namespace rekindle::billing
