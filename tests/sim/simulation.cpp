#include "tests/sim/simulation.h"

#include "kernels/kernel_table.h"
#include "tests/sim/daemon.h"
#include "tests/sim/oracle.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <system_error>
#include <utility>

namespace rekindle::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// No answer takes longer, whatever happens to it.
constexpr Nanoseconds kPatience = seconds(60);
// Nothing at all is under way after this.
constexpr Nanoseconds kRunMax = std::chrono::minutes(10);
// A fault explains errors that come up to this much later.
constexpr Nanoseconds kEchoMax = seconds(3);
// A worker that broke the protocol is gone after this.
constexpr Nanoseconds kJusticeMax = seconds(1);

// Lies about one request are no lies when that request has just been cancelled.
bool notices(Lie kind) noexcept {
    return kind != Lie::kOverrun && kind != Lie::kBeforeGo && kind != Lie::kTokenized;
}

size_t open_descriptors() {
    size_t count = 0;
    for ([[maybe_unused]] const auto& entry :
         std::filesystem::directory_iterator("/proc/self/fd")) {
        ++count;
    }
    return count;
}

class Run {
public:
    Run(const Site& site, const Options& options)
        : options_(options),
          world_(options.seed, options.trace),
          plan_(make_plan(options, world_.draws)),
          disk_(world_),
          store_(site.images),
          ids_(options.seed),
          ground_{world_,         site,
                  plan_,          disk_,
                  store_,         read_faults_,
                  ledger_faults_, site.folder->at(fmt::format("ledger-{}", options.seed))} {}

    ~Run() {
        world_.drop_events();
        if (daemon_ != nullptr) {  // Given up: its destructor would wait for what never ends.
            static_cast<void>(daemon_.release());
        }
        std::error_code ec;
        std::filesystem::remove_all(ground_.ledger_path, ec);
    }

    Run(const Run&) = delete;
    Run& operator=(const Run&) = delete;

    Outcome go();

private:
    // --- the daemon's lives ---
    void start_daemon();
    void bury_daemon();
    void restart_soon();

    // --- clients ---
    void request(uint32_t index, uint32_t retry);
    void ended(Attempt& attempt);
    bool explained(const Attempt& attempt) const;
    void settle_ended();

    // --- faults ---
    void inject(const FaultPlan& fault);
    void inject_worker(const FaultPlan& fault, uint32_t tries);
    void watch_liar(const std::shared_ptr<SimulatedWorker>& worker);

    // --- the loop ---
    bool turn();
    void run_until(const std::function<bool()>& done, std::string_view what);
    void check_resident();
    void cool_down();
    void stop_for_good();
    void ask_the_oracle();

    const Options options_;
    World world_;
    const Plan plan_;
    Disk disk_;
    ImageStore store_;
    SeededEntropy ids_;
    ReadFaults read_faults_;
    LedgerFaults ledger_faults_;
    Ground ground_;
    std::unique_ptr<Daemon> daemon_;
    bool restarting_ = false;
    bool hopeless_ = false;
    bool ending_ = false;  // It is stopped for good.
    bool judged_ = false;  // The oracle has spoken.

    Attempts attempts_;
    std::vector<Attempt*> under_way_;
    uint32_t chains_ = 0;  // Requests whose last attempt has not ended.
    uint32_t faults_to_come_ = 0;
    std::optional<Nanoseconds> stop_began_;
    std::vector<DaemonEnd> deaths_;
    uint32_t opened_ = 0;  // The last life whose ledger opened.
};

// ---- The daemon's lives ----

void Run::start_daemon() {
    restarting_ = false;
    world_.points.revive();
    world_.trace("daemon starts");
    auto started = Daemon::start(ground_);
    if (started) {
        daemon_ = std::move(*started);
        opened_ = world_.incarnation();
    }
    if (started && !world_.points.dead()) {
        return;
    }
    if (!world_.points.dead()) {
        world_.fail("the daemon does not start: " + started.error().message);
        hopeless_ = true;
        return;
    }
    bury_daemon();
}

