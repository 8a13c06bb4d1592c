#include "scheduler/scale/keep_alive.h"

#include <algorithm>
#include <tuple>

namespace rekindle::scheduler {
namespace {

// Longer than this is for ever; it keeps the arithmetic of deadlines within 64 bits.
constexpr std::chrono::hours kForEver{24 * 365 * 10};

std::optional<Nanoseconds> idle_deadline(const WorkerUse& worker, const ScaleLimits& limits) {
    const auto idle_max = worker.idle_max.value_or(limits.idle_default);
    if (worker.kept || worker.requests > 0 || idle_max >= kForEver) {
        return std::nullopt;
    }
    return worker.idle_since + Nanoseconds(std::max(idle_max, std::chrono::milliseconds(0)));
}

}  // namespace

std::vector<std::string> workers_to_cool(std::span<const WorkerUse> workers, Nanoseconds now,
                                         const ScaleLimits& limits) {
    std::vector<const WorkerUse*> due;
    for (const WorkerUse& worker : workers) {
        const auto deadline = idle_deadline(worker, limits);
        if (deadline && *deadline <= now) {
            due.push_back(&worker);
        }
    }
    std::sort(due.begin(), due.end(), [](const WorkerUse* a, const WorkerUse* b) {
        return std::tie(a->idle_since, a->deployment) < std::tie(b->idle_since, b->deployment);
    });
    std::vector<std::string> names;
    names.reserve(due.size());
    for (const WorkerUse* worker : due) {
        names.push_back(worker->deployment);
    }
    return names;
}

std::optional<Nanoseconds> until_next_cooling(std::span<const WorkerUse> workers, Nanoseconds now,
                                              const ScaleLimits& limits) {
    std::optional<Nanoseconds> next;
    for (const WorkerUse& worker : workers) {
        if (const auto deadline = idle_deadline(worker, limits)) {
            next = std::min(next.value_or(*deadline), *deadline);
        }
    }
    if (!next) {
        return std::nullopt;
    }
    return std::max(*next - now, Nanoseconds(0));
}

std::optional<std::string> worker_to_evict(std::span<const WorkerUse> workers) {
    const WorkerUse* longest = nullptr;
    for (const WorkerUse& worker : workers) {
        if (!worker.kept && worker.requests == 0 &&
            (longest == nullptr || worker.idle_since < longest->idle_since)) {
            longest = &worker;
        }
    }
    return longest == nullptr ? std::nullopt : std::optional(longest->deployment);
}

uint32_t spares_to_start(const PoolCounts& counts, const ScaleLimits& limits) {
    const uint32_t coming = counts.spare + counts.starting;
    const uint32_t all = coming + counts.assigned;
    const uint32_t missing = limits.spares_min > coming ? limits.spares_min - coming : 0;
    const uint32_t room = limits.workers_max > all ? limits.workers_max - all : 0;
    return std::min(missing, room);
}

bool pool_is_full(const PoolCounts& counts, const ScaleLimits& limits) {
    return counts.spare + counts.starting == 0 && counts.assigned >= limits.workers_max;
}

}  // namespace rekindle::scheduler
