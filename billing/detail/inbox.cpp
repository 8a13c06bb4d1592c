#include "billing/detail/inbox.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace rekindle::billing {

std::optional<Inbox::Refusal> Inbox::offer(Command& command, size_t queued_max) {
    {
        const std::lock_guard lock(mutex_);
        if (closed_) {
            return Refusal::kClosed;
        }
        if (commands_.size() >= queued_max) {
            return Refusal::kFull;
        }
        commands_.push_back(std::move(command));
    }
    filled_.notify_one();
    return std::nullopt;
}

void Inbox::mark(const std::vector<ProgressMark>& marks, Ledger::Written written) {
    {
        const std::lock_guard lock(mutex_);
        for (const ProgressMark& mark : marks) {
            const auto known = marks_.find(mark.id);
            if (known != marks_.end()) {
                known->second = std::max(known->second, mark.delivered_tokens);
            } else if (marks_.size() < kMarksQueuedMax && !closed_) {
                marks_.emplace(mark.id, mark.delivered_tokens);
            }
        }
        if (!marks_.empty()) {
            written_.push_back(std::exchange(written, nullptr));
        }
    }
    if (written) {
        written();  // Nothing is queued: nobody else would tell.
    }
    filled_.notify_one();
}

std::optional<Delivery> Inbox::wait(std::optional<std::chrono::nanoseconds> timeout) {
    std::unique_lock lock(mutex_);
    const auto ready = [this] { return closed_ || !commands_.empty() || !marks_.empty(); };
    if (timeout) {
        filled_.wait_for(lock, *timeout, ready);
    } else {
        filled_.wait(lock, ready);
    }
    if (closed_ && commands_.empty() && marks_.empty()) {
        return std::nullopt;
    }
    return take();
}

Delivery Inbox::take() {
    Delivery delivery;
    const size_t count = std::min(commands_.size(), kCommandsTakenMax);
    const auto end = std::next(commands_.begin(), static_cast<std::ptrdiff_t>(count));
    delivery.commands.assign(std::move_iterator(commands_.begin()), std::move_iterator(end));
    commands_.erase(commands_.begin(), end);
    delivery.marks.reserve(marks_.size());
    for (const auto& [id, delivered] : marks_) {
        delivery.marks.push_back({id, delivered});
    }
    marks_.clear();
    delivery.written = std::exchange(written_, {});
    return delivery;
}

void Inbox::close() {
    {
        const std::lock_guard lock(mutex_);
        closed_ = true;
    }
    filled_.notify_one();
}

}  // namespace rekindle::billing
