#include "scheduler/admit/fair_queue.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace rekindle::scheduler {

Result<void> FairQueue::push(uint64_t id, const std::string& tenant, uint64_t cost) {
    if (waiting_ >= waiting_max_) {
        return Error{ErrorCode::kOverloaded,
                     fmt::format("{} requests wait, the limit", waiting_max_)};
    }
    const uint64_t level = least_served();
    Tenant& entry = tenants_[tenant];
    if (entry.items.empty()) {
        entry.served = std::max(entry.served, level);
    }
    entry.items.push_back({id, cost});
    ++waiting_;
    return {};
}

std::optional<uint64_t> FairQueue::pop() {
    auto next = tenants_.end();
    for (auto it = tenants_.begin(); it != tenants_.end(); ++it) {
        const bool waits = !it->second.items.empty();
        if (waits &&
            (next == tenants_.end() || std::pair(it->second.served, it->second.turn) <
                                           std::pair(next->second.served, next->second.turn))) {
            next = it;
        }
    }
    if (next == tenants_.end()) {
        return std::nullopt;
    }
    Tenant& tenant = next->second;
    const Item item = tenant.items.front();
    tenant.items.pop_front();
    level_ = tenant.served;
    tenant.served += item.cost;
    tenant.turn = ++turn_;
    --waiting_;
    forget_level();
    return item.id;
}

bool FairQueue::remove(uint64_t id) {
    for (auto& [name, tenant] : tenants_) {
        const auto item = std::find_if(tenant.items.begin(), tenant.items.end(),
                                       [id](const Item& waiting) { return waiting.id == id; });
        if (item != tenant.items.end()) {
            tenant.items.erase(item);
            --waiting_;
            return true;
        }
    }
    return false;
}

void FairQueue::charge(const std::string& tenant, uint64_t tokens) {
    const auto entry = tenants_.find(tenant);
    if (entry != tenants_.end()) {
        entry->second.served += tokens;
    }
}

// Where a tenant that joins starts: at the least served of those that wait, or, when nobody does,
// where the last one was taken.
uint64_t FairQueue::least_served() const {
    std::optional<uint64_t> least;
    for (const auto& [name, tenant] : tenants_) {
        if (!tenant.items.empty()) {
            least = std::min(least.value_or(tenant.served), tenant.served);
        }
    }
    return least.value_or(level_);
}

// A tenant without requests that is not ahead of the level would start there anyway.
void FairQueue::forget_level() {
    const uint64_t level = least_served();
    std::erase_if(tenants_, [level](const auto& entry) {
        return entry.second.items.empty() && entry.second.served <= level;
    });
}

}  // namespace rekindle::scheduler
