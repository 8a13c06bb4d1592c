#include "daemon/worker_pool.h"

#include "base/log.h"

#include <algorithm>
#include <utility>

namespace rekindle::daemon {

class WorkerPool::Spare final : public WorkerLink::Listener {
public:
    Spare(WorkerPool& pool, std::shared_ptr<WorkerLink> link)
        : pool_(pool), link_(std::move(link)) {
        link_->listen(this);
    }
    ~Spare() override {
        if (link_ != nullptr) {
            link_->listen(nullptr);
        }
    }
    Spare(const Spare&) = delete;
    Spare& operator=(const Spare&) = delete;

    void on_frame(Frame frame) override {
        if (std::holds_alternative<HelloFrame>(frame)) {
            pool_.backoff_.succeeded();
            pool_.ever_ready_ = true;
        }
    }
    void on_end(const Error& reason) override {
        log_warning("spare_worker_died", {{"pid", link_->pid()}, {"reason", reason.message}});
        link_.reset();
        ++pool_.deaths_;
        pool_.spare_ended(this);
    }

    const WorkerLink& link() const noexcept { return *link_; }
    std::shared_ptr<WorkerLink> release() {
        link_->listen(nullptr);
        return std::move(link_);
    }

private:
    WorkerPool& pool_;
    std::shared_ptr<WorkerLink> link_;
};

WorkerPool::WorkerPool(Services services, uint32_t spare)
    : services_(services),
      spares_wanted_(spare),
      refill_(services.timers.make("worker_refill")),
      retry_(services.timers.make("worker_retry")),
      backoff_(scheduler::BackoffLimits{}),
      left_(services.context) {}

WorkerPool::~WorkerPool() {
    REKINDLE_CHECK(spares_.empty(), "the pool is stopped first");
}

Result<void> WorkerPool::add() {
    auto link = WorkerLink::start(services_.context, services_.gate, services_.launcher);
    if (!link) {
        return link.error();
    }
    ++started_;
    spares_.push_back(std::make_unique<Spare>(*this, std::move(link).value()));
    return {};
}

Result<void> WorkerPool::start() {
    while (spares_.size() < spares_wanted_) {
        const auto added = add();
        if (!added) {
            return added;
        }
    }
    return {};
}

Result<std::shared_ptr<WorkerLink>> WorkerPool::take() {
    if (stopped_) {
        return Error{ErrorCode::kUnavailable, "rekindled is stopping"};
    }
    if (spares_.empty()) {
        const auto added = add();
        if (!added) {
            return added.error();
        }
    }
    auto chosen = std::find_if(spares_.begin(), spares_.end(),
                               [](const auto& spare) { return spare->link().greeted(); });
    if (chosen == spares_.end()) {
        chosen = spares_.begin();
    }
    auto link = (*chosen)->release();
    spares_.erase(chosen);
    plan_refill();
    return link;
}

void WorkerPool::dismiss(const std::shared_ptr<WorkerLink>& worker) {
    ++leaving_;
    worker->dismiss([this] {
        --leaving_;
        left_.notify();
    });
}

void WorkerPool::plan_refill() {
    if (!refill_planned_) {  // A later take() must not put it off again.
        refill_planned_ = true;
        refill_->start(kRefillDelay, [this] {
            refill_planned_ = false;
            refill();
        });
    }
}

void WorkerPool::refill() {
    if (stopped_ || spares_.size() >= spares_wanted_) {
        return;
    }
    const auto added = start();
    if (!added) {
        log_error("worker_start_failed", {{"reason", added.error().message}});
        spare_ended(nullptr);
    }
}

void WorkerPool::spare_ended(const Spare* spare) {
    std::erase_if(spares_, [spare](const auto& held) { return held.get() == spare; });
    if (stopped_) {
        return;
    }
    const Nanoseconds now = services_.clock.monotonic();
    backoff_.failed(now, /*spread=*/0);  // One pool on a node: nobody to spread from.
    retry_->start(backoff_.wait(now), [this] { refill(); });
}

void WorkerPool::stop() {
    stopped_ = true;
    refill_->cancel();
    retry_->cancel();
    for (auto& spare : std::exchange(spares_, {})) {
        spare->release()->kill();
    }
}

uint32_t WorkerPool::ready_count() const noexcept {
    return static_cast<uint32_t>(std::count_if(
        spares_.begin(), spares_.end(), [](const auto& spare) { return spare->link().greeted(); }));
}

}  // namespace rekindle::daemon
