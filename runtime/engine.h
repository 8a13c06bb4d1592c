// A model, stepped one batch at a time over a paged KV cache. The engine opens lazily: each layer's
// weights are waited for (latches) just before their first use, so loading hides behind computing.
// Threading: every member on the engine thread but kv_pool(); compute runs on the engine's own
// threads.
#pragma once
#include "base/clock.h"
#include "base/result.h"
#include "kernels/kernel_table.h"
#include "runtime/first_pass.h"
#include "runtime/op_profile.h"
#include "runtime/tokenizer/tokenizer.h"
#include "snapshot/retained/kv_table.h"
#include "snapshot/view/image_view.h"

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace rekindle::runtime {

class ThreadPool;

struct EngineOptions {
    const kernels::KernelTable* kernels = nullptr;
    uint32_t threads = 1;
    // The threads of another engine, which outlives this one and never computes at the same time;
    // null: `threads` of its own.
    ThreadPool* pool = nullptr;
    uint32_t context_max = 0;  // Positions per sequence; 0 takes the model's own.
    kernels::KvType kv_type = kernels::KvType::kF16;
    uint32_t kv_pages = 0;  // Pages of kPageTokens positions in the pool.
    std::span<std::byte>
        kv_memory;  // The pool's memory, kv_pages x kv_page_bytes(); 64-byte aligned.
    // Lists what the pages hold, for a later engine over the same memory; empty: nobody keeps it.
    snapshot::KvTable kv_table = {};
    // What keys and values depend on beside the kernels: pages of another owner are forgotten.
    Sha256Digest kv_owner{};
    uint32_t step_tokens_max = 512;  // Tokens in one step, over all entries.
};

// Bytes of one KV page of this model: layers x 2 x kv_heads x kernels::kv_head_bytes().
uint64_t kv_page_bytes(const snapshot::Hyperparameters& hyperparameters,
                       kernels::KvType type) noexcept;

// Who holds which pages, and the texts that rest in them (runtime/kv_pages.h).
class KvPool;
// The pages of one sequence; move-only, gives them back when destroyed.
class KvSequence;

struct StepEntry {
    KvSequence* kv = nullptr;         // Positions 0 .. kv->length() - 1 are filled already.
    std::span<const TokenId> tokens;  // Appended at kv->length(); at least one.
    bool logits_of_last = false;      // Logits of the last token.
    bool logits_of_all = false;       // Logits of every token (tests, prompt log-probabilities).
};

class Engine {
public:
    static Result<std::unique_ptr<Engine>> create(const snapshot::ImageView& image,
                                                  EngineOptions options);
    virtual ~Engine() = default;

    // A sequence without pages yet (runtime/kv_pages.h); the engine outlives it.
    virtual std::unique_ptr<KvSequence> new_sequence() = 0;
    // Pages so that `sequence` can hold `positions`; kResourceExhausted when the pool is empty.
    virtual Result<void> reserve(KvSequence& sequence, uint32_t positions) = 0;
    virtual uint32_t free_pages() const noexcept = 0;
    // Where sequences share pages; may be asked from any thread.
    virtual KvPool& kv_pool() noexcept = 0;
    // Positions that one sequence can have: the least of the model's, the options' and the pool's.
    virtual uint32_t context_max() const noexcept = 0;
    virtual uint32_t vocabulary() const noexcept = 0;
    virtual uint32_t step_tokens_max() const noexcept = 0;
    // Compute threads from the next step on: 1 to EngineOptions::threads; more is taken as that.
    // Never changes a bit of the results.
    virtual void set_threads(uint32_t threads) = 0;
    // For EngineOptions::pool of another engine; null when it has none to share.
    virtual ThreadPool* threads() noexcept = 0;
    // Times the operations of later steps; null (as at first): none. The steps take a little
    // longer.
    virtual void set_profile(OpProfile* profile) = 0;
    // Time that steps spent waiting for weights to arrive, so far.
    virtual Nanoseconds waited() const noexcept = 0;
    // What the first use of each part was like; empty until all have been used, or not recorded.
    virtual std::span<const PartTimes> first_pass() const noexcept { return {}; }

    // Computes all entries in one batch. `logits` gets, in entry order, one pointer per requested
    // row to vocabulary() floats, valid until the next step. kUnavailable when a chunk failed.
    virtual Result<void> step(std::span<const StepEntry> entries,
                              std::vector<const float*>& logits) = 0;
};

}  // namespace rekindle::runtime
