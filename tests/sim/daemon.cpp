#include "tests/sim/daemon.h"

#include "base/async/spawn.h"
#include "base/units.h"

#include <chrono>
#include <filesystem>
#include <optional>
#include <stdlib.h>
#include <system_error>
#include <utility>

namespace rekindle::sim {
namespace {

class SimulatedTimer final : public Timer {
public:
    SimulatedTimer(World& world, std::optional<Point> point)
        : world_(world), point_(point), turn_(std::make_shared<uint64_t>(0)) {}
    ~SimulatedTimer() override { ++*turn_; }

    void start(Nanoseconds after, std::function<void()> fired) override {
        const uint64_t mine = ++*turn_;
        world_.after_in_daemon(
            after, [&world = world_, point = point_, turn = turn_, mine, fired = std::move(fired)] {
                if (*turn == mine && !(point && world.points.hit(*point))) {
                    fired();
                }
            });
    }

    void cancel() override { ++*turn_; }

private:
    World& world_;
    const std::optional<Point> point_;
    const std::shared_ptr<uint64_t> turn_;  // Shared with events, which may outlive the timer.
};

daemon::DeploymentRecord deployment_of(const Image& image) {
    const auto manifest = daemon::api::parse_manifest(fmt::format(
        R"({{"rekindle":1,"name":"{}","model":"rekindle://sha256:{}","price":{{)"
        R"("currency":"USD","per_mtok":{{"input":"0.7","cached":"0.1","output":"2.3"}}}}}})",
        image.name, image.digest));
    REKINDLE_CHECK(manifest.ok(), "the manifests of a simulation are valid");
    daemon::DeploymentRecord record = daemon::make_record(*manifest, image.digest).value();
    record.context_max = kContext;
    record.image_bytes = image.bytes;
    record.architecture = "llama";
    return record;
}

daemon::Config config_of(const Ground& ground) {
    const Plan& plan = ground.plan;
    daemon::Config config;
    config.data_dir = ground.site.path;
    config.threads = 1;
    config.kv_memory_bytes = plan.kv_pages * kKvPageBytes;
    config.idle = std::chrono::duration_cast<std::chrono::milliseconds>(plan.idle);
    config.spare_workers = plan.spare_workers;
    config.workers_max = plan.workers_max;
    return config;
}

uint64_t memory_of(const Ground& ground) {
    // All images are of one size; a page for each one's latches.
    return ground.plan.images_that_fit * (ground.site.images.all().front().bytes + kPageBytes);
}

}  // namespace

Site::Site() {
    std::string pattern = (std::filesystem::temp_directory_path() / "rekindle_sim_XXXXXX").string();
    REKINDLE_CHECK(::mkdtemp(pattern.data()) != nullptr, "a temporary folder can be made");
    path = pattern;
    folder = std::make_unique<daemon::DataFolder>(daemon::DataFolder::open(path).value());
    auto catalog = daemon::Catalog::open(folder->at("deployments")).value();
    for (const Image& image : images.all()) {
        REKINDLE_CHECK(catalog.put(deployment_of(image)).ok(), "the catalog can be written");
    }
}

Site::~Site() {
    folder.reset();
    std::error_code ec;
    std::filesystem::remove_all(path, ec);
}

std::unique_ptr<Timer> SimulatedTimers::make(std::string_view name) {
    std::optional<Point> point;
    if (name == "cooling") {
        point = Point::kTimerCooling;
    } else if (name == "worker_retry") {
        point = Point::kTimerRetry;
    }
    return std::make_unique<SimulatedTimer>(world_, point);
}

Daemon::Daemon(Ground& ground)
    : ground_(ground),
      timers_(ground.world),
      launcher_(ground.world, context_, ground.site.images),
      handler_gate_(context_),
      stop_gate_(context_),
      handler_left_(context_) {}

Result<std::unique_ptr<Daemon>> Daemon::start(Ground& ground) {
    std::unique_ptr<Daemon> daemon(new Daemon(ground));
    auto ledger =
        DrivenLedger::open(ground.ledger_path, ground.world, ground.disk, ground.ledger_faults);
    if (!ledger) {
        return ledger.error();
    }
    daemon->ledger_ = std::move(*ledger);
    auto catalog = daemon::Catalog::open(ground.site.folder->at("deployments"));
    if (!catalog) {
        return catalog.error();
    }
    daemon->tier_ = std::make_unique<DrivenTier>(
        ground.world, ground.store, ground.read_faults,
        snapshot::HostTierOptions{.budget_bytes = memory_of(ground), .extent_bytes = 64 * kKiB},
        [&launcher = daemon->launcher_] { launcher.pump(); });
    daemon->node_ = std::make_unique<daemon::NodeImpl>(
        daemon::NodeServices{daemon->context_, ground.world.clock, *ground.site.folder,
                             *daemon->ledger_, ground.store, *daemon->tier_, daemon->launcher_,
                             daemon->timers_, daemon->entropy_, "no imports here"},
        config_of(ground), std::move(*catalog));
    const auto started = daemon->node_->start();
    if (!started && !ground.world.points.dead()) {
        return started.error();
    }
    ground.world.points.hit(Point::kLedgerOpened);
    return daemon;
}

// As main() does after run() has returned: what the ledger still posts is never run.
Daemon::~Daemon() {
    node_.reset();
    tier_.reset();
    if (ledger_ != nullptr) {
        ledger_->close();
    }
}

void Daemon::poll() {
    do {
        context_.restart();
    } while (context_.poll() > 0);
}

void Daemon::serve(Attempt& attempt) {
    auto handler = std::make_shared<Handler>(ground_.world, context_, *node_, attempt);
    handlers_.push_back(handler);
    auto running = run_handler(handler);
    if (!spawn(context_, "handler", handler_gate_, std::move(running))) {
        ground_.world.fail("a request came to a daemon that takes none");
    }
}

Task<> Daemon::run_handler(std::shared_ptr<Handler> handler) {
    co_await handler->run(handler);
    std::erase(handlers_, handler);
    handler_left_.notify();
}

void Daemon::stop(Nanoseconds drain) {
    stopping_ = true;
    auto stopping = drain_and_stop(drain);
    static_cast<void>(spawn(context_, "stop", stop_gate_, std::move(stopping)));
}

Task<> Daemon::drain_and_stop(Nanoseconds drain) {
    ground_.world.points.hit(Point::kDrainBegun);
    co_await node_->drain(std::chrono::duration_cast<std::chrono::milliseconds>(drain));
    while (!handlers_.empty()) {
        for (const auto& handler : std::vector(handlers_)) {
            handler->interrupt();
        }
        co_await handler_left_.wait();
    }
    co_await node_->stop();
    ground_.world.points.hit(Point::kStopped);
    stopped_ = true;
}

Task<> Daemon::stop_node() {
    co_await node_->stop();
    stopped_ = true;
}

bool Daemon::bury() {
    launcher_.end_all();
    for (const auto& handler : std::vector(handlers_)) {
        handler->cut();
    }
    if (!stopping_) {
        stopping_ = true;
        auto stopping = stop_node();
        static_cast<void>(spawn(context_, "stop", stop_gate_, std::move(stopping)));
    }
    constexpr int kRoundsMax = 1000;
    for (int round = 0; round < kRoundsMax; ++round) {
        poll();
        if (stopped_ && handlers_.empty()) {
            return true;
        }
        ledger_->work();
        for (const auto& handler : std::vector(handlers_)) {
            handler->cut();
        }
        launcher_.end_all();
    }
    return false;
}

}  // namespace rekindle::sim
