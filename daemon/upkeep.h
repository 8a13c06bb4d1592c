// What an operator does to the node's models and files by hand: take space back, check every byte,
// move a model between disk, memory and a worker. None of it is needed for serving.
// Threading: every member on the node's io thread.
#pragma once
#include "base/async/asio.h"
#include "base/result.h"
#include "daemon/node.h"

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

namespace rekindle::daemon {

struct GcSpec {
    bool dry_run = false;
    bool pulled = false;  // Also images that were pulled lately and that nothing names so far.
};

struct GcReport {
    bool dry_run = false;
    std::vector<std::string> images;  // Digests of those that go, sorted.
    std::vector<std::string> kept;    // Digests of those that stay, for they were pulled lately.
    uint64_t bytes_freed = 0;         // On disk; of a dry run: that would be.
    uint64_t bytes_kept = 0;
};

inline constexpr uint32_t kVerifySharePercentMax = 100;

struct VerifySpec {
    std::string model;           // Name or alias; empty: every image.
    uint32_t share_percent = 0;  // Of the time, for which the disk may be read: 1 to 100.
};

struct VerifyProgress {
    uint64_t done = 0;  // Bytes.
    uint64_t total = 0;
};

// A chunk whose bytes are not what they were.
struct VerifyFault {
    std::string image;
    std::vector<std::string> models;  // Deployments with a revision of that image.
    uint64_t chunk = 0;               // Its number in the image.
    std::string reason;               // Names chunk, file and offset.
};

struct VerifyReport {
    uint64_t images = 0;
    uint64_t chunks = 0;
    uint64_t bytes = 0;
    std::vector<VerifyFault> faults;
};

// A check under way. Destroying it ends it.
class VerifyStream {
public:
    virtual ~VerifyStream() = default;
    // Progress until the report, or an error; no more calls after either.
    using Event = std::variant<VerifyProgress, VerifyReport>;
    virtual Task<Result<Event>> next() = 0;
};

enum class CoolTo { kHost, kDisk };

struct CoolSpec {
    std::string model;
    CoolTo to = CoolTo::kHost;
    // How long a busy model may go on; 0: it is refused at once (kConflict).
    std::chrono::milliseconds wait{0};
};

class Upkeep {
public:
    virtual ~Upkeep() = default;

    // Removes images that no revision names (pulled ones after kPulledKept, or when asked), and
    // chunks that no image names.
    virtual Task<Result<GcReport>> gc(GcSpec spec) = 0;
    // Reads chunks again and compares them with their SHA-256. Those that differ are in quarantine
    // from then on. kNotFound for a model that is none, kConflict while another check runs.
    virtual Task<Result<std::unique_ptr<VerifyStream>>> verify(VerifySpec spec) = 0;

    // Gives the model a worker and its image memory. With `wait` the answer comes when both are
    // ready, or with the reason why not; without, as soon as the restore has begun.
    virtual Task<Result<DeploymentInfo>> warm(std::string model, bool wait) = 0;
    // Takes the worker away, and for kDisk the memory, too. A stream is never cut: kConflict while
    // requests are being answered and `wait` has passed.
    virtual Task<Result<DeploymentInfo>> cool(CoolSpec spec) = 0;
};

}  // namespace rekindle::daemon
