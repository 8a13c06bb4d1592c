// Who of the waiting goes next, when several tenants wait: the one that was served least, counted
// in tokens (virtual token counter, "Fairness in Serving Large Language Models", OSDI 2024); within
// a tenant, in order of arrival. A tenant that returns after a pause starts level with those
// waiting: nobody saves up credit. Threading: one thread.
#pragma once
#include "base/result.h"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>

namespace rekindle::scheduler {

class FairQueue {
public:
    explicit FairQueue(size_t waiting_max) : waiting_max_(waiting_max) {}

    // kOverloaded when full. `cost`: tokens expected, charged when it is taken.
    Result<void> push(uint64_t id, const std::string& tenant, uint64_t cost);
    // The next one, or nothing.
    std::optional<uint64_t> pop();
    // A waiting one gave up; false when it does not wait.
    bool remove(uint64_t id);
    // Tokens served beyond what pop() charged.
    void charge(const std::string& tenant, uint64_t tokens);

    size_t waiting() const noexcept { return waiting_; }

private:
    struct Item {
        uint64_t id = 0;
        uint64_t cost = 0;
    };

    struct Tenant {
        uint64_t served = 0;  // Tokens; comparable among tenants that wait.
        uint64_t turn = 0;    // Breaks ties: who was taken longest ago.
        std::deque<Item> items;
    };

    uint64_t least_served() const;
    void forget_level();

    const size_t waiting_max_;
    size_t waiting_ = 0;
    uint64_t turn_ = 0;
    uint64_t level_ = 0;  // `served` of the tenant taken last.
    std::map<std::string, Tenant> tenants_;
};

}  // namespace rekindle::scheduler