void Run::bury_daemon() {
    const CrashKind kind = *world_.points.how();
    world_.fault(kind == CrashKind::kKill ? "daemon-kill" : "daemon-power-loss");
    for (DaemonEnd& death : deaths_) {
        // What a killed process had written was never synced by the one that died since.
        if (death.incarnation >= opened_ && kind == CrashKind::kPowerLoss && daemon_ == nullptr) {
            death.kind = kind;
        }
    }
    deaths_.push_back({world_.now(), world_.incarnation(), kind});
    world_.end_incarnation();
    if (daemon_ != nullptr) {
        if (!daemon_->bury()) {
            world_.fail("a dead daemon's coroutines never end");
            static_cast<void>(daemon_.release());  // Its destructor would wait for them.
            hopeless_ = true;
        }
        daemon_.reset();
        world_.end_incarnation();  // Nor what it did while it was taken apart.
    }
    if (kind == CrashKind::kPowerLoss) {
        disk_.lose_power();
    }
    settle_ended();
    restart_soon();
}

void Run::restart_soon() {
    restarting_ = true;
    world_.after(world_.draws.time(milliseconds(5), milliseconds(800)), [this] { start_daemon(); });
}

// ---- Clients ----

void Run::request(uint32_t index, uint32_t retry) {
    if (daemon_ == nullptr || daemon_->stopping()) {  // Nobody listens.
        if (hopeless_) {
            --chains_;
            return;
        }
        world_.after(world_.draws.time(milliseconds(50), milliseconds(300)),
                     [this, index, retry] { request(index, retry); });
        return;
    }
    const RequestPlan& plan = plan_.requests[index];
    auto attempt = std::make_unique<Attempt>();
    attempt->number = static_cast<uint32_t>(attempts_.size());
    attempt->request = index;
    attempt->retry = retry;
    attempt->incarnation = world_.incarnation();
    attempt->id = billing::RequestId::make(world_.clock, ids_);
    attempt->image = &ground_.site.images.all()[plan.model];
    attempt->plan = &plan;
    attempt->expected = expect(ground_.site.images, *attempt->image, plan.submit,
                               std::min(kContext, plan_.kv_pages * kernels::kPageTokens));
    attempt->began_at = world_.now();
    Attempt& begun = *attempts_.emplace_back(std::move(attempt));
    under_way_.push_back(&begun);
    daemon_->serve(begun);
    const std::weak_ptr<Handler> handler = daemon_->handlers().back();
    const auto leave = [handler] {
        if (const auto alive = handler.lock()) {
            alive->client_leaves();
        }
    };
    if (plan.client.leaves_after) {
        world_.after_in_daemon(*plan.client.leaves_after, leave);
    }
    world_.after_in_daemon(kPatience, [this, &begun, leave] {
        if (begun.ending == Ending::kNone) {
            world_.fail(fmt::format("attempt {} of {} hangs: accepted {} relayed {} delivered {}",
                                    begun.number, begun.image->name, begun.accepted, begun.relayed,
                                    begun.delivered()));
            leave();
        }
    });
}

// An error needs a reason that this run knows of.
bool Run::explained(const Attempt& attempt) const {
    const auto recent = [&](std::optional<Nanoseconds> at) {
        return at && *at + kEchoMax >= attempt.began_at;
    };
    if (attempt.expected.too_long && attempt.error_code == ErrorCode::kTooLarge) {
        return true;
    }
    if (recent(world_.blamed(attempt.image->name)) || recent(world_.blamed("")) ||
        recent(stop_began_) || recent(ledger_faults_.refused_at) ||
        recent(read_faults_.failed_at)) {
        return true;
    }
    if (attempt.error_code == ErrorCode::kOverloaded) {
        return plan_.models > plan_.workers_max;
    }
    return attempt.error_code == ErrorCode::kResourceExhausted &&
           plan_.images_that_fit < plan_.models;
}

void Run::ended(Attempt& attempt) {
    if (attempt.ending == Ending::kError && !explained(attempt)) {
        world_.fail(fmt::format("attempt {} of {} got an error without a cause: {}", attempt.number,
                                attempt.image->name, attempt.error));
    }
    if (attempt.expected.too_long && attempt.ending == Ending::kDone) {
        world_.fail(fmt::format("attempt {}: answered beyond the context", attempt.number));
    }
    const bool again = attempt.ending == Ending::kError || attempt.ending == Ending::kCut;
    if (again && !attempt.expected.too_long && attempt.retry < attempt.plan->client.retries) {
        world_.after(
            world_.draws.time(milliseconds(20), milliseconds(500)),
            [this, index = attempt.request, retry = attempt.retry + 1] { request(index, retry); });
        return;
    }
    --chains_;
}

