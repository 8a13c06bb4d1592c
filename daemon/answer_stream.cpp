#include "daemon/answer_stream.h"

#include "base/log.h"
#include "base/units.h"

#include <boost/asio/post.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

namespace rekindle::daemon {
namespace {

using std::chrono::duration_cast;

int64_t unix_ms(const Clock& clock) {
    return duration_cast<std::chrono::milliseconds>(clock.wall()).count();
}

// What can be known of a cached count without the cache. A worker that counts too much harms nobody
// but the operator: cached tokens never cost more than others.
bool plausible_cached(const SubmitFrame& submit, const TokenizedFrame& frame) noexcept {
    if (frame.cached_tokens == 0) {
        return true;
    }
    return frame.cached_tokens < frame.prompt_tokens &&
           frame.cached_tokens % kCachedTokensUnit == 0 && !needs_prompt_logprobs(submit);
}

// The handle owns the request from the front's point of view.
class AnswerHandle final : public GenerateStream {
public:
    explicit AnswerHandle(std::shared_ptr<AnswerStream> stream) : stream_(std::move(stream)) {}
    ~AnswerHandle() override { stream_->abandon(); }
    AnswerHandle(const AnswerHandle&) = delete;
    AnswerHandle& operator=(const AnswerHandle&) = delete;

