// One request on the node: gate 2, the token lease, the relay of what the worker samples, and its
// settlement in the ledger. The front holds an AnswerHandle; the state behind it is shared with the
// model instance and with the ledger's callbacks, which may outlive the handle by moments.
// Invariant: begin() of the ledger happens at most once, finish() exactly once if begin() did.
// Threading: the io thread; ledger callbacks are posted to it.
#pragma once
#include "base/async/event.h"
#include "base/clock.h"
#include "billing/ledger.h"
#include "daemon/node.h"
#include "daemon/watch.h"
#include "scheduler/admit/admission_gate.h"
#include "scheduler/admit/token_lease.h"

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

namespace rekindle::daemon {

class AnswerStream;

// The model instance as a request sees it.
class AnswerUpstream {
public:
    virtual ~AnswerUpstream() = default;
    virtual void send_frame(const Frame& frame) = 0;
    // The request needs the instance no longer.
    virtual void leave(AnswerStream& stream) = 0;
    // The worker broke the protocol for this request.
    virtual void accuse(const std::string& what) = 0;
};

// Delivered tokens of all streams, written to the ledger together: once a turn of the io thread.
class MarkBatch {
public:
    MarkBatch(asio::io_context& context, billing::Ledger& ledger);
    void add(billing::ProgressMark mark);
    // Returns when no mark is left that a crash would lose. A stream that sends its next step only
    // then is never more than one step ahead of what would be billed.
    Task<> all_written();

private:
    void send();

    // Shared with the ledger's callbacks, which may outlive the batch.
    struct Progress {
        explicit Progress(asio::io_context& context) : changed(context) {}
        uint32_t writing = 0;  // Batches that the ledger has not written yet.
        Event changed;
    };

    asio::io_context& context_;
    billing::Ledger& ledger_;
    std::vector<billing::ProgressMark> marks_;
    const std::shared_ptr<Progress> progress_;
};

struct AnswerServices {
    asio::io_context& context;
    const Clock& clock;
    billing::Ledger& ledger;
    MarkBatch& marks;
    Watch& watch;
};

class AnswerStream : public std::enable_shared_from_this<AnswerStream> {
public:
    // `trace`: of this request, with its arrival.
    AnswerStream(const AnswerServices& services, GenerateRequest request,
                 billing::RequestFacts facts, std::shared_ptr<RequestTrace> trace);
    ~AnswerStream();

    // --- the instance's side ---
    // Sends (or after a worker's death sends again) the request; `cold`: the cold start that it has
    // to wait for, if there is one.
    void submit(AnswerUpstream& upstream, uint64_t sequence, std::shared_ptr<const ColdTrace> cold);
    // The worker accepted the image.
    void on_assigned();
    // The image is whole; `read` bytes of it came from disk, or none when it was in memory.
    void on_restored(bool from_memory, uint64_t read);
    void on_tokenized(TokenizedFrame frame);
    void on_tokens(TokensFrame frame);
    // The request ends with `error`; the upstream is left without leave().
    void on_failed(const Error& error);
    // True when nothing was sampled yet: the client can't notice a second try.
    bool retryable() const noexcept { return sampled() == 0 && tries_ < kTriesMax && !ended_; }
    uint64_t sequence() const noexcept { return sequence_; }

    // Go was sent, and the answer has not ended.
    bool running() const noexcept { return running_ && !ended_; }

    // It may sample: not while it waits for a client that is slow to read.
    bool may_sample() const noexcept { return running() && lease_->granted() > lease_->sampled(); }

    const std::shared_ptr<RequestTrace>& trace() const noexcept { return trace_; }

    // --- the front's side ---
    Task<Result<GenerateStream::Event>> next();
    void delivered(uint32_t tokens);
    Task<Result<billing::UsageFinal>> finish();
    void cancel();
    void fail();
    RequestTimes times() const;
    // The handle is gone: settles what was not settled.
    void abandon();
    // Called once the request has left the node, whatever way it ended.
    void on_left(std::function<void()> callback) { left_ = std::move(callback); }
    // Without a first token `max_wait` from its arrival on the request ends with kOverloaded.
    void limit_wait(std::chrono::milliseconds max_wait);
    // Its place behind gate 1, given back when the front lets go.
    void hold(scheduler::AdmissionGate::Pass pass) { pass_.emplace(std::move(pass)); }

private:
    static constexpr uint32_t kTriesMax =
        2;  // A request that kills two workers is not tried again.

    void push(Result<GenerateStream::Event> event);
    void begin_in_ledger();
    void go();
    void extend_lease();
    uint32_t sampled() const noexcept { return lease_ ? lease_->sampled() : 0; }
    void leave_upstream();
    billing::UsageFinal settle_as(billing::Outcome outcome);
    void end(const Error* error);
    void count_token(const TokensFrame& frame);
    void count_end(std::string_view reason);
    void give_up(std::chrono::milliseconds max_wait);

    const AnswerServices services_;
    GenerateRequest request_;
    billing::RequestFacts facts_;
    const std::shared_ptr<RequestTrace> trace_;  // In the node's ring for as long as it has room.
    AnswerUpstream* upstream_ = nullptr;
    std::function<void()> left_;
    std::optional<scheduler::AdmissionGate::Pass> pass_;
    std::optional<asio::steady_timer> wait_limit_;
    Event arrived_;
    std::deque<Result<GenerateStream::Event>> events_;

    uint64_t sequence_ = 0;
    uint32_t tries_ = 0;
    std::optional<scheduler::TokenLease> lease_;  // Since the prompt's size is known.
    bool cold_ = false;
    bool begun_ = false;      // The ledger knows the request.
    bool debited_ = false;    // The ledger has written that.
    bool tokenized_ = false;  // By the worker of this try.
    bool running_ = false;    // Go was sent.
    bool settled_ = false;
    bool ended_ = false;  // A finish or an error was pushed.
    bool failed_ = false;
};

// What the front holds; its end is the request's end.
std::unique_ptr<GenerateStream> make_answer_handle(std::shared_ptr<AnswerStream> stream);

}  // namespace rekindle::daemon
