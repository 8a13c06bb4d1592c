#include "daemon/model_instance.h"

#include "base/log.h"
#include "daemon/worker_assign.h"
#include "scheduler/scale/restart_backoff.h"
#include "snapshot/retained/kv_table.h"

#include <boost/asio/post.hpp>
#include <fmt/format.h>

#include <utility>
#include <variant>

namespace rekindle::daemon {

ModelInstance::ModelInstance(InstanceServices services, DeploymentRecord record,
                             InstanceOptions options)
    : services_(std::move(services)),
      record_(std::move(record)),
      options_(options),
      draft_(options.draft, record_.name),
      watch_(services_.clock, services_.watch, record_.name),
      changed_(services_.context),
      pause_(services_.context) {}

ModelInstance::~ModelInstance() {
    REKINDLE_CHECK(streams_.empty(), "an instance outlives its requests");
    if (link_ != nullptr) {
        link_->listen(nullptr);
        link_->kill();
    }
}

Result<std::shared_ptr<snapshot::ResidentImage>> ModelInstance::acquire_image(
    const std::string& digest, OnRestored restored) {
    std::weak_ptr<ModelInstance> weak = weak_from_this();
    return services_.tier.acquire(
        digest, [weak, restored, generation = generation_,
                 &context = services_.context](Result<snapshot::RestoreTimes> times) {
            asio::post(context, [weak, restored, generation, times = std::move(times)]() mutable {
                const auto self = weak.lock();
                if (self != nullptr && generation == self->generation_ && self->link_ != nullptr) {
                    (*self.*restored)(std::move(times));
                }
            });
        });
}

// Memory may be held by models that nobody uses: they make room before a request is refused, one
// after the other, because what a worker maps is free only when it is reaped.
Task<Result<void>> ModelInstance::wake_in_turn(std::shared_ptr<ModelInstance> self) {
    if (link_ != nullptr) {
        co_return Result<void>();
    }
    ++self->waking_;
    Result<void> woken = wake();
    while (!woken && woken.error().code == ErrorCode::kResourceExhausted &&
           (services_.pool.leaving() > 0 || services_.make_room())) {
        co_await services_.pool.left().wait();
        if (ended_) {
            woken = Error{ErrorCode::kUnavailable, fmt::format("model {} is gone", record_.name)};
        } else if (link_ == nullptr) {
            woken = wake();
        } else {  // Another request woke it.
            woken = Result<void>();
        }
    }
    --waking_;
    changed_.notify();
    co_return woken;
}

Result<void> ModelInstance::wake() {
    ++generation_;
    watch_.wake_begins();
    restored_ = false;
    worker_tokens_ = kv_ ? uint64_t{kv_->retained_pages()} * snapshot::kKvPageTokens : 0;
    assigned_.reset();
    wake_error_.reset();
    const CheckMode always =
        record_.manifest.verify_on_restore ? CheckMode::kReplay : CheckMode::kNone;
    check_.expect(check_first_ == CheckMode::kNone ? always : check_first_);
    fault_.reset();
    unasked_ = true;
    auto image = acquire_image(record_.image, &ModelInstance::on_restored);
    if (!image) {
        return std::move(image).error().with_context("model " + record_.name);
    }
    const auto loading = make_kv();
    if (!loading) {
        return loading.error();
    }
    auto assignment = make_assignment(**image, *kv_);
    if (!assignment) {
        return assignment.error();
    }
    auto link = services_.pool.take();
    if (!link) {
        return link.error();
    }
    assignment->frame.model = record_.name;
    assignment->frame.context_max = record_.manifest.context;
    assignment->frame.threads = options_.threads;
    assignment->frame.sequences_max = options_.sequences_max;
    assignment->frame.speculation = options_.speculation;
    assignment->frame.kv_type = options_.kv_type;
    link_ = std::move(link).value();
    link_->hold(std::move(image).value());
    draft_.reset();
    link_->listen(this);
    if (*loading) {
        link_->hold_back();  // The worker reads the table when it is assigned.
    }
    link_->send_with_descriptors(Frame(std::move(assignment->frame)), std::move(assignment->files));
    cores_granted_ = options_.threads;
    watch_.worker_taken();
    return {};
}

Result<bool> ModelInstance::make_kv() {
    if (std::exchange(kv_loading_, false)) {
        kv_.reset();  // Of a wake that ended early: somebody still writes to it.
    }
    if (kv_) {
        return false;
    }
    auto created = snapshot::KvFiles::create(options_.kv_bytes);
    if (!created) {
        return created.error();
    }
    kv_.emplace(std::move(created).value());
    if (services_.retained_disk == nullptr) {
        return false;
    }
    auto same = kv_->share();
    if (!same) {
        return same.error();
    }
    std::weak_ptr<ModelInstance> weak = weak_from_this();
    kv_loading_ = services_.retained_disk->load(record_.revision, std::move(same).value(),
                                                [weak, generation = generation_](uint32_t pages) {
                                                    if (const auto self = weak.lock()) {
                                                        self->on_retained_loaded(pages, generation);
                                                    }
                                                });
    return kv_loading_;
}

void ModelInstance::on_retained_loaded(uint32_t pages, uint64_t generation) {
    if (generation != generation_ || link_ == nullptr) {
        return;
    }
    kv_loading_ = false;
    worker_tokens_ += uint64_t{pages} * snapshot::kKvPageTokens;
    log_info("kv_loaded", {{"model", record_.name}, {"pages", pages}});
    link_->go_on();
}

void ModelInstance::grant_cores(uint32_t threads) {
    if (link_ != nullptr && threads != cores_granted_) {
        cores_granted_ = threads;
        link_->send(Frame(CoresFrame{.threads = threads}));
    }
}

Result<void> ModelInstance::submit(const std::shared_ptr<AnswerStream>& stream) {
    if (link_ == nullptr) {
        const auto woken = wake();
        if (!woken) {
            return woken;
        }
    }
    used_ = true;
    idle_since_.reset();
    watch_.idle(false);
    const uint64_t sequence = next_sequence_++;
    streams_.emplace(sequence, stream);
    if (active() == 1) {
        services_.load_changed();
    }
    const bool first = std::exchange(unasked_, false);
    const bool waits = !restored_ || check_.pending();
    stream->submit(*this, sequence, waits ? watch_.cold_trace() : nullptr);
    if (first && waits) {
        services_.watch.last_cold.insert_or_assign(record_.name, stream->trace());
    }
    return {};
}

Task<Result<AssignedFrame>> ModelInstance::warm(std::shared_ptr<ModelInstance> self) {
    return hold_until(std::move(self), /*restored=*/true);
}

Task<Result<AssignedFrame>> ModelInstance::accept(std::shared_ptr<ModelInstance> self) {
    return hold_until(std::move(self), /*restored=*/false);
}

Task<Result<AssignedFrame>> ModelInstance::hold_until(std::shared_ptr<ModelInstance> self,
                                                      bool restored) {
    const auto woken = co_await wake_in_turn(self);
    if (!woken) {
        co_return woken.error();
    }
    ++holds_;
    while (!wake_error_ && !(assigned_ && (!restored || (ready() && draft_.settled())))) {
        co_await changed_.wait();
    }
    --holds_;
    changed_.notify();
    if (self->wake_error_) {
        co_return *wake_error_;
    }
    if (!busy()) {
        became_idle();
    }
    co_return *assigned_;
}

void ModelInstance::on_restored(Result<snapshot::RestoreTimes> times) {
    if (!times) {
        watch_.restore_failed();
        refuse_to_serve(times.error().with_context("model " + record_.name));
        return;
    }
    restored_ = true;
    if (fault_) {
        refuse_to_serve(*fault_);
        return;
    }
    watch_.restored(*times, record_.image_bytes);
    if (!times->from_memory && services_.restored) {
        services_.restored(*times);
    }
    for (const auto& [sequence, stream] : streams_) {
        stream->on_restored(times->from_memory, times->bytes_read);
    }
    log_info("model_restored",
             {{"model", record_.name},
              {"ms", std::chrono::duration<double, std::milli>(times->total).count()},
              {"bytes_read", times->bytes_read},
              {"bytes_fetched", times->bytes_fetched},
              {"from_memory", times->from_memory}});
    restore_draft();
    changed_.notify();
}

// Only into memory that nobody holds: the model answers without it as well.
void ModelInstance::restore_draft() {
    if (!draft_.wanted()) {
        return;
    }
    auto image = acquire_image(draft_.image(), &ModelInstance::on_draft_restored);
    if (image) {
        draft_.restoring(std::move(image).value());
    } else {
        draft_.failed(image.error());
    }
}

void ModelInstance::on_draft_restored(Result<snapshot::RestoreTimes> times) {
    if (times) {
        draft_.assign(*link_);
    } else {
        draft_.failed(times.error());
    }
    changed_.notify();
}

void ModelInstance::on_assigned(AssignedFrame frame) {
    if (frame.error.empty()) {
        watch_.assigned();
        for (const auto& [sequence, stream] : streams_) {
            stream->on_assigned();
        }
        assigned_ = std::move(frame);
        begin_check();
        changed_.notify();
        return;
    }
    refuse_to_serve(Error{frame.code, fmt::format("model {}: {}", record_.name, frame.error)});
}

void ModelInstance::refuse_to_serve(const Error& error) {
    wake_error_ = error;
    fail_all(error);
    changed_.notify();
    link_->kill();
}

AnswerStream* ModelInstance::find(uint64_t sequence) {
    const auto found = streams_.find(sequence);
    return found == streams_.end() ? nullptr : found->second.get();
}

void ModelInstance::on_tokenized(TokenizedFrame frame) {
    AnswerStream* stream = find(frame.id);
    if (frame.cached_tokens > worker_tokens_) {
        accuse("has cached more tokens than it ever had");
        return;
    }
    worker_tokens_ += frame.prompt_tokens;
    if (frame.id == InstanceCheck::kSequence) {
        if (const auto answer = check_.on_tokenized(frame)) {
            link_->send(*answer);
        }
        end_check();
    } else if (stream != nullptr) {
        stream->on_tokenized(std::move(frame));
    }
}

void ModelInstance::on_tokens(TokensFrame frame) {
    worker_tokens_ += frame.sampled;
    if (!frame.matched_stop.empty()) {
        worker_tokens_ += kStepSampledMax - 1;  // It may have sampled beyond the stop string.
    }
    if (frame.id == InstanceCheck::kSequence) {
        check_.on_tokens(frame);
        end_check();
    } else if (AnswerStream* stream = find(frame.id)) {
        stream->on_tokens(std::move(frame));
        watch_.token_of(*stream->trace());  // Alive: it leaves from a fresh stack.
    }
}

void ModelInstance::on_frame(Frame frame) {
    if (auto* tokens = std::get_if<TokensFrame>(&frame)) {
        on_tokens(std::move(*tokens));
    } else if (auto* tokenized = std::get_if<TokenizedFrame>(&frame)) {
        on_tokenized(std::move(*tokenized));
    } else if (auto* assigned = std::get_if<AssignedFrame>(&frame)) {
        on_assigned(std::move(*assigned));
    } else if (const auto* draft = std::get_if<DraftAssignedFrame>(&frame)) {
        if (draft_.answered(*draft)) {
            changed_.notify();
        } else {
            accuse("answered for a draft model that it did not get");
        }
    } else if (const auto* step = std::get_if<StepFrame>(&frame)) {
        watch_.step(*step);
    } else if (const auto* pass = std::get_if<FirstPassFrame>(&frame)) {
        if (!watch_.first_pass(*pass)) {
            accuse("used its layers for the first time twice");
        }
    } else if (const auto* failed = std::get_if<FailedFrame>(&frame)) {
        fault_ = Error{failed->code, fmt::format("model {}: {}", record_.name, failed->error)};
        if (restored_) {
            refuse_to_serve(*fault_);
        }  // Else the restore tells its own reason, and that is the better one.
    } else if (!std::holds_alternative<HelloFrame>(frame)) {
        accuse("sent a frame that only rekindled sends");
    }
}

void ModelInstance::on_end(const Error& reason) {
    const auto ended = std::exchange(link_, nullptr);
    const bool was_warm = ready() && draft_.settled();
    draft_.reset();
    kv_.reset();  // Nobody knows what a worker that failed has written, nor what made it fail.
    if (services_.retained_disk != nullptr) {
        services_.retained_disk->drop(record_.revision);
    }
    watch_.worker_ended();
    if (fault_ && !wake_error_) {
        wake_error_ = fault_;
        fail_all(*fault_);
    }
    if (!wake_error_) {
        services_.watch.metrics.own.worker_deaths.add({"serving"}, 1);
    }
    const bool expected = !wake_error_ && streams_.empty();
    if (!wake_error_ && !expected) {
        log_warning("worker_died", {{"model", record_.name},
                                    {"pid", ended->pid()},
                                    {"active", streams_.size()},
                                    {"reason", reason.message}});
    }
    if (!was_warm) {
        wake_error_ = wake_error_ ? wake_error_ : std::optional<Error>(reason);
    }
    check_.abandon();
    changed_.notify();
    // From a fresh stack: a retry takes a new worker, and this one is still in its own callback.
    asio::post(services_.context,
               [self = shared_from_this(), reason] { self->retry_or_fail(reason); });
}

void ModelInstance::retry_or_fail(const Error& reason) {
    const Error error{ErrorCode::kUnavailable,
                      fmt::format("model {}: the worker died ({}); the request can be sent again",
                                  record_.name, reason.message)};
    auto streams = std::exchange(streams_, {});
    for (auto& [sequence, stream] : streams) {
        if (!stream->retryable()) {
            stream->on_failed(error);
            continue;
        }
        const auto again = submit(stream);
        if (!again) {
            stream->on_failed(again.error());
        }
    }
    if (!busy() && link_ == nullptr) {
        idle_since_ = services_.clock.monotonic();
    }
    changed_.notify();
}

void ModelInstance::fail_all(const Error& error) {
    for (auto& [sequence, stream] : std::exchange(streams_, {})) {
        stream->on_failed(error);
    }
}

void ModelInstance::send_frame(const Frame& frame) {
    if (link_ != nullptr) {
        if (requests_now().may_sample <= 1) {
            watch_.work_given();  // To a worker that had nothing to sample.
        }
        if (!check_.hold(frame)) {
            link_->send(frame);
        }
    }
}

void ModelInstance::leave(AnswerStream& stream) {
    // The caller is a member of `stream`: keep it alive until it has returned.
    auto node = streams_.extract(stream.sequence());
    if (!node.empty()) {
        asio::post(services_.context, [kept = std::move(node.mapped())] {});
    }
    if (!busy()) {
        became_idle();
        changed_.notify();
    }
}

void ModelInstance::accuse(const std::string& what) {
    log_error("worker_broke_protocol", {{"model", record_.name}, {"what", what}});
    if (link_ != nullptr) {
        const Error error{ErrorCode::kUnavailable,
                          fmt::format("model {}: its worker {}", record_.name, what)};
        fail_all(error);
        link_->kill();
    }
}

void ModelInstance::became_idle() {
    idle_since_ = services_.clock.monotonic();
    watch_.idle(link_ != nullptr);
    services_.became_idle();
    services_.load_changed();
}

scheduler::WorkerUse ModelInstance::use() const {
    scheduler::WorkerUse use;
    use.deployment = record_.name;
    use.requests = active() + holds_;
    use.idle_since = idle_since_.value_or(services_.clock.monotonic());
    use.idle_max = record_.manifest.idle;
    use.kept = record_.manifest.min_warm;
    return use;
}

void ModelInstance::cool() {
    REKINDLE_CHECK(!busy(), "only an idle model is cooled");
    if (link_ == nullptr) {
        return;
    }
    log_info("model_cooled", {{"model", record_.name}, {"pid", link_->pid()}});
    services_.pool.dismiss(std::exchange(link_, nullptr));
    draft_.reset();
    watch_.worker_ended();
    check_.abandon();
    ++generation_;
    retain();
}

void ModelInstance::retain() {
    if (std::exchange(kv_loading_, false)) {
        kv_.reset();
    }
    if (!kv_) {
        return;
    }
    const auto trimmed = kv_->trim(ended_ ? 0 : services_.retained_bytes_max);
    if (!trimmed) {
        log_warning("kv_not_retained",
                    {{"model", record_.name}, {"reason", trimmed.error().message}});
    }
    if (!trimmed || kv_->retained_pages() == 0) {
        kv_.reset();
        return;
    }
    retained_since_ = services_.clock.monotonic();
    log_info("kv_retained", {{"model", record_.name}, {"bytes", kv_->retained_bytes()}});
    services_.retained();
}

void ModelInstance::store_retained() {
    if (auto kept = take_retained(); kept && services_.retained_disk != nullptr) {
        services_.retained_disk->store(record_.revision, std::move(*kept));
    }
}

std::optional<snapshot::KvFiles> ModelInstance::take_retained() {
    if (link_ != nullptr) {
        return std::nullopt;
    }
    auto kept = std::exchange(kv_, std::nullopt);
    return std::exchange(kv_loading_, false) ? std::nullopt : std::move(kept);
}

uint64_t ModelInstance::retained_bytes() const noexcept {
    return link_ == nullptr && kv_ ? kv_->retained_bytes() : 0;
}

void ModelInstance::end_for_good() {
    fail_all(Error{ErrorCode::kUnavailable, "this node is shutting down"});
    ended_ = true;
    cool();
    wake_error_ = Error{ErrorCode::kUnavailable, "this node is shutting down"};
    pause_.cancel();
    changed_.notify();
}

// A worker that lived for a while died by chance; one that dies at once will do so again.
Task<> ModelInstance::stay_warm(std::shared_ptr<ModelInstance> self) {
    constexpr Nanoseconds kSteady = std::chrono::seconds(10);
    scheduler::RestartBackoff backoff({});
    Nanoseconds warmed_at = services_.clock.monotonic();
    while (!self->ended_) {
        if (link_ != nullptr && ready()) {
            co_await changed_.wait();
            if (link_ == nullptr && services_.clock.monotonic() - warmed_at < kSteady) {
                backoff.failed(services_.clock.monotonic(), /*spread=*/0);
            }
            continue;
        }
        const Nanoseconds pause = backoff.wait(services_.clock.monotonic());
        if (pause > Nanoseconds(0)) {
            pause_.expires_after(pause);
            auto waited = co_await pause_.async_wait(kAsTuple);
            static_cast<void>(waited);  // Cancelled: ended_ says why.
            continue;
        }
        auto warmed = co_await warm(self);
        warmed_at = services_.clock.monotonic();
        if (!warmed && !ended_) {
            backoff.failed(warmed_at, /*spread=*/0);
            log_warning("warm_failed",
                        {{"model", record_.name}, {"reason", warmed.error().message}});
        }
    }
}

Task<> ModelInstance::drained(std::shared_ptr<ModelInstance> self) {
    while (self->busy() || self->waking_ > 0) {
        co_await changed_.wait();
    }
}

RequestsNow ModelInstance::requests_now() const {
    RequestsNow now;
    for (const auto& [sequence, stream] : streams_) {
        ++(stream->running() ? now.running : now.waiting);
        now.may_sample += stream->may_sample() && !check_.pending() ? 1 : 0;
    }
    return now;
}

void ModelInstance::describe(DeploymentInfo& info) const {
    info.active_requests = active();
    info.worker_pid = link_ == nullptr ? 0 : link_->pid();
    const bool in_memory = services_.tier.resident(record_.image);
    info.restoring = link_ != nullptr && (!restored_ || check_.pending());
    info.tier = link_ != nullptr ? "worker" : (in_memory ? "memory" : "disk");
    info.resident_bytes = in_memory || link_ != nullptr ? record_.image_bytes : 0;
    info.resident_bytes += retained_bytes();
    draft_.describe(link_ != nullptr, info);
    info.guesses = watch_.guesses();
    if (idle_since_ && used_ && !busy()) {
        info.idle_for = std::chrono::duration_cast<std::chrono::milliseconds>(
            services_.clock.monotonic() - *idle_since_);
    }
}

}  // namespace rekindle::daemon
