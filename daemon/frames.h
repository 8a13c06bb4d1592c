// The wire between rekindled and a worker: a Unix stream socket that carries frames of a fixed
// header {u32 type, u32 payload bytes} and a little-endian payload. Descriptors travel with Assign
// and AssignDraft alone. Both sides treat the other as hostile: every length is bounded, every enum
// checked, and a frame that does not parse ends the connection (rekindled kills the worker).
// The conversation: Hello ← worker; Assign → ; Assigned ←; then for each request Submit →,
// Tokenized ←, Go or Refuse →, Tokens ← …, with Lease → to continue and Cancel → to stop.
// AssignDraft → may come at any time after Assign, once; DraftAssigned ← answers it.
// A worker that is to be measured gets Bench → in place of requests, and answers each with Benched
// ←.
#pragma once
#include "base/bytes.h"
#include "base/result.h"
#include "kernels/kv_type.h"

#include <array>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

namespace rekindle::daemon {

inline constexpr uint32_t kFrameBytesMax = 96U << 20;  // An index of 64 MiB, or a large prompt.
inline constexpr uint32_t kFrameHeaderBytes = 8;
inline constexpr uint32_t kTopLogprobsMax = 20;
// Raised with every change of a frame: daemon and worker of different builds refuse each other.
inline constexpr uint32_t kWireProtocol = 10;

// Worker → rekindled, once, when the sandbox is entered and the worker is ready for work.
struct HelloFrame {
    uint32_t protocol = kWireProtocol;
    std::string kernels;  // Name of the kernel table.
};

// rekindled → worker, once. Descriptors: latches, KV memory, its table (snapshot/retained/), then
// the extents in order.
struct AssignFrame {
    std::string model;  // For log lines.
    std::string index_json;
    std::vector<uint64_t> extent_bytes;
    uint64_t kv_bytes = 0;
    uint64_t kv_table_bytes = 0;
    kernels::KvType kv_type = kernels::KvType::kF16;
    uint32_t context_max = 0;  // 0: the model's own.
    uint32_t threads = 1;
    uint32_t sequences_max = 64;
    bool speculation = true;
};

// Worker → rekindled: the image is mapped (not yet whole), or why it can't be served.
struct AssignedFrame {
    ErrorCode code = ErrorCode::kInternal;
    std::string error;  // Empty: success.
    uint32_t context_max = 0;
    uint32_t vocabulary = 0;
    bool has_template = false;
};

// rekindled → worker, once, when the draft model's image is whole: it guesses from now on.
// Descriptors: latches, KV memory, then the extents in order.
struct AssignDraftFrame {
    std::string index_json;
    std::vector<uint64_t> extent_bytes;
    uint64_t kv_bytes = 0;
};

// Worker → rekindled: whether the draft model can guess for the model.
struct DraftAssignedFrame {
    ErrorCode code = ErrorCode::kInternal;
    std::string error;  // Empty: success.
};

inline constexpr uint32_t kLogitBiasMax = 1024;  // Entries; OpenAI's own documents speak of 300.

// A token whose logit a request shifts.
struct TokenBias {
    int32_t token = 0;
    float bias = 0;
};

// A prompt is cached in whole pages.
inline constexpr uint32_t kCachedTokensUnit = 32;

enum class PromptKind : uint8_t { kText = 0, kTokens = 1, kChat = 2 };

struct SubmitFrame {
    uint64_t id = 0;
    PromptKind kind = PromptKind::kText;
    std::string text;             // kText: the prompt; kChat: JSON object of template variables.
    std::vector<int32_t> tokens;  // kTokens
    uint32_t tokens_max = 0;      // 0: up to the context's end, and then
    uint32_t tokens_cap = 0;      // at most so many; 0: no cap.
    float temperature = 1;
    float top_p = 1;
    uint32_t top_k = 0;
    float min_p = 0;
    float repetition_penalty = 1;
    float presence_penalty = 0;
    float frequency_penalty = 0;
    std::vector<TokenBias> logit_bias;  // At most kLogitBiasMax.
    uint64_t seed = 0;
    bool ignore_eos = false;
    bool want_logprobs = false;
    uint8_t top_logprobs = 0;
    bool echo = false;  // Completions: the prompt's own text (and log-probabilities) first.
    std::vector<std::string> stop;
    std::array<uint64_t, 2> salt{};  // The tenant's: only equal salts share cached prefixes.
};

// Log-probabilities of an echoed prompt: all of it must be computed, whatever is cached.
inline bool needs_prompt_logprobs(const SubmitFrame& submit) noexcept {
    return submit.echo && submit.want_logprobs;
}

// Worker → rekindled: the prompt's size is known; or the request can't run.
struct TokenizedFrame {
    uint64_t id = 0;
    ErrorCode code = ErrorCode::kInternal;
    std::string error;  // Empty: success.
    uint32_t prompt_tokens = 0;
    uint32_t cached_tokens = 0;  // Of the prompt; billed so, whatever becomes of the cache.
    uint32_t tokens_max = 0;     // What the request may sample at most.
};

struct GoFrame {
    uint64_t id = 0;
    uint32_t lease = 0;
};

struct RefuseFrame {
    uint64_t id = 0;
};

struct LeaseFrame {
    uint64_t id = 0;
    uint32_t tokens = 0;  // Added to what is left.
};

struct CancelFrame {
    uint64_t id = 0;
};

// rekindled → worker, at any time after Assign: how many of its compute threads may work. Several
// busy models share the node's cores; results don't depend on it.
struct CoresFrame {
    uint32_t threads = 1;
};

struct LogprobItem {
    std::string bytes;  // Of the token; may be part of a code point.
    int32_t token = 0;
    float logprob = 0;             // NaN: none (the first token of an echoed prompt).
    std::vector<LogprobItem> top;  // At most kTopLogprobsMax, without their own `top`.
};

enum class Finish : uint8_t { kNone = 0, kStop = 1, kLength = 2 };

// Tokens that one step samples for one sequence at most: guesses that were right, and one more.
inline constexpr uint32_t kStepSampledMax = 16;

// Worker → rekindled: what one step did for one sequence. `text` is whole UTF-8; a token whose
// bytes are held back (unfinished code point, possible stop string) counts now and its text comes
// later.
struct TokensFrame {
    uint64_t id = 0;
    uint32_t sampled = 0;  // Tokens sampled since the last frame of this id.
    Finish finish = Finish::kNone;
    std::string text;
    std::vector<LogprobItem> logprobs;  // One per sampled token; before them an echoed prompt's.
    std::string matched_stop;           // The stop string that ended it, if one did.
    uint32_t wait_us = 0;               // First frame of an id: time blocked on latches.
    uint32_t prefill_us = 0;            // First frame of an id.
};

// Worker → rekindled: the worker must end (an image chunk failed, a bug); all its requests fail.
struct FailedFrame {
    ErrorCode code = ErrorCode::kInternal;
    std::string error;
};

inline constexpr uint32_t kStepTokensMax = 1U << 20;

// Worker → rekindled, after each step of the batch, and when the last sequence left without one:
// what it did, and what the batch holds now. Never billed by.
struct StepFrame {
    uint32_t step_us = 0;
    uint32_t wait_us = 0;    // Of it, blocked on latches.
    uint32_t sequences = 0;  // Computed; 0: no step was done.
    uint32_t tokens = 0;  // Of prompts and answers; at least `sequences`, at most kStepTokensMax.
    // Speculative decoding: sequences with guesses, guesses (among `tokens`), and those that were
    // right.
    uint32_t drafts = 0;
    uint32_t draft_tokens = 0;
    uint32_t draft_accepted = 0;
    // Of the guesses and the right ones, those of the draft model; tokens that it computed, and how
    // long it took of step_us.
    uint32_t model_tokens = 0;
    uint32_t model_accepted = 0;
    uint32_t model_rows = 0;
    uint32_t model_us = 0;
    uint32_t waiting = 0;  // Sequences that have no place in the batch yet.
    uint32_t pages_used = 0;
    uint32_t pages_total = 0;  // At least pages_used.
};

inline constexpr uint32_t kPartsMax = 1026;  // Embedding, at most 1,024 layers, output head.

// A part of the model and its first use; moments of the monotonic clock, which all processes share.
struct PartItem {
    uint64_t offset = 0;    // What no part before it needed lies in the image space from here
    uint64_t bytes = 0;     // so many bytes.
    uint64_t asked_ns = 0;  // A step asked for its weights,
    uint64_t there_ns = 0;  // had them,
    uint64_t ended_ns = 0;  // and had computed with them.
};

static_assert(sizeof(PartItem) == 5 * sizeof(uint64_t), "goes over the wire as it is");

// Worker → rekindled, once, with the step that used the last part for the first time and before
// that step's Tokens. Told to people, never decided by.
struct FirstPassFrame {
    std::vector<PartItem> parts;  // In order of use; 1 to kPartsMax.
};

inline constexpr uint32_t kBenchBatchMax = 256;        // A step has at least as many tokens.
inline constexpr uint32_t kBenchTokensMax = 1U << 17;  // Of a prompt, and of an answer.

// rekindled → worker that serves nothing: measure one case, and the limits of the machine.
struct BenchFrame {
    uint32_t batch = 1;   // Sequences, 1 to kBenchBatchMax.
    uint32_t prompt = 1;  // Tokens of each, 1 to kBenchTokensMax.
    uint32_t answer = 0;  // Tokens of each, at most kBenchTokensMax; 0: the prompts alone.
    uint64_t seed = 0;    // Of the prompts' tokens.
    bool profile = false;
};

// Prompts or answers of a case: how long they took, and what they asked of the machine.
struct BenchPhaseItem {
    uint64_t nanoseconds = 0;
    uint64_t tokens = 0;
    uint64_t bytes = 0;       // Weights, keys and values that had to be read.
    uint64_t operations = 0;  // Multiplies and adds with weights.
};

inline constexpr uint32_t kBenchOpsMax = 32;
inline constexpr uint32_t kBenchOpNameBytesMax = 32;

struct BenchOpItem {
    std::string name;  // At most kBenchOpNameBytesMax of a-z and '_'.
    uint64_t nanoseconds = 0;
    uint64_t calls = 0;
};

// Worker → rekindled: one case was measured, or why it could not be.
struct BenchedFrame {
    ErrorCode code = ErrorCode::kInternal;
    std::string error;  // Empty: success.
    BenchPhaseItem prefill;
    BenchPhaseItem decode;                 // Zeros for a case without answers.
    uint64_t memory_bytes_per_second = 0;  // What the machine can do: the best so far.
    uint64_t int8_per_second = 0;          // Operations; 0: these kernels have no such limit.
    std::vector<BenchOpItem> ops;          // At most kBenchOpsMax; of the answers if there are any.
};

using Frame = std::variant<HelloFrame, AssignFrame, AssignedFrame, SubmitFrame, TokenizedFrame,
                           GoFrame, RefuseFrame, LeaseFrame, CancelFrame, TokensFrame, FailedFrame,
                           StepFrame, CoresFrame, BenchFrame, BenchedFrame, AssignDraftFrame,
                           DraftAssignedFrame, FirstPassFrame>;

// Header and payload.
std::vector<std::byte> encode_frame(const Frame& frame);

struct FrameHeader {
    uint32_t type = 0;
    uint32_t payload_bytes = 0;
};

// kCorrupt for an unknown type or a length beyond kFrameBytesMax.
Result<FrameHeader> parse_frame_header(std::span<const std::byte> header);
// `payload` has header.payload_bytes bytes. kCorrupt when it does not parse exactly.
Result<Frame> parse_frame(const FrameHeader& header, std::span<const std::byte> payload);

}  // namespace rekindle::daemon