    Task<Result<Event>> next() override { return stream_->next(); }
    void delivered(uint32_t tokens) override { stream_->delivered(tokens); }
    Task<Result<billing::UsageFinal>> finish() override { return stream_->finish(); }
    void cancel() override { stream_->cancel(); }
    void fail() override { stream_->fail(); }
    RequestTimes times() const override { return stream_->times(); }

private:
    std::shared_ptr<AnswerStream> stream_;
};

}  // namespace

MarkBatch::MarkBatch(asio::io_context& context, billing::Ledger& ledger)
    : context_(context), ledger_(ledger), progress_(std::make_shared<Progress>(context)) {}

void MarkBatch::add(billing::ProgressMark mark) {
    if (marks_.empty()) {
        asio::post(context_, [this] { send(); });
    }
    marks_.push_back(mark);
}

void MarkBatch::send() {
    ++progress_->writing;
    ledger_.mark(std::exchange(marks_, {}), [progress = progress_, &context = context_] {
        asio::post(context, [progress] {
            --progress->writing;
            progress->changed.notify();
        });
    });
}

Task<> MarkBatch::all_written() {
    while (!marks_.empty() || progress_->writing > 0) {
        co_await progress_->changed.wait();
    }
}

std::unique_ptr<GenerateStream> make_answer_handle(std::shared_ptr<AnswerStream> stream) {
    return std::make_unique<AnswerHandle>(std::move(stream));
}

AnswerStream::AnswerStream(const AnswerServices& services, GenerateRequest request,
                           billing::RequestFacts facts, std::shared_ptr<RequestTrace> trace)
    : services_(services),
      request_(std::move(request)),
      facts_(std::move(facts)),
      trace_(std::move(trace)),
      arrived_(services.context) {
    facts_.started_unix_ms = unix_ms(services_.clock);
}

AnswerStream::~AnswerStream() {
    REKINDLE_CHECK(upstream_ == nullptr, "a request leaves its instance before it goes away");
    REKINDLE_CHECK(settled_ || !begun_, "a request that the ledger knows is settled");
}

void AnswerStream::submit(AnswerUpstream& upstream, uint64_t sequence,
                          std::shared_ptr<const ColdTrace> cold) {
    upstream_ = &upstream;
    sequence_ = sequence;
    ++tries_;
    if (cold != nullptr) {
        cold_ = true;
        trace_->cold_start = std::move(cold);
    }
    running_ = false;
    tokenized_ = false;
    trace_->cold = cold_;
    trace_->tries = tries_;
    trace_->worker_at = services_.clock.monotonic();
    request_.submit.id = sequence;
    upstream_->send_frame(Frame(request_.submit));
}

// The timer goes with the stream, so none outlives its request.
void AnswerStream::limit_wait(std::chrono::milliseconds max_wait) {
    constexpr std::chrono::hours kLongest{24 * 365};  // Keeps the deadline within 64 bits.
    wait_limit_.emplace(services_.context);
    wait_limit_->expires_after(std::min<std::chrono::milliseconds>(max_wait, kLongest));
    wait_limit_->async_wait(
        [weak = weak_from_this(), max_wait](const boost::system::error_code& ec) {
            const auto self = weak.lock();
            if (!ec && self && !self->trace_->first_token_at && !self->ended_) {
                self->give_up(max_wait);
            }
        });
}

void AnswerStream::give_up(std::chrono::milliseconds max_wait) {
    const Error error{
        ErrorCode::kOverloaded,
        fmt::format("no token of model {} came within {}, its longest wait: try again "
                    "later",
                    facts_.model, format_duration(max_wait))};
    if (upstream_ != nullptr) {
        upstream_->send_frame(Frame(CancelFrame{sequence_}));
        leave_upstream();
    }
    end(&error);
}

void AnswerStream::on_assigned() {
    if (cold_ && !trace_->assigned_at) {
        trace_->assigned_at = services_.clock.monotonic();
    }
}

void AnswerStream::on_restored(bool from_memory, uint64_t read) {
    if (cold_ && !trace_->restored_at) {
        trace_->restored_at = services_.clock.monotonic();
        trace_->tier = from_memory ? "memory" : "disk";
        trace_->restore_bytes = read;
    }
}

void AnswerStream::on_tokenized(TokenizedFrame frame) {
    if (ended_) {
        return;
    }
    if (!frame.error.empty()) {
        const Error error{frame.code, std::move(frame.error)};
        leave_upstream();
        end(&error);
        return;
    }
    if (std::exchange(tokenized_, true)) {
        upstream_->accuse("gave a prompt's size twice");
        return;
    }
    if (!plausible_cached(request_.submit, frame)) {
        upstream_->accuse("counts cached tokens that can't be");
        return;
    }
    if (begun_ && frame.prompt_tokens != facts_.prompt_tokens) {
        upstream_->accuse("counts a prompt otherwise than the worker before it");
        return;
    }
    lease_.emplace(frame.tokens_max, request_.streamed, scheduler::LeaseLimits{});
    trace_->tokenized_at = services_.clock.monotonic();
    if (begun_) {  // A second try: the input is debited already, or about to be.
        if (debited_) {
            go();
        }
        return;
    }
    facts_.prompt_tokens = frame.prompt_tokens;
    facts_.cached_tokens = frame.cached_tokens;
    trace_->prompt_tokens = frame.prompt_tokens;
    trace_->cached_tokens = frame.cached_tokens;
    push(GenerateStream::Event(PromptReady{frame.prompt_tokens, frame.cached_tokens}));
    begin_in_ledger();
}

// Gate 2: the exact input is debited before anything is computed.
void AnswerStream::begin_in_ledger() {
    begun_ = true;
    auto self = shared_from_this();
    services_.ledger.begin(facts_, [self, &context = services_.context](Result<void> begun) {
        asio::post(context, [self, begun = std::move(begun)] {
            if (self->ended_) {
                return;
            }
            if (begun) {
                self->debited_ = true;
                if (self->tokenized_) {  // Else its second worker has not come so far.
                    self->go();
                }
                return;
            }
            self->begun_ = false;  // The ledger does not know it: nothing to settle.
            if (self->upstream_ != nullptr) {
                self->upstream_->send_frame(Frame(RefuseFrame{self->sequence_}));
            }
            self->leave_upstream();
            self->end(&begun.error());
        });
    });
}

void AnswerStream::go() {
    if (upstream_ == nullptr || ended_) {
        return;
    }
    running_ = true;
    trace_->go_at = services_.clock.monotonic();
    upstream_->send_frame(Frame(GoFrame{sequence_, lease_->grant()}));
}

void AnswerStream::on_tokens(TokensFrame frame) {
    if (ended_) {
        return;
    }
    const auto counted = running_ ? lease_->sampled(frame.sampled)
                                  : Result<void>(Error{ErrorCode::kCorrupt, "answered before Go"});
    if (!counted) {
        upstream_->accuse(counted.error().message);
        return;
    }
    wait_limit_.reset();
    count_token(frame);
    const Finish finish = frame.finish;
    const bool last = finish != Finish::kNone;
    push(GenerateStream::Event(Delta{std::move(frame)}));
    if (last) {
        leave_upstream();
        count_end(finish == Finish::kLength ? "length" : "stop");
        end(nullptr);
        return;
    }
    extend_lease();
}

void AnswerStream::count_token(const TokensFrame& frame) {
    if (frame.sampled == 0) {
        return;
    }
    const Nanoseconds now = services_.clock.monotonic();
    NodeMetrics& metrics = services_.watch.metrics;
    trace_->completion_tokens = lease_->sampled();
    if (!trace_->first_token_at) {
        trace_->first_token_at = now;
        trace_->weights_wait = std::chrono::microseconds(frame.wait_us);
        metrics.first_token(facts_.model, {.since_arrival = now - trace_->accepted_at,
                                           .queue = *trace_->go_at - trace_->accepted_at,
                                           .prefill = now - *trace_->go_at,
                                           .prompt_tokens = facts_.prompt_tokens,
                                           .cached_tokens = facts_.cached_tokens,
                                           .tokens = frame.sampled});
    } else {
        metrics.next_tokens(facts_.model, now - *trace_->last_token_at, frame.sampled);
    }
    trace_->last_token_at = now;
}

void AnswerStream::count_end(std::string_view reason) {
    const Nanoseconds now = services_.clock.monotonic();
    EndedRequest ended{.reason = reason,
                       .total = now - trace_->accepted_at,
                       .prompt_tokens = facts_.prompt_tokens,
                       .completion_tokens = sampled()};
    if (trace_->first_token_at) {
        ended.decode = *trace_->last_token_at - *trace_->first_token_at;
    }
    services_.watch.metrics.ended(facts_.model, ended);
}

void AnswerStream::extend_lease() {
    if (upstream_ == nullptr || ended_) {
        return;
    }
    const uint32_t more = lease_->grant();
    if (more > 0) {
        upstream_->send_frame(Frame(LeaseFrame{sequence_, more}));
    }
}

void AnswerStream::on_failed(const Error& error) {
    upstream_ = nullptr;
    end(&error);
}

void AnswerStream::end(const Error* error) {
    wait_limit_.reset();
    if (std::exchange(ended_, true)) {
        return;
    }
    trace_->ended_at = services_.clock.monotonic();
    if (error != nullptr) {
        failed_ = true;
        trace_->error = error_code_name(error->code);
        count_end("error");
        push(*error);
    }
}

void AnswerStream::push(Result<GenerateStream::Event> event) {
    events_.push_back(std::move(event));
    arrived_.notify();
}

void AnswerStream::leave_upstream() {
    if (upstream_ != nullptr) {
        std::exchange(upstream_, nullptr)->leave(*this);
    }
}

Task<Result<GenerateStream::Event>> AnswerStream::next() {
    auto self = shared_from_this();
    while (events_.empty()) {
        if (ended_) {
            co_return Error{ErrorCode::kCancelled, "the request has ended"};
        }
        co_await arrived_.wait();
    }
    if (request_.streamed) {
        co_await services_.marks.all_written();
    }
    Result<GenerateStream::Event> event = std::move(events_.front());
    events_.pop_front();
    co_return event;
}

void AnswerStream::delivered(uint32_t tokens) {
    REKINDLE_CHECK(lease_ && lease_->delivered() + tokens <= lease_->sampled(),
                   "only sampled tokens are delivered");
    lease_->delivered(tokens);
    if (settled_) {
        return;
    }
    services_.marks.add(billing::ProgressMark{facts_.id, lease_->delivered()});
    extend_lease();
}

billing::UsageFinal AnswerStream::settle_as(billing::Outcome outcome) {
    settled_ = true;
    billing::UsageFinal final_record =
        billing::settle(facts_, outcome, sampled(), lease_ ? lease_->delivered() : 0, running_);
    final_record.finished_unix_ms = unix_ms(services_.clock);
    final_record.restore_ms =
        static_cast<uint32_t>(duration_cast<std::chrono::milliseconds>(times().restore).count());
    return final_record;
}

Task<Result<billing::UsageFinal>> AnswerStream::finish() {
    REKINDLE_CHECK(begun_ && !settled_, "finish comes once, after the prompt was debited");
    auto self = shared_from_this();
    // The last event carries what was not sent before.
    lease_->delivered(lease_->sampled() - lease_->delivered());
    const billing::UsageFinal final_record = settle_as(billing::Outcome::kCompleted);
    std::optional<Result<void>> written;
    Event done(services_.context);
    services_.ledger.finish(
        final_record, [&written, &done, &context = services_.context](Result<void> result) {
            asio::post(context, [&written, &done, result = std::move(result)]() mutable {
                written = std::move(result);
                done.notify();
            });
        });
    while (!written) {
        co_await done.wait();
    }
    if (!*written) {
        co_return Error{ErrorCode::kUnavailable, written->error().message};
    }
    co_return final_record;
}

void AnswerStream::cancel() {
    if (upstream_ != nullptr) {
        upstream_->send_frame(Frame(CancelFrame{sequence_}));
        leave_upstream();
    }
    wait_limit_.reset();
    if (!std::exchange(ended_, true)) {
        trace_->ended_at = services_.clock.monotonic();
        count_end(failed_ ? "error" : "abort");
        arrived_.notify();
    }
}

void AnswerStream::fail() {
    failed_ = true;
    cancel();
}

void AnswerStream::abandon() {
    cancel();
    if (begun_ && !settled_) {
        const auto outcome = failed_ ? billing::Outcome::kFailed : billing::Outcome::kDisconnected;
        const std::string id = facts_.id.text();
        services_.ledger.finish(settle_as(outcome), [id](const Result<void>& written) {
            if (!written) {
                log_error("settle_failed", {{"request", id}, {"reason", written.error().message}});
            }
        });
    }
    pass_.reset();
    if (left_) {
        std::exchange(left_, nullptr)();
    }
}

// The phases follow each other, so that their sum is the whole time: an image that arrived while
// the prompt was already being computed counts as restore until it is whole.
RequestTimes AnswerStream::times() const {
    const Nanoseconds now = services_.clock.monotonic();
    const Nanoseconds submitted = trace_->worker_at.value_or(now);
    const Nanoseconds first = trace_->first_token_at.value_or(now);
    Nanoseconds usable = trace_->restored_at.value_or(now);
    if (trace_->cold_start && trace_->cold_start->check()) {
        usable = std::max(usable, trace_->cold_start->check()->ended);
    }
    const Nanoseconds restored =
        cold_ ? std::clamp(usable, submitted, std::max(submitted, first)) : submitted;
    RequestTimes times;
    times.queue = submitted - trace_->accepted_at;
    if (trace_->cold_start && trace_->go_at) {
        times.first_layer = std::min(trace_->cold_start->first_layer_wait(*trace_->go_at),
                                     std::max(first - *trace_->go_at, Nanoseconds{}));
    }
    times.restore = restored - submitted;
    times.prefill = first > restored ? first - restored : Nanoseconds{};
    times.decode = trace_->first_token_at ? trace_->ended_at.value_or(now) - first : Nanoseconds{};
    return times;
}

}  // namespace rekindle::daemon
