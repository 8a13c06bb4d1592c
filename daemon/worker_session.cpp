#include "daemon/worker_session.h"

#include "daemon/worker_bench.h"
#include "daemon/worker_core.h"
#include "daemon/worker_draft.h"
#include "runtime/engine.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <span>
#include <thread>
#include <utility>
#include <variant>

namespace rekindle::daemon {
namespace {

struct BenchSetup {
    const kernels::KernelTable& kernels;
    uint32_t threads = 1;
};

MakeEngine engine_maker(const kernels::KernelTable& kernels) {
    return [&kernels](const snapshot::ImageView& image, runtime::EngineOptions options) {
        options.kernels = &kernels;
        return runtime::Engine::create(image, options);
    };
}

// The two halves of a worker, each on its thread.
class Session final : public WorkerSession {
public:
    Session(WorkerChannel& channel, const Clock& clock, std::unique_ptr<WorkerModel> model,
            const BenchSetup& bench)
        : channel_(channel),
          clock_(clock),
          model_(std::move(model)),
          kernels_(bench.kernels),
          bench_(*model_, bench.kernels, bench.threads, clock),
          reader_(*model_, sender(), [this](EngineCommand command) { push(std::move(command)); }) {}

    ~Session() override {
        {
            const std::lock_guard lock(mutex_);
            stopping_ = true;
        }
        wake_.notify_one();
        if (engine_thread_.joinable()) {
            engine_thread_.join();
        }
    }

    AssignedFrame description() const { return model_->description(); }

    Result<void> serve() override;

private:
    SendFrames sender() {
        return [this](std::span<const Frame> frames) { return channel_.send(frames); };
    }

    Result<void> handle(ReceivedFrame received);
    Result<void> open_draft(const AssignDraftFrame& assign, std::vector<UniqueFd> descriptors);
    void push(EngineCommand command);
    void engine_loop();
    // Waits until there is something to do; false when stopping.
    bool take_commands(std::deque<EngineCommand>& commands);

    WorkerChannel& channel_;
    const Clock& clock_;
    const std::unique_ptr<WorkerModel> model_;
    const kernels::KernelTable& kernels_;
    std::unique_ptr<WorkerDraft> draft_;  // Null until it comes, if it does.
    WorkerBench bench_;
    PromptReader reader_;

    // Between reader and engine thread.
    std::mutex mutex_;
    std::condition_variable wake_;
    std::deque<EngineCommand> commands_;
    bool stopping_ = false;

    // The engine thread's own, once it runs.
    std::optional<BatchRunner> runner_;
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
        const auto handled = handle(std::move(received).value());
        if (!handled) {
            return handled.error();
        }
    }
}

// The tables arrive first in a restore; opening them here keeps Assign itself instant.
Result<void> Session::handle(ReceivedFrame received) {
    Frame& frame = received.frame;
    if (const auto* assign = std::get_if<AssignDraftFrame>(&frame)) {
        return open_draft(*assign, std::move(received.descriptors));
    }
    // Measured on this thread, with nothing else to do: rekindled ends this worker when it will.
    if (const auto* bench = std::get_if<BenchFrame>(&frame); bench != nullptr && !runner_) {
        return channel_.send(Frame(bench_.run(*bench)));
    }
    if (!reader_.tables_open() && std::holds_alternative<SubmitFrame>(frame)) {
        const auto opened = reader_.open_tables();
        if (!opened) {
            return opened;
        }
        runner_.emplace(*model_, reader_.tokenizer(), clock_, sender());
        if (draft_ != nullptr) {
            push(AttachDraft{draft_->engine.get()});
        }
        engine_thread_ = std::thread([this] { engine_loop(); });
    }
    return reader_.handle(std::move(frame));
}

// The model serves with or without it.
Result<void> Session::open_draft(const AssignDraftFrame& assign,
                                 std::vector<UniqueFd> descriptors) {
    if (draft_ != nullptr) {
        return Error{ErrorCode::kCorrupt, "rekindled assigned a second draft model"};
    }
    auto draft = WorkerDraft::open(assign, std::move(descriptors), *model_, engine_maker(kernels_));
    if (!draft) {
        return channel_.send(Frame(DraftAssignedFrame{draft.error().code, draft.error().message}));
    }
    draft_ = std::move(draft).value();
    if (runner_) {
        push(AttachDraft{draft_->engine.get()});
    }
    return channel_.send(Frame(DraftAssignedFrame{}));
}

void Session::push(EngineCommand command) {
    {
        const std::lock_guard lock(mutex_);
        commands_.push_back(std::move(command));
    }
    wake_.notify_one();
}

bool Session::take_commands(std::deque<EngineCommand>& commands) {
    std::unique_lock lock(mutex_);
    if (!runner_->runnable()) {
        wake_.wait(lock, [this] { return stopping_ || !commands_.empty(); });
    }
    std::swap(commands, commands_);
    return !stopping_;
}

void Session::engine_loop() {
    std::deque<EngineCommand> commands;
    while (take_commands(commands)) {
        for (EngineCommand& command : commands) {
            runner_->apply(std::move(command));
        }
        commands.clear();
        if (!runner_->runnable()) {
            runner_->tell_load();
        } else if (!runner_->step()) {
            return;
        }
    }
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
    auto model = WorkerModel::open(*frame, std::move(assign.descriptors), engine_maker(kernels));
    if (!model) {
        const Error& error = model.error();
        const auto sent =
            channel.send(Frame(AssignedFrame{error.code, error.message, 0, 0, false}));
        static_cast<void>(sent);
        return error;
    }
    const BenchSetup bench{kernels, std::max(1U, frame->threads)};
    auto session = std::make_unique<Session>(channel, clock, std::move(model).value(), bench);
    const auto sent = channel.send(Frame(session->description()));
    if (!sent) {
        return sent.error();
    }
    return std::unique_ptr<WorkerSession>(std::move(session));
}

}  // namespace rekindle::daemon
