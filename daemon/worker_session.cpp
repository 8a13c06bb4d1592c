#include "daemon/worker_session.h"

#include "base/log.h"
#include "daemon/prompt_builder.h"
#include "daemon/worker_answers.h"
#include "runtime/engine.h"
#include "scheduler/batch/batcher.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

namespace rekindle::daemon {
namespace {

uint32_t whole_microseconds(Nanoseconds time) {
    const auto us = std::chrono::duration_cast<std::chrono::microseconds>(time).count();
    return static_cast<uint32_t>(std::clamp<int64_t>(us, 0, UINT32_MAX));
}

// What the reader hands to the engine thread.
struct StartSequence {
    SubmitFrame submit;
    std::vector<runtime::TokenId> prompt;
    uint32_t tokens_max = 0;
    uint32_t lease = 0;
};

using EngineCommand = std::variant<StartSequence, LeaseFrame, CancelFrame>;

// Prompts that are tokenized and wait for Go; bounded by rekindled's own queue limit, and here
// against a broken peer.
constexpr size_t kWaitingMax = 4096;

struct WaitingPrompt {
    SubmitFrame submit;
    std::vector<runtime::TokenId> tokens;
    uint32_t tokens_max = 0;
};

class Session final : public WorkerSession {
public:
    Session(WorkerChannel& channel, const Clock& clock, snapshot::ImageView image,
            Mapping kv_memory)
        : channel_(channel),
          clock_(clock),
          image_(std::move(image)),
          kv_memory_(std::move(kv_memory)) {}

    ~Session() override { stop_engine(); }

    Result<void> create_engine(const kernels::KernelTable& kernels, const AssignFrame& assign) {
        const uint64_t page_bytes = runtime::kv_page_bytes(image_.layout().hyperparameters);
        runtime::EngineOptions options{
            .kernels = &kernels,
            .threads = std::max(1U, assign.threads),
            .context_max = assign.context_max,
            .kv_pages = static_cast<uint32_t>(kv_memory_.bytes() / page_bytes),
            .kv_memory = kv_memory_.span()};
        auto engine = runtime::Engine::create(image_, options);
        if (!engine) {
            return engine.error();
        }
        engine_ = std::move(engine).value();
        sequences_max_ = assign.sequences_max;
        pages_total_ = options.kv_pages;
        return {};
    }

    AssignedFrame description() const {
        return AssignedFrame{.code = ErrorCode::kInternal,
                             .error = {},
                             .context_max = engine_->context_max(),
                             .vocabulary = engine_->vocabulary(),
                             .has_template = image_.layout().chat_template.bytes > 0};
    }

    Result<void> serve() override;

private:
    Result<void> handle(Frame frame);
    Result<void> on_submit(SubmitFrame submit);
    void on_go(const GoFrame& go);
    Result<uint32_t> completion_limit(const SubmitFrame& submit, size_t prompt_tokens) const;
    Result<void> prepare_prompts();

    void push(EngineCommand command);
    void stop_engine();
    void engine_loop();
    // Waits until there is something to do; false when stopping.
    bool take_commands(std::deque<EngineCommand>& commands);
    void apply(EngineCommand command);
    void start_sequence(StartSequence start);
    Result<void> run_step();
    StepFrame load() const;
    void tell_load();
    void fail(const Error& error);

    WorkerChannel& channel_;
    const Clock& clock_;
    snapshot::ImageView image_;
    Mapping kv_memory_;
    std::unique_ptr<runtime::Engine> engine_;
    std::unique_ptr<PromptBuilder> prompts_;
    uint32_t sequences_max_ = 0;
    uint32_t pages_total_ = 0;

    // The reader's own.
    std::unordered_map<uint64_t, WaitingPrompt> waiting_;

    // Between reader and engine thread.
    std::mutex mutex_;
    std::condition_variable wake_;
    std::deque<EngineCommand> commands_;
    bool stopping_ = false;

