#include "daemon/worker_core.h"

#include "base/hash.h"
#include "base/log.h"
#include "base/units.h"
#include "base/version.h"
#include "kernels/kernel_table.h"
#include "runtime/kv_pages.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <sys/mman.h>
#include <utility>

namespace rekindle::daemon {
namespace {

// A context that somebody asked for is had in full or not at all.
Result<void> check_context(const AssignFrame& assign, uint32_t of_model, uint64_t of_memory) {
    if (assign.context_max > of_model) {
        return Error{ErrorCode::kInvalidArgument,
                     fmt::format("runtime.context: {} tokens are longer than the model's own "
                                 "context of {}: lower it, or leave it out",
                                 assign.context_max, of_model)};
    }
    if (assign.context_max > of_memory) {
        return Error{ErrorCode::kInvalidArgument,
                     fmt::format("runtime.context: {} tokens do not fit into {} of KV memory, "
                                 "which holds {}: raise runtime.kv or lower the context",
                                 assign.context_max, format_bytes(assign.kv_bytes), of_memory)};
    }
    return {};
}

// Prompts that are tokenized and wait for Go; bounded by rekindled's own queue limit, and here
// against a broken peer.
constexpr size_t kWaitingMax = 4096;

static_assert(kCachedTokensUnit == kernels::kPageTokens);
static_assert(kStepSampledMax == scheduler::kDraftTokensMax + 1);

uint32_t whole_microseconds(Nanoseconds time) {
    const auto us = std::chrono::duration_cast<std::chrono::microseconds>(time).count();
    return static_cast<uint32_t>(std::clamp<int64_t>(us, 0, UINT32_MAX));
}

std::vector<runtime::LogitBias> to_logit_bias(const std::vector<TokenBias>& entries) {
    std::vector<runtime::LogitBias> out;
    out.reserve(entries.size());
    for (const TokenBias& entry : entries) {
        out.push_back({entry.token, entry.bias});
    }
    return out;
}

constexpr size_t kFixedDescriptors = 3;  // Latches, KV memory, its table; then extents in order.

// What keys and values depend on beside the kernels: the weights, and how this build computes.
Sha256Digest kv_owner(const AssignFrame& assign) {
    return sha256(as_bytes(fmt::format("{}\n{}", version(), assign.index_json)));
}

Result<std::unique_ptr<WorkerModel>> open_files(const AssignFrame& assign,
                                                std::vector<UniqueFd> descriptors) {
    if (descriptors.size() != kFixedDescriptors + assign.extent_bytes.size()) {
        return Error{ErrorCode::kCorrupt,
                     fmt::format("assign: {} descriptors for {} extents", descriptors.size(),
                                 assign.extent_bytes.size())};
    }
    auto kv_memory = Mapping::read_write(descriptors[1].get(), assign.kv_bytes);
    if (!kv_memory) {
        return std::move(kv_memory).error().with_context("KV memory");
    }
    // A page fault for each 2 MiB instead of 4 KiB; a system without huge pages refuses.
    ::madvise(kv_memory->data(), kv_memory->bytes(), MADV_HUGEPAGE);
    auto kv_table = Mapping::read_write(descriptors[2].get(), assign.kv_table_bytes);
    if (!kv_table) {
        return std::move(kv_table).error().with_context("table of KV memory");
    }
    std::vector<snapshot::ExtentFile> extents;
    for (size_t i = 0; i < assign.extent_bytes.size(); ++i) {
        extents.push_back({std::move(descriptors[kFixedDescriptors + i]), assign.extent_bytes[i]});
    }
    auto image =
        snapshot::ImageView::open(assign.index_json, std::move(extents), std::move(descriptors[0]));
    if (!image) {
        return image.error();
    }
    return std::make_unique<WorkerModel>(WorkerModel{.image = std::move(image).value(),
                                                     .kv_memory = std::move(kv_memory).value(),
                                                     .kv_table = std::move(kv_table).value(),
                                                     .sequences_max = assign.sequences_max,
                                                     .kv_type = assign.kv_type,
                                                     .threads = std::max(1U, assign.threads),
                                                     .speculation = assign.speculation});
}

}  // namespace

Result<std::unique_ptr<WorkerModel>> WorkerModel::open(const AssignFrame& assign,
                                                       std::vector<UniqueFd> descriptors,
                                                       const MakeEngine& make_engine) {
    auto model = open_files(assign, std::move(descriptors));
    if (!model) {
        return model;
    }
    const snapshot::ImageView& image = (*model)->image;
    Mapping& memory = (*model)->kv_memory;
    const snapshot::Hyperparameters& facts = image.layout().hyperparameters;
    const uint64_t page_bytes = runtime::kv_page_bytes(facts, assign.kv_type);
    (*model)->pages_total = static_cast<uint32_t>(memory.bytes() / page_bytes);
    const uint64_t positions = uint64_t{(*model)->pages_total} * kernels::kPageTokens;
    const auto fits = check_context(assign, facts.context, positions);
    if (!fits) {
        return fits.error();
    }
    auto engine = make_engine(
        image, runtime::EngineOptions{.threads = std::max(1U, assign.threads),
                                      .context_max = assign.context_max,
                                      .kv_type = assign.kv_type,
                                      .kv_pages = (*model)->pages_total,
                                      .kv_memory = memory.span(),
                                      .kv_table = snapshot::KvTable((*model)->kv_table.span()),
                                      .kv_owner = kv_owner(assign)});
    if (!engine) {
        return engine.error();
    }
    (*model)->engine = std::move(engine).value();
    return model;
}

AssignedFrame WorkerModel::description() const {
    return AssignedFrame{.code = ErrorCode::kInternal,
                         .error = {},
                         .context_max = engine->context_max(),
                         .vocabulary = engine->vocabulary(),
                         .has_template = image.layout().chat_template.bytes > 0};
}

Result<void> PromptReader::open_tables() {
    auto prompts = PromptBuilder::create(model_.image);
    if (!prompts) {
        return prompts.error();
    }
    prompts_ = std::move(prompts).value();
    return {};
}

Result<void> PromptReader::handle(Frame frame) {
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
        push_(*lease);
        return {};
    }
    if (const auto* cores = std::get_if<CoresFrame>(&frame)) {
        push_(*cores);
        return {};
    }
    if (const auto* cancel = std::get_if<CancelFrame>(&frame)) {
        if (waiting_.erase(cancel->id) == 0) {
            push_(*cancel);
        }
        return {};
    }
    return Error{ErrorCode::kCorrupt, "rekindled sent a frame that a serving worker never gets"};
}