void Run::settle_ended() {
    for (size_t i = 0; i < under_way_.size();) {
        Attempt& attempt = *under_way_[i];
        const bool cut = attempt.incarnation != world_.incarnation();
        if (attempt.ending == Ending::kNone && cut) {
            attempt.ending = Ending::kCut;
            attempt.ended_at = world_.now();
            ++attempt.endings;
        }
        if (attempt.ending == Ending::kNone) {
            ++i;
            continue;
        }
        under_way_.erase(under_way_.begin() + static_cast<ptrdiff_t>(i));
        ended(attempt);
    }
}

// ---- Faults ----

void Run::watch_liar(const std::shared_ptr<SimulatedWorker>& worker) {
    world_.after_in_daemon(kJusticeMax, [this, held = std::weak_ptr(worker)] {
        const auto liar = held.lock();
        if (liar != nullptr && liar->alive()) {
            world_.fail(fmt::format("worker {} broke the protocol and still runs", liar->pid()));
        }
    });
}

// Faults of workers wait for a worker to befall.
void Run::inject_worker(const FaultPlan& fault, uint32_t tries) {
    constexpr uint32_t kTriesMax = 200;
    std::vector<std::shared_ptr<SimulatedWorker>> fit;
    if (daemon_ != nullptr) {
        for (auto& worker : daemon_->launcher().alive()) {
            const bool spare = fault.kind == FaultKind::kSpareCrash;
            if (spare ? !worker->serving() : worker->serving()) {
                fit.push_back(std::move(worker));
            }
        }
    }
    bool done = false;
    if (!fit.empty()) {
        const auto& worker = fit[world_.draws.below(fit.size())];
        switch (fault.kind) {
            case FaultKind::kWorkerStall:
                worker->stall(fault.time);
                done = true;
                break;
            case FaultKind::kWorkerLie:
                done = worker->lie(static_cast<Lie>(fault.detail % kLies));
                if (done && notices(static_cast<Lie>(fault.detail % kLies))) {
                    watch_liar(worker);
                }
                break;
            case FaultKind::kWorkerCrashInFrame:
                done = worker->busy();
                if (done) {
                    worker->die_in_next_frame();
                }
                break;
            default:
                worker->die("killed by signal 9, by somebody");
                done = true;
                break;
        }
        if (done) {
            world_.fault(name_of(fault.kind));
            if (fault.kind != FaultKind::kWorkerStall) {
                world_.blame(worker->model());
            }
            return;
        }
    }
    if (tries < kTriesMax) {
        world_.after(milliseconds(5), [this, fault, tries] { inject_worker(fault, tries + 1); });
    }
}

void Run::inject(const FaultPlan& fault) {
    --faults_to_come_;
    switch (fault.kind) {
        case FaultKind::kCrashAtPoint:
            world_.points.arm(fault.point, fault.count, fault.crash);
            return;
        case FaultKind::kRestart:
            if (daemon_ != nullptr && !daemon_->stopping()) {
                world_.fault("restart");
                stop_began_ = world_.now();
                daemon_->stop(world_.draws.time(milliseconds(1), milliseconds(300)));
            }
            return;
        case FaultKind::kSlowLedger:
            world_.fault("slow-ledger");
            ledger_faults_.slow_until = world_.now() + fault.time;
            return;
        case FaultKind::kSlowReads:
            world_.fault("slow-reads");
            read_faults_.slow_until = world_.now() + fault.time;
            return;
        case FaultKind::kReadFault:
            read_faults_.next[fault.detail / 4 % plan_.models] =
                static_cast<ReadFault>(fault.detail % 4);
            return;
        case FaultKind::kClockStep:
            world_.fault("clock-step");
            world_.clock.step_wall(fault.time);
            return;
        case FaultKind::kLedgerRefuses:
            ledger_faults_.refuse_begins += 1;
            return;
        default:
            inject_worker(fault, 0);
            return;
    }
}

// ---- The loop ----

// One step of the run; false when nothing is left to happen.
bool Run::turn() {
    if (daemon_ != nullptr) {
        daemon_->poll();
        if (world_.points.dead()) {
            bury_daemon();
        } else if (daemon_->stopped()) {
            world_.drop_daemon_events();
            daemon_.reset();  // Closes the ledger; the machine may die meanwhile.
            if (world_.points.dead()) {
                bury_daemon();
            } else {
                world_.trace("daemon stopped");
                world_.end_incarnation();
                settle_ended();
                if (!ending_) {
                    restart_soon();
                }
            }
        }
    }
    settle_ended();
    check_resident();
    return world_.run_next();
}

