#include "scheduler/batch/page_policy.h"

#include <algorithm>

namespace rekindle::scheduler {
namespace {

// Room that each running sequence is left to grow before another one is admitted: 128 tokens. With
// less, an admitted sequence is soon preempted and its prompt computed twice.
constexpr uint32_t kGrowthPages = 4;

uint32_t held_pages(const Sequence& sequence) noexcept {
    return static_cast<uint32_t>(sequence.kv->pages().size());
}

// The one to lose its pages for `sequence`; nullptr when nobody may.
Sequence* find_victim(const Sequence& sequence,
                      std::span<const std::unique_ptr<Sequence>> running) noexcept {
    Sequence* victim = nullptr;
    for (const auto& other : running) {
        const bool idle = other->lease == 0;
        if (other.get() == &sequence || held_pages(*other) == 0 ||
            (!idle && other->arrival < sequence.arrival)) {
            continue;
        }
        const bool victim_idle = victim != nullptr && victim->lease == 0;
        if (victim == nullptr || idle > victim_idle ||
            (idle == victim_idle && other->arrival > victim->arrival)) {
            victim = other.get();
        }
    }
    return victim;
}

}  // namespace

// Pages that the sequence may soon ask for, beyond those it has.
uint32_t PagePolicy::growth(const Sequence& sequence) const noexcept {
    const uint32_t most = runtime::pages_for(sequence.positions_max());
    return std::min(kGrowthPages, most - std::min(most, held_pages(sequence)));
}

bool PagePolicy::admit(Sequence& candidate, std::span<const std::unique_ptr<Sequence>> running) {
    const uint32_t needed = runtime::pages_for(candidate.token_count());
    adopt(candidate);
    if (!running.empty()) {
        uint64_t wanted = needed - held_pages(candidate);
        for (const auto& sequence : running) {
            wanted += growth(*sequence);
        }
        if (wanted > engine_.free_pages()) {
            candidate.kv->release();
            return false;
        }
    }
    const bool reserved = engine_.reserve(*candidate.kv, candidate.token_count()).ok();
    if (!reserved) {
        candidate.kv->release();
    }
    return reserved;
}

// The log-probabilities of a prompt need all of it to be computed.
void PagePolicy::adopt(Sequence& sequence) {
    const runtime::KvSequence& kv = *sequence.kv;
    const bool at_border = kv.length() == kv.published() * runtime::kPageTokens;
    if (prefix_cache_ && at_border && !sequence.wants_prompt_logprobs()) {
        engine_.kv_pool().adopt(*sequence.kv, sequence.text());
    }
}

void PagePolicy::publish(Sequence& sequence) {
    if (prefix_cache_) {
        engine_.kv_pool().publish(*sequence.kv, sequence.text());
    }
}

bool PagePolicy::grow(Sequence& sequence, std::span<const std::unique_ptr<Sequence>> running) {
    const uint32_t positions = sequence.kv->length() + sequence.planned;
    while (!engine_.reserve(*sequence.kv, positions)) {
        Sequence* victim = find_victim(sequence, running);
        if (victim == nullptr) {
            return false;
        }
        victim->planned = 0;
        victim->kv->release();
    }
    return true;
}

void PagePolicy::grow_for_drafts(Sequence& sequence) {
    const uint32_t next = sequence.kv->length() + sequence.planned;
    if (!engine_.reserve(*sequence.kv, next + sequence.drafts())) {
        sequence.draft->taken = std::min(sequence.drafts(), sequence.kv->capacity() - next);
    }
}

}  // namespace rekindle::scheduler