Result<uint32_t> PromptReader::completion_limit(const SubmitFrame& submit,
                                                size_t prompt_tokens) const {
    const uint32_t context = model_.engine->context_max();
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
    if (submit.tokens_max == 0) {
        return submit.tokens_cap == 0 ? room : std::min(room, submit.tokens_cap);
    }
    return submit.tokens_max;
}

Result<void> PromptReader::on_submit(SubmitFrame submit) {
    REKINDLE_CHECK(tables_open(), "the tables are opened before the first Submit");
    TokenizedFrame reply{.id = submit.id};
    const auto answer = [&]() -> Result<void> {
        const Frame frame(reply);
        return send_(std::span(&frame, 1));
    };
    const auto refuse = [&](const Error& error) {
        reply.code = error.code;
        reply.error = error.message;
        return answer();
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
    if (!needs_prompt_logprobs(submit)) {
        reply.cached_tokens = model_.engine->kv_pool().cached_tokens({submit.salt, *tokens});
    }
    const uint64_t id = submit.id;
    waiting_.emplace(id, WaitingPrompt{std::move(submit), std::move(tokens).value(), *tokens_max});
    return answer();
}

void PromptReader::on_go(const GoFrame& go) {
    auto node = waiting_.extract(go.id);
    if (node.empty()) {
        return;  // Cancelled in the meantime.
    }
    WaitingPrompt& waiting = node.mapped();
    push_(StartSequence{std::move(waiting.submit), std::move(waiting.tokens), waiting.tokens_max,
                        go.lease});
}

BatchRunner::BatchRunner(const WorkerModel& model, const runtime::Tokenizer& tokenizer,
                         const Clock& clock, SendFrames send)
    : model_(model),
      clock_(clock),
      send_(std::move(send)),
      batcher_(
          *model.engine,
          scheduler::BatcherLimits{
              .sequences_max = model.sequences_max,
              .speculation = model.speculation ? scheduler::SpeculationMode::kAuto
                                               : scheduler::SpeculationMode::kOff,
              .clock = &clock,
              .is_end = [&tokenizer](runtime::TokenId token) { return tokenizer.is_end(token); }}),
      answers_(tokenizer, clock, *model.engine) {}

void BatchRunner::apply(EngineCommand command) {
    if (auto* start = std::get_if<StartSequence>(&command)) {
        this->start(std::move(*start));
    } else if (const auto* lease = std::get_if<LeaseFrame>(&command)) {
        batcher_.grant(lease->id, lease->tokens);
    } else if (const auto* cancel = std::get_if<CancelFrame>(&command)) {
        batcher_.cancel(cancel->id);
        answers_.drop(cancel->id);
    } else if (const auto* cores = std::get_if<CoresFrame>(&command)) {
        model_.engine->set_threads(std::max(1U, cores->threads));
    } else if (const auto* draft = std::get_if<AttachDraft>(&command)) {
        const auto attached = batcher_.attach_draft(*draft->engine);
        REKINDLE_CHECK(attached.ok(), "a draft model was compared when it was opened");
    }
}

void BatchRunner::start(StartSequence start) {
    const uint64_t id = start.submit.id;
    answers_.begin(start.submit, start.prompt);
    const auto submitted = batcher_.submit(scheduler::SequenceRequest{
        .id = id,
        .prompt = std::move(start.prompt),
        .tokens_max = start.tokens_max,
        .lease = start.lease,
        .sampling = {.temperature = start.submit.temperature,
                     .top_p = start.submit.top_p,
                     .top_k = start.submit.top_k,
                     .min_p = start.submit.min_p,
                     .seed = start.submit.seed,
                     .repetition_penalty = start.submit.repetition_penalty,
                     .presence_penalty = start.submit.presence_penalty,
                     .frequency_penalty = start.submit.frequency_penalty,
                     .logit_bias = to_logit_bias(start.submit.logit_bias)},
        .top_logprobs = start.submit.top_logprobs,
        .want_logprobs = start.submit.want_logprobs,
        .ignore_eos = start.submit.ignore_eos,
        .prompt_logprobs = needs_prompt_logprobs(start.submit),
        .salt = start.submit.salt});
    if (!submitted) {
        answers_.drop(id);
        // A second Tokenized with an error is how a worker refuses after Go.
        const Frame refusal(TokenizedFrame{
            .id = id, .code = submitted.error().code, .error = submitted.error().message});
        const auto sent = send_(std::span(&refusal, 1));
        static_cast<void>(sent);  // A closed channel is noticed by the reader.
    }
}

StepFrame BatchRunner::load() const {
    return {.waiting = batcher_.waiting(),
            .pages_used = model_.pages_total - model_.engine->free_pages(),
            .pages_total = model_.pages_total};
}

void BatchRunner::add_first_pass(std::vector<Frame>& frames) {
    const auto parts = model_.engine->first_pass();
    if (parts.empty() || std::exchange(first_pass_told_, true)) {
        return;
    }
    const auto ns = [](Nanoseconds moment) { return static_cast<uint64_t>(moment.count()); };
    FirstPassFrame pass;
    for (const runtime::PartTimes& part : parts) {
        pass.parts.push_back({.offset = part.offset,
                              .bytes = part.bytes,
                              .asked_ns = ns(part.asked),
                              .there_ns = ns(part.there),
                              .ended_ns = ns(part.ended)});
    }
    frames.emplace_back(std::move(pass));
}

void BatchRunner::tell_load() {
    const StepFrame now = load();
    if (now.pages_used != pages_told_) {
        pages_told_ = now.pages_used;
        const Frame frame(now);
        const auto sent = send_(std::span(&frame, 1));
        static_cast<void>(sent);  // A closed channel is noticed by the reader.
    }
}

Result<void> BatchRunner::step() {
    std::vector<scheduler::TokenEvent> events;
    const Nanoseconds begun = clock_.monotonic();
    const Nanoseconds waited = model_.engine->waited();
    const auto stepped = batcher_.step(events);
    if (!stepped) {
        // A worker with a bad image is of no more use.
        log_error("worker_failed", {{"reason", stepped.error().message}});
        const Frame failed(FailedFrame{stepped.error().code, stepped.error().message});
        const auto sent = send_(std::span(&failed, 1));
        static_cast<void>(sent);
        return stepped;
    }
    const uint32_t step_us = whole_microseconds(clock_.monotonic() - begun);
    const uint32_t wait_us =
        std::min(whole_microseconds(model_.engine->waited() - waited), step_us);
    std::vector<uint64_t> cancelled;
    std::vector<Frame> frames;
    add_first_pass(frames);
    answers_.add_frames(events, frames, cancelled);
    for (const uint64_t id : cancelled) {
        batcher_.cancel(id);
    }
    StepFrame step = load();
    pages_told_ = step.pages_used;
    step.step_us = step_us;
    step.wait_us = wait_us;
    const scheduler::StepWork& work = batcher_.last_step();
    step.sequences = work.sequences;
    step.tokens = work.tokens;
    step.drafts = work.drafts;
    step.draft_tokens = work.draft_tokens;
    step.draft_accepted = work.draft_accepted;
    step.model_tokens = work.model_tokens;
    step.model_accepted = work.model_accepted;
    step.model_rows = work.model_rows;
    step.model_us = std::min(whole_microseconds(work.model_time), step_us);
    frames.emplace_back(step);
    const auto sent = send_(frames);
    static_cast<void>(sent);  // A closed channel is noticed by the reader.
    return {};
}

}  // namespace rekindle::daemon
