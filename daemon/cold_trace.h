// A cold start from inside: when the bytes of each part of a model (the embedding, the layers, the
// output head) had arrived in memory, and when the worker waited for them and computed with them.
// One is shared by the requests that wait for the same cold start.
// Invariant: the moments are rekindled's own or lie between the wake and the frame that told them,
// whatever a worker says.
// Threading: the io thread.
#pragma once
#include "base/clock.h"
#include "base/json.h"
#include "daemon/frames.h"
#include "snapshot/tiers/chunk_arrival.h"

#include <cstdint>
#include <optional>
#include <vector>

namespace rekindle::daemon {

// As traces tell time.
double trace_ms(Nanoseconds time) noexcept;

class ColdTrace {
public:
    explicit ColdTrace(Nanoseconds woken_at) : woken_at_(woken_at) {}

    // The image is whole; `arrivals`: of its chunks, null when it was in memory before.
    void restored(snapshot::ChunkArrivals arrivals);
    // The worker has used every part once, and told so at `now`.
    void computed(const FirstPassFrame& pass, Nanoseconds now);

    struct Stretch {
        Nanoseconds begun{};
        Nanoseconds ended{};
    };

    // The worker's self-check has passed.
    void checked(Nanoseconds begun, Nanoseconds ended) { check_ = Stretch{begun, ended}; }

    const std::optional<Stretch>& check() const noexcept { return check_; }

    // The worker has not told about its parts so far.
    bool empty() const noexcept { return parts_.empty(); }

    // How long a prompt that was let through at `go` was held up by the weights that its first
    // layer needs.
    Nanoseconds first_layer_wait(Nanoseconds go) const noexcept;
    // The member "layers" of a trace; times in milliseconds since `origin`.
    json::array layers(Nanoseconds origin) const;

private:
    struct Part {
        uint64_t offset = 0;
        uint64_t bytes = 0;
        std::optional<Nanoseconds> arrived;  // Nothing: it was in memory before.
        Nanoseconds asked{};
        Nanoseconds there{};
        Nanoseconds ended{};
    };

    void date_arrivals();

    const Nanoseconds woken_at_;
    std::vector<Part> parts_;
    std::optional<Stretch> check_;
    snapshot::ChunkArrivals arrivals_;  // Until the parts are known, too.
};

}  // namespace rekindle::daemon
