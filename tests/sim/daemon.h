// One life of the daemon: its own node, gates, pool, instances, host tier and ledger, put together
// as daemon/rekindled_main.cpp does, with the simulated side at every seam. Threading: one thread.
// Lifetime: ended by stop() or, when it died, by bury().
#pragma once
#include "base/async/gate.h"
#include "base/async/timer.h"
#include "daemon/node_impl.h"
#include "tests/sim/disk.h"
#include "tests/sim/handler.h"
#include "tests/sim/ledger.h"
#include "tests/sim/restore.h"
#include "tests/sim/worker.h"

#include <memory>
#include <string>
#include <vector>

namespace rekindle::sim {

// What runs share within a process, made once: images, and the folder with the catalog.
struct Site {
    Site();
    ~Site();
    Site(const Site&) = delete;
    Site& operator=(const Site&) = delete;

    static constexpr uint32_t kModels = 4;
    std::string path;
    Images images{kModels};
    std::unique_ptr<daemon::DataFolder> folder;
};

// What outlives a daemon in one run.
struct Ground {
    World& world;
    const Site& site;
    const Plan& plan;
    Disk& disk;
    ImageStore& store;
    ReadFaults& read_faults;
    LedgerFaults& ledger_faults;
    std::string ledger_path;
};

class SimulatedTimers final : public Timers {
public:
    explicit SimulatedTimers(World& world) : world_(world) {}
    std::unique_ptr<Timer> make(std::string_view name) override;

private:
    World& world_;
};

class Daemon {
public:
    // Opens the ledger (closing what a crash left open) and starts serving.
    static Result<std::unique_ptr<Daemon>> start(Ground& ground);
    ~Daemon();

    // Runs what is ready to run.
    void poll();
    void serve(Attempt& attempt);
    // SIGTERM: drains, stops. stopped() says when.
    void stop(Nanoseconds drain);
    bool stopping() const noexcept { return stopping_; }
    bool stopped() const noexcept { return stopped_; }
    // After its death: lets its coroutines end without effect. False when some never do.
    bool bury();

    std::vector<std::shared_ptr<Handler>>& handlers() noexcept { return handlers_; }
    SimulatedLauncher& launcher() noexcept { return launcher_; }
    daemon::NodeImpl& node() noexcept { return *node_; }
    DrivenTier& tier() noexcept { return *tier_; }

private:
    explicit Daemon(Ground& ground);
    Task<> run_handler(std::shared_ptr<Handler> handler);
    Task<> drain_and_stop(Nanoseconds drain);
    Task<> stop_node();

    Ground& ground_;
    asio::io_context context_{1};
    SimulatedTimers timers_;
    SeededEntropy entropy_{1};
    SimulatedLauncher launcher_;
    std::unique_ptr<DrivenLedger> ledger_;
    std::unique_ptr<DrivenTier> tier_;
    std::unique_ptr<daemon::NodeImpl> node_;
    std::vector<std::shared_ptr<Handler>> handlers_;
    Gate handler_gate_;
    Gate stop_gate_;
    Event handler_left_;
    bool stopping_ = false;
    bool stopped_ = false;
};

}  // namespace rekindle::sim
