// Deployments on the admin API's wire (docs/admin-api.md).
#pragma once
#include "base/json.h"
#include "base/result.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace rekindle::daemon::api {

struct Price {
    std::string input;  // Decimal strings, currency units per million tokens.
    std::string output;
    std::string cached;
    std::string currency;
    bool operator==(const Price&) const = default;
};

// Tokens that were guessed and computed, and those that were right; of them the draft model's.
struct Guesses {
    uint64_t computed = 0;
    uint64_t right = 0;
    uint64_t of_draft = 0;
    uint64_t of_draft_right = 0;
    bool operator==(const Guesses&) const = default;
};

struct Deployment {
    std::string name;
    std::string revision;
    std::string image;
    std::string architecture;
    uint64_t image_bytes = 0;
    uint32_t context = 0;
    std::string kv_type;
    int64_t created_unix_s = 0;
    Price price;
    std::vector<std::string> aliases;
    std::string tier;  // "worker", "memory", "disk", "remote"
    uint64_t resident_bytes = 0;
    uint32_t active_requests = 0;
    std::optional<int64_t> idle_ms;  // Nothing while busy or never used.
    int32_t worker_pid = 0;
    bool restoring = false;  // Its weights are still on their way into memory.
    Guesses guesses;
    std::string draft_image;  // Empty: none.
    std::string draft_state;  // "restoring", "ready", "failed"; empty without a worker.

    // Its image is still on its way here.
    struct Arriving {
        uint64_t bytes_here = 0;
        uint64_t bytes = 0;
        std::string remote;
        std::string problem;  // Why nothing came last; empty: it does.
        bool operator==(const Arriving&) const = default;
    };

    std::optional<Arriving> arriving;
    bool operator==(const Deployment&) const = default;
};

json::object to_json(const Deployment& deployment);
// kInvalidArgument names what is missing or of another type.
Result<Deployment> parse_deployment(const json::value& value);

}  // namespace rekindle::daemon::api