void Run::run_until(const std::function<bool()>& done, std::string_view what) {
    const Nanoseconds limit = world_.now() + kRunMax;
    while (!hopeless_ && !done()) {
        if (!turn() || world_.now() > limit) {
            world_.fail(fmt::format("{}: it never comes to that", what));
            hopeless_ = true;
        }
    }
}

// An image that a worker maps is never taken from under it.
void Run::check_resident() {
    if (daemon_ == nullptr) {
        return;
    }
    for (const auto& worker : daemon_->launcher().alive()) {
        if (worker->busy() && !worker->dishonest() && worker->ran() &&
            !daemon_->tier().resident(worker->image_digest())) {
            world_.fail(fmt::format("the image of {} was evicted while worker {} uses it",
                                    worker->model(), worker->pid()));
        }
    }
}

// Nobody calls any more: every model cools down, and nothing is left inside.
void Run::cool_down() {
    world_.points.disarm();
    const Nanoseconds until = world_.now() + plan_.idle + seconds(2);
    world_.after(plan_.idle + seconds(2), [] {});
    run_until([&] { return world_.now() >= until && daemon_ != nullptr && !restarting_; },
              "all is quiet");
    if (hopeless_ || daemon_ == nullptr) {
        return;
    }
    daemon_->poll();
    for (const daemon::DeploymentInfo& info : daemon_->node().deployments()) {
        if (info.active_requests != 0) {
            world_.fail(fmt::format("{} requests are left in {}", info.active_requests, info.name));
        }
        if (info.worker_pid != 0) {
            world_.fail(fmt::format("{} has not cooled down", info.name));
        }
    }
}

void Run::stop_for_good() {
    ending_ = true;
    daemon_->stop(seconds(1));
    run_until([&] { return daemon_ == nullptr; }, "the daemon stops");
}

void Run::ask_the_oracle() {
    world_.points.revive();
    auto ledger = DrivenLedger::open(ground_.ledger_path, world_, disk_, ledger_faults_);
    if (!ledger) {
        world_.fail("the ledger does not open: " + ledger.error().message);
        return;
    }
    check_billing(world_, **ledger, attempts_, deaths_);
    judged_ = true;
    (*ledger)->close();
}

Outcome Run::go() {
    const size_t descriptors = open_descriptors();
    world_.trace("seed {} {}", options_.seed, plan_.describe());
    start_daemon();
    chains_ = static_cast<uint32_t>(plan_.requests.size());
    for (uint32_t i = 0; i < plan_.requests.size(); ++i) {
        world_.after(plan_.requests[i].at, [this, i] { request(i, 0); });
    }
    faults_to_come_ = static_cast<uint32_t>(plan_.faults.size());
    for (const FaultPlan& fault : plan_.faults) {
        world_.after(fault.at, [this, &fault] { inject(fault); });
    }
    run_until([this] { return chains_ == 0 && faults_to_come_ == 0; }, "every answer has ended");
    if (options_.faults) {
        while (world_.faults() < kFaultsMin) {  // Some of the plan found no occasion.
            inject(FaultPlan{.kind = FaultKind::kClockStep, .time = seconds(86'400)});
            ++faults_to_come_;
        }
    }
    if (!hopeless_) {
        cool_down();
    }
    if (!hopeless_) {
        stop_for_good();
    }
    if (!hopeless_) {
        ask_the_oracle();
    }
    Outcome outcome{.seed = options_.seed, .options = plan_.describe()};
    outcome.trace_hash = world_.trace_hash();
    outcome.requests = static_cast<uint32_t>(attempts_.size());
    outcome.faults = world_.faults();
    outcome.daemon_deaths = static_cast<uint32_t>(deaths_.size());
    for (const auto& attempt : attempts_) {
        outcome.tokens += attempt->relayed;
    }
    outcome.guessed = world_.guessed;
    outcome.simulated_s = std::chrono::duration<double>(world_.now()).count() - 1;
    outcome.hits = world_.points.hits();
    if (!hopeless_ && open_descriptors() != descriptors) {
        world_.fail(
            fmt::format("{} descriptors are open, {} were", open_descriptors(), descriptors));
    }
    if (!judged_) {
        world_.fail("the bills were not checked");
    }
    outcome.failures = world_.failures();
    return outcome;
}

}  // namespace

Outcome simulate(const Site& site, const Options& options) {
    return Run(site, options).go();
}

}  // namespace rekindle::sim
