#include "scheduler/scale/core_shares.h"

#include <algorithm>

namespace rekindle::scheduler {

std::vector<uint32_t> share_cores(uint32_t cores, std::span<const uint32_t> requests) {
    std::vector<uint32_t> shares(requests.size(), cores);
    std::vector<size_t> busy;
    for (size_t i = 0; i < requests.size(); ++i) {
        if (requests[i] > 0) {
            busy.push_back(i);
        }
    }
    std::ranges::sort(busy, [&](size_t a, size_t b) {
        return requests[a] == requests[b] ? a < b : requests[a] > requests[b];
    });
    for (size_t rank = 0; rank < busy.size(); ++rank) {
        const size_t extra = rank < cores % busy.size() ? 1 : 0;
        shares[busy[rank]] =
            static_cast<uint32_t>(std::max<size_t>(1, cores / busy.size() + extra));
    }
    return shares;
}

}  // namespace rekindle::scheduler