    // The engine thread's own, once it runs.
    std::unique_ptr<scheduler::Batcher> batcher_;
    std::unique_ptr<WorkerAnswers> answers_;
    uint32_t pages_told_ = 0;  // In use, as rekindled was last told.
    std::thread engine_thread_;
};

Result<void> Session::serve() {
    for (;;) {
        auto received = channel_.receive();
        if (!received) {
            if (received.error().code == ErrorCode::kCancelled) {
                return {};
            }
            return received.error();
        }
        const auto handled = handle(std::move(received->frame));
        if (!handled) {
            return handled.error();
        }
    }
}

Result<void> Session::handle(Frame frame) {
    if (auto* submit = std::get_if<SubmitFrame>(&frame)) {
        return on_submit(std::move(*submit));
    }
    if (const auto* go = std::get_if<GoFrame>(&frame)) {
        on_go(*go);
        return {};
    }
    if (const auto* refuse = std::get_if<RefuseFrame>(&frame)) {
        waiting_.erase(refuse->id);
        return {};
    }
    if (const auto* lease = std::get_if<LeaseFrame>(&frame)) {
        push(*lease);
        return {};
    }
    if (const auto* cancel = std::get_if<CancelFrame>(&frame)) {
        if (waiting_.erase(cancel->id) == 0) {
            push(*cancel);
        }
        return {};
    }
    return Error{ErrorCode::kCorrupt, "rekindled sent a frame that a serving worker never gets"};
}

// The tables arrive first in a restore; opening them here keeps Assign itself instant.
Result<void> Session::prepare_prompts() {
    auto prompts = PromptBuilder::create(image_);
    if (!prompts) {
        return prompts.error();
    }
    prompts_ = std::move(prompts).value();
    const runtime::Tokenizer& tokenizer = prompts_->tokenizer();
    batcher_ = std::make_unique<scheduler::Batcher>(
        *engine_, scheduler::BatcherLimits{.sequences_max = sequences_max_,
                                           .is_end = [&tokenizer](runtime::TokenId token) {
                                               return tokenizer.is_end(token);
                                           }});
    answers_ = std::make_unique<WorkerAnswers>(tokenizer, clock_, *engine_);
    engine_thread_ = std::thread([this] { engine_loop(); });
    return {};
}

Result<uint32_t> Session::completion_limit(const SubmitFrame& submit, size_t prompt_tokens) const {
    const uint32_t context = engine_->context_max();
    if (prompt_tokens >= context) {
        return Error{ErrorCode::kTooLarge,
                     fmt::format("this model's maximum context length is {} tokens, but the prompt "
                                 "has {} tokens: shorten it",
                                 context, prompt_tokens)};
    }
    const auto room = static_cast<uint32_t>(context - prompt_tokens);
    if (submit.tokens_max > room) {
        return Error{ErrorCode::kTooLarge,
                     fmt::format("this model's maximum context length is {} tokens, but {} were "
                                 "asked for ({} in the prompt, {} for the answer): shorten the "
                                 "prompt or lower max_tokens",
                                 context, prompt_tokens + submit.tokens_max, prompt_tokens,
                                 submit.tokens_max)};
    }
    return submit.tokens_max == 0 ? room : submit.tokens_max;
}

Result<void> Session::on_submit(SubmitFrame submit) {
    if (!prompts_) {
        const auto prepared = prepare_prompts();
        if (!prepared) {
            return prepared.error();
        }
    }
    TokenizedFrame reply{.id = submit.id};
    const auto refuse = [&](const Error& error) {
        reply.code = error.code;
        reply.error = error.message;
        return channel_.send(Frame(reply));
    };
    if (waiting_.size() >= kWaitingMax || waiting_.contains(submit.id)) {
        return Error{ErrorCode::kCorrupt, "rekindled submitted too much, or one id twice"};
    }
    auto tokens = prompts_->build(submit);
    if (!tokens) {
        return refuse(tokens.error());
    }
    const auto tokens_max = completion_limit(submit, tokens->size());
    if (!tokens_max) {
        return refuse(tokens_max.error());
    }
    reply.prompt_tokens = static_cast<uint32_t>(tokens->size());
    reply.tokens_max = *tokens_max;
    const uint64_t id = submit.id;
    waiting_.emplace(id, WaitingPrompt{std::move(submit), std::move(tokens).value(), *tokens_max});
    return channel_.send(Frame(reply));
}

void Session::on_go(const GoFrame& go) {
    auto node = waiting_.extract(go.id);
    if (node.empty()) {
        return;  // Cancelled in the meantime.
    }
    WaitingPrompt& waiting = node.mapped();
    push(StartSequence{std::move(waiting.submit), std::move(waiting.tokens), waiting.tokens_max,
                       go.lease});
}

void Session::push(EngineCommand command) {
    {
        const std::lock_guard lock(mutex_);
        commands_.push_back(std::move(command));
    }
    wake_.notify_one();
}

void Session::stop_engine() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    wake_.notify_one();
    if (engine_thread_.joinable()) {
        engine_thread_.join();
    }
}

bool Session::take_commands(std::deque<EngineCommand>& commands) {
    std::unique_lock lock(mutex_);
    if (!batcher_->runnable()) {
        wake_.wait(lock, [this] { return stopping_ || !commands_.empty(); });
    }
    std::swap(commands, commands_);
    return !stopping_;
}

void Session::engine_loop() {
    std::deque<EngineCommand> commands;
    while (take_commands(commands)) {
        for (EngineCommand& command : commands) {
            apply(std::move(command));
        }
        commands.clear();
        if (!batcher_->runnable()) {
            tell_load();
            continue;
        }
        const auto stepped = run_step();
        if (!stepped) {
            fail(stepped.error());
            return;
        }
    }
}

void Session::apply(EngineCommand command) {
    if (auto* start = std::get_if<StartSequence>(&command)) {
        start_sequence(std::move(*start));
    } else if (const auto* lease = std::get_if<LeaseFrame>(&command)) {
        batcher_->grant(lease->id, lease->tokens);
    } else if (const auto* cancel = std::get_if<CancelFrame>(&command)) {
        batcher_->cancel(cancel->id);
        answers_->drop(cancel->id);
    }
}

void Session::start_sequence(StartSequence start) {
    const uint64_t id = start.submit.id;
    answers_->begin(start.submit, start.prompt);
    const auto submitted = batcher_->submit(scheduler::SequenceRequest{
        .id = id,
        .prompt = std::move(start.prompt),
        .tokens_max = start.tokens_max,
        .lease = start.lease,
        .sampling = {.temperature = start.submit.temperature,
                     .top_p = start.submit.top_p,
                     .top_k = start.submit.top_k,
                     .min_p = start.submit.min_p,
                     .seed = start.submit.seed},
        .top_logprobs = start.submit.top_logprobs,
        .want_logprobs = start.submit.want_logprobs,
        .ignore_eos = start.submit.ignore_eos,
        .prompt_logprobs = start.submit.echo && start.submit.want_logprobs});
    if (!submitted) {
        answers_->drop(id);
        // A second Tokenized with an error is how a worker refuses after Go.
        const auto sent = channel_.send(Frame(TokenizedFrame{
            .id = id, .code = submitted.error().code, .error = submitted.error().message}));
        static_cast<void>(sent);  // A closed channel is noticed by the reader.
    }
}

StepFrame Session::load() const {
    return {.waiting = batcher_->waiting(),
            .pages_used = pages_total_ - engine_->free_pages(),
            .pages_total = pages_total_};
}

// Sequences that leave without a step change what is in use.
void Session::tell_load() {
    const StepFrame now = load();
    if (now.pages_used != pages_told_) {
        pages_told_ = now.pages_used;
        const auto sent = channel_.send(Frame(now));
        static_cast<void>(sent);  // A closed channel is noticed by the reader.
    }
}

Result<void> Session::run_step() {
    std::vector<scheduler::TokenEvent> events;
    const Nanoseconds begun = clock_.monotonic();
    const Nanoseconds waited = engine_->waited();
    const auto stepped = batcher_->step(events);
    if (!stepped) {
        return stepped;
    }
    const uint32_t step_us = whole_microseconds(clock_.monotonic() - begun);
    const uint32_t wait_us = std::min(whole_microseconds(engine_->waited() - waited), step_us);
    std::vector<uint64_t> cancelled;
    std::vector<Frame> frames = answers_->frames_of(events, cancelled);
    for (const uint64_t id : cancelled) {
        batcher_->cancel(id);
    }
    StepFrame step = load();
    pages_told_ = step.pages_used;
    step.step_us = step_us;
    step.wait_us = wait_us;
    step.sequences = batcher_->last_step().sequences;
    step.tokens = batcher_->last_step().tokens;
    frames.emplace_back(step);
    const auto sent = channel_.send(frames);
    static_cast<void>(sent);  // A closed channel is noticed by the reader.
    return {};
}

// Tells rekindled why, then shuts the process down: a worker with a bad image is of no more use.
void Session::fail(const Error& error) {
    log_error("worker_failed", {{"reason", error.message}});
    const auto sent = channel_.send(Frame(FailedFrame{error.code, error.message}));
    static_cast<void>(sent);
}

struct AssignedFiles {
    snapshot::ImageView image;
    Mapping kv_memory;
};

// Descriptors of an Assign frame: latches, KV memory, extents in order.
Result<AssignedFiles> open_files(const AssignFrame& assign, std::vector<UniqueFd> descriptors) {
    if (descriptors.size() != 2 + assign.extent_bytes.size()) {
        return Error{ErrorCode::kCorrupt,
                     fmt::format("assign: {} descriptors for {} extents", descriptors.size(),
                                 assign.extent_bytes.size())};
    }
    auto kv_memory = Mapping::read_write(descriptors[1].get(), assign.kv_bytes);
    if (!kv_memory) {
        return std::move(kv_memory).error().with_context("KV memory");
    }
    std::vector<snapshot::ExtentFile> extents;
    for (size_t i = 0; i < assign.extent_bytes.size(); ++i) {
        extents.push_back({std::move(descriptors[2 + i]), assign.extent_bytes[i]});
    }
    auto image =
        snapshot::ImageView::open(assign.index_json, std::move(extents), std::move(descriptors[0]));
    if (!image) {
        return image.error();
    }
    return AssignedFiles{std::move(image).value(), std::move(kv_memory).value()};
}

}  // namespace

Result<std::unique_ptr<WorkerSession>> WorkerSession::start(WorkerChannel& channel,
                                                            const kernels::KernelTable& kernels,
                                                            ReceivedFrame assign,
                                                            const Clock& clock) {
    const auto* frame = std::get_if<AssignFrame>(&assign.frame);
    if (frame == nullptr) {
        return Error{ErrorCode::kCorrupt, "the first frame of a worker is Assign"};
    }
    const auto refuse = [&channel](Error error) {
        const auto sent =
            channel.send(Frame(AssignedFrame{error.code, error.message, 0, 0, false}));
        static_cast<void>(sent);
        return error;
    };
    auto files = open_files(*frame, std::move(assign.descriptors));
    if (!files) {
        return refuse(files.error());
    }
    auto session = std::make_unique<Session>(channel, clock, std::move(files->image),
                                             std::move(files->kv_memory));
    const auto created = session->create_engine(kernels, *frame);
    if (!created) {
        return refuse(created.error());
    }
    const auto sent = channel.send(Frame(session->description()));
    if (!sent) {
        return sent.error();
    }
    return std::unique_ptr<WorkerSession>(std::move(session));
}

}  // namespace rekindle::daemon
