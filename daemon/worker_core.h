// What a worker does between the frames that come and those that go, without threads: the model of
// an Assign, the reader's half (render, tokenize, wait for Go) and the engine's half (step the
// batch). WorkerSession gives each half a thread; tests/sim drives both on simulated time.
// Invariant: a sequence enters the batch only after rekindled said Go (its input is paid for), and
// never samples beyond its lease.
// Threading: each half on one thread; commands go from the first to the second.
#pragma once
#include "base/clock.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "daemon/frames.h"
#include "daemon/prompt_builder.h"
#include "daemon/worker_answers.h"
#include "runtime/engine.h"
#include "scheduler/batch/batcher.h"
#include "snapshot/view/image_view.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <unordered_map>
#include <variant>
#include <vector>

namespace rekindle::daemon {

// ---- The model of an Assign ----

// The options have everything but the kernels.
using MakeEngine = std::function<Result<std::unique_ptr<runtime::Engine>>(
    const snapshot::ImageView& image, runtime::EngineOptions options)>;

// Does not move: the engine refers to the image. Members in order of dependence.
struct WorkerModel {
    snapshot::ImageView image;
    Mapping kv_memory;
    Mapping kv_table;  // What its pages hold.
    uint32_t sequences_max = 0;
    kernels::KvType kv_type = kernels::KvType::kF16;
    uint32_t pages_total = 0;
    uint32_t threads = 1;
    bool speculation = true;
    std::unique_ptr<runtime::Engine> engine = nullptr;

    // `descriptors`: latches, KV memory, its table, then the extents in order.
    static Result<std::unique_ptr<WorkerModel>> open(const AssignFrame& assign,
                                                     std::vector<UniqueFd> descriptors,
                                                     const MakeEngine& make_engine);
    AssignedFrame description() const;
};

// ---- The reader's half ----

// Frames to rekindled, in one write; kCancelled when it is gone.
using SendFrames = std::function<Result<void>(std::span<const Frame>)>;

struct StartSequence {
    SubmitFrame submit;
    std::vector<runtime::TokenId> prompt;
    uint32_t tokens_max = 0;
    uint32_t lease = 0;
};

// The draft model is there; its engine outlives the batch.
struct AttachDraft {
    runtime::Engine* engine = nullptr;
};

using EngineCommand = std::variant<StartSequence, LeaseFrame, CancelFrame, CoresFrame, AttachDraft>;

class PromptReader {
public:
    // `push` hands a command to the engine's half.
    PromptReader(const WorkerModel& model, SendFrames send, std::function<void(EngineCommand)> push)
        : model_(model), send_(std::move(send)), push_(std::move(push)) {}

    // Opens the tables, waiting for their chunks; before the first Submit is handled.
    Result<void> open_tables();

    bool tables_open() const noexcept { return prompts_ != nullptr; }

    const runtime::Tokenizer& tokenizer() const noexcept { return prompts_->tokenizer(); }

    // One frame from rekindled; kCorrupt for what a serving worker never gets.
    Result<void> handle(Frame frame);

private:
    Result<void> on_submit(SubmitFrame submit);
    void on_go(const GoFrame& go);
    Result<uint32_t> completion_limit(const SubmitFrame& submit, size_t prompt_tokens) const;

    struct WaitingPrompt {
        SubmitFrame submit;
        std::vector<runtime::TokenId> tokens;
        uint32_t tokens_max = 0;
    };

    const WorkerModel& model_;
    const SendFrames send_;
    const std::function<void(EngineCommand)> push_;
    std::unique_ptr<PromptBuilder> prompts_;
    std::unordered_map<uint64_t, WaitingPrompt> waiting_;
};

// ---- The engine's half ----

class BatchRunner {
public:
    BatchRunner(const WorkerModel& model, const runtime::Tokenizer& tokenizer, const Clock& clock,
                SendFrames send);

    void apply(EngineCommand command);

    // True when step() would compute something.
    bool runnable() const noexcept { return batcher_.runnable(); }

    bool empty() const noexcept { return batcher_.empty(); }

    // Without a step: sequences that left change what is in use.
    void tell_load();
    // One step of the batch, and its frames. After an error, which rekindled was told, nothing more
    // can be computed.
    Result<void> step();

private:
    void start(StartSequence start);
    StepFrame load() const;
    // Appends what the first use of the model's parts was like, once all of them were used.
    void add_first_pass(std::vector<Frame>& frames);

    const WorkerModel& model_;
    const Clock& clock_;
    const SendFrames send_;
    scheduler::Batcher batcher_;
    WorkerAnswers answers_;
    uint32_t pages_told_ = 0;  // In use, as rekindled was last told.
    bool first_pass_told_ = false;
};

}  // namespace rekindle::daemon
