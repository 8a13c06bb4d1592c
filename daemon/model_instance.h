// One revision of a deployment on this node: at zero, waking, or served by a worker. Requests that
// find it at zero wake it together: one image acquisition, one worker. It cools down again when
// nobody has used it for its keep-alive time.
// Threading: the io thread. Lifetime: shared by the node and by callbacks that are under way.
#pragma once
#include "base/async/asio.h"
#include "base/async/event.h"
#include "base/clock.h"
#include "daemon/answer_stream.h"
#include "daemon/catalog.h"
#include "daemon/instance_check.h"
#include "daemon/instance_draft.h"
#include "daemon/instance_watch.h"
#include "daemon/retained_disk.h"
#include "daemon/self_check_store.h"
#include "daemon/worker_link.h"
#include "daemon/worker_pool.h"
#include "scheduler/scale/keep_alive.h"
#include "snapshot/retained/kv_files.h"
#include "snapshot/tiers/host_tier.h"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

namespace rekindle::daemon {

struct InstanceServices {
    asio::io_context& context;
    const Clock& clock;
    WorkerPool& pool;
    snapshot::HostTier& tier;
    Watch& watch;
    SelfCheckStore& checks;
    // Frees memory by cooling the instance that was idle longest, once its worker is reaped; false
    // when none is idle.
    std::function<bool()> make_room;
    // The instance is idle from now on: its keep-alive time runs.
    std::function<void()> became_idle;
    // Requests came to an idle instance, or the last one left.
    std::function<void()> load_changed;
    // Keys and values that stay when the worker goes: as many bytes at most.
    uint64_t retained_bytes_max = 0;
    // An instance retains some from now on.
    std::function<void()> retained;
    // Where they go when memory has no room for them; may be null.
    RetainedDisk* retained_disk = nullptr;
    // An image was read from disk, and how fast.
    std::function<void(const snapshot::RestoreTimes&)> restored;
};

struct InstanceOptions {
    uint64_t kv_bytes = 0;
    kernels::KvType kv_type = kernels::KvType::kF16;
    uint32_t threads = 1;
    uint32_t sequences_max = 64;
    bool speculation = true;
    DraftOptions draft{};
};

class ModelInstance final : public WorkerLink::Listener,
                            public AnswerUpstream,
                            public std::enable_shared_from_this<ModelInstance> {
public:
    ModelInstance(InstanceServices services, DeploymentRecord record, InstanceOptions options);
    ~ModelInstance() override;

    const DeploymentRecord& record() const noexcept { return record_; }
    const std::string& revision() const noexcept { return record_.revision; }

    // Wakes the model unless it has a worker; the restore goes on afterwards. Memory that idle
    // models hold, or workers on their way out, is waited for; kResourceExhausted when all of it is
    // in use.
    Task<Result<void>> wake_in_turn(std::shared_ptr<ModelInstance> self);
    // Hands the request to its worker, waking the model if it has none. On an error the stream was
    // not taken.
    Result<void> submit(const std::shared_ptr<AnswerStream>& stream);
    // Its first worker is checked so, whatever the manifest says; before it is woken.
    void check_first(CheckMode mode) { check_first_ = mode; }
    // Wakes the model and waits until its image is whole and its worker has accepted it.
    Task<Result<AssignedFrame>> warm(std::shared_ptr<ModelInstance> self);
    // As warm(), without waiting for the image.
    Task<Result<AssignedFrame>> accept(std::shared_ptr<ModelInstance> self);
    // Wakes the model whenever it has no worker, with growing pauses while that fails; completes
    // after end_for_good(). For models that are kept warm.
    Task<> stay_warm(std::shared_ptr<ModelInstance> self);
    // Notified when held(), has_worker() or what warm() waits for may have changed.
    Event& changed() noexcept { return changed_; }
    // Ends the worker. Only while idle.
    void cool();
    // Bytes of keys and values that it holds at zero, since when, and their end.
    uint64_t retained_bytes() const noexcept;
    Nanoseconds retained_since() const noexcept { return retained_since_; }
    // Without a worker: to disk, in the background, or nowhere when that keeps nothing.
    void store_retained();
    // Without a worker: takes them, to be stored by the caller.
    std::optional<snapshot::KvFiles> take_retained();
    // Completes when no request is active. Requests may not be added meanwhile.
    Task<> drained(std::shared_ptr<ModelInstance> self);

    // Ends the worker whatever is running; requests in it fail. For retired instances and shutdown.
    void end_for_good();
    // Why the draft model can't guess for it, after warm(); nothing when it can or there is none.
    const std::optional<Error>& draft_error() const noexcept { return draft_.error(); }
    void set_context_max(uint32_t context_max) { record_.context_max = context_max; }

    bool busy() const noexcept { return !streams_.empty(); }
    // In use by requests or by somebody who warms it.
    bool held() const noexcept { return busy() || holds_ > 0; }
    // Answers from weights that are all there.
    bool serving() const noexcept { return busy() && restored_; }
    bool has_worker() const noexcept { return link_ != nullptr; }
    uint32_t active() const noexcept { return static_cast<uint32_t>(streams_.size()); }
    // Since when nobody uses it; nothing while busy or never used.
    std::optional<Nanoseconds> idle_since() const noexcept { return idle_since_; }
    void describe(DeploymentInfo& info) const;
    RequestsNow requests_now() const;

    InstanceWatch& watch() noexcept { return watch_; }

    // How many of its threads the worker may use from now on.
    void grant_cores(uint32_t threads);

    // For the keep-alive policy.
    scheduler::WorkerUse use() const;

    void on_frame(Frame frame) override;
    void on_end(const Error& reason) override;
    void send_frame(const Frame& frame) override;
    void leave(AnswerStream& stream) override;
    void accuse(const std::string& what) override;

private:
    Result<void> wake();
    Task<Result<AssignedFrame>> hold_until(std::shared_ptr<ModelInstance> self, bool restored);
    using OnRestored = void (ModelInstance::*)(Result<snapshot::RestoreTimes> times);
    Result<std::shared_ptr<snapshot::ResidentImage>> acquire_image(const std::string& digest,
                                                                   OnRestored restored);
    void on_restored(Result<snapshot::RestoreTimes> times);
    // After the model's own image, which it never delays.
    void restore_draft();
    void on_draft_restored(Result<snapshot::RestoreTimes> times);
    void on_assigned(AssignedFrame frame);
    void on_tokenized(TokenizedFrame frame);
    void on_tokens(TokensFrame frame);
    // What the worker is, and what it says, must be so before it serves.
    bool ready() const noexcept { return assigned_ && restored_ && !check_.pending(); }
    void begin_check();
    void end_check();
    void keep_check(const SelfCheck& check);
    Error check_error(const Error& error) const;
    void refuse_to_serve(const Error& error);
    void became_idle();
    void retain();
    // Makes the KV memory, and says whether its pages are on their way from disk.
    Result<bool> make_kv();
    void on_retained_loaded(uint32_t pages, uint64_t generation);
    void fail_all(const Error& error);
    void retry_or_fail(const Error& reason);
    AnswerStream* find(uint64_t sequence);

    const InstanceServices services_;
    DeploymentRecord record_;
    const InstanceOptions options_;

    std::shared_ptr<WorkerLink> link_;
    InstanceDraft draft_;
    std::optional<snapshot::KvFiles> kv_;  // Of the worker, or retained from the last one.
    bool kv_loading_ = false;              // Its pages are on their way from disk.
    Nanoseconds retained_since_{};
    std::unordered_map<uint64_t, std::shared_ptr<AnswerStream>> streams_;
    uint64_t next_sequence_ = 1;
    uint32_t cores_granted_ = 0;  // As the worker was last told.
    uint64_t worker_tokens_ = 0;  // Of prompts and answers; its worker can have cached no more.
    uint64_t generation_ = 0;     // Of wakes: callbacks of an earlier one are ignored.
    bool restored_ = false;
    std::optional<AssignedFrame> assigned_;
    CheckMode check_first_ = CheckMode::kNone;
    InstanceCheck check_;
    std::optional<Error> wake_error_;
    std::optional<Error> fault_;  // What the worker reported; of a restore that fails a symptom.
    std::optional<Nanoseconds> idle_since_;
    InstanceWatch watch_;
    uint32_t holds_ = 0;    // Callers of warm() that still need the worker.
    uint32_t waking_ = 0;   // Callers of wake_in_turn().
    bool unasked_ = false;  // Since the last wake.
    bool used_ = false;     // By a request, ever.
    bool ended_ = false;    // For good.
    Event changed_;
    asio::steady_timer pause_;  // Of stay_warm(), between tries.
};

}  // namespace rekindle::daemon
