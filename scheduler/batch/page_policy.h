// Who gets KV pages. Sequences are admitted in order of arrival when their tokens fit with room for
// everybody to grow; pages are then taken as answers get longer. When the pool runs dry, the newest
// sequence gives its pages up and is computed again later: its tokens do not change by that,
// because a row's bits depend on neither chunking nor company. Invariant: the oldest sequence that
// may sample always gets its pages, so the batch never deadlocks. Threading: the engine thread.
#pragma once
#include "runtime/engine.h"
#include "scheduler/batch/sequence.h"

#include <cstdint>
#include <memory>
#include <span>

namespace rekindle::scheduler {

class PagePolicy {
public:
    PagePolicy(runtime::Engine& engine, bool prefix_cache)
        : engine_(engine), prefix_cache_(prefix_cache) {}

    // Reserves pages for the tokens of `candidate` if it may join `running`, those that are in the
    // prefix cache first; false: it must wait.
    bool admit(Sequence& candidate, std::span<const std::unique_ptr<Sequence>> running);

    // Reserves pages for the planned tokens of `sequence`. Takes pages away from others (those out
    // of lease first, then the newer ones, newest first): their planned becomes 0 and their KV
    // empty. False when that is not enough.
    bool grow(Sequence& sequence, std::span<const std::unique_ptr<Sequence>> running);

    // Reserves pages for the guesses of `sequence` beside its planned token, as far as there are
    // free ones: drops guesses for which there are none.
    void grow_for_drafts(Sequence& sequence);

    // Goes on with pages that others have published since, if there are such.
    void adopt(Sequence& sequence);
    // After a step, when every position was verified: the pages that it filled are there for
    // others.
    void publish(Sequence& sequence);

private:
    uint32_t growth(const Sequence& sequence) const noexcept;

    runtime::Engine& engine_;
    const bool prefix_cache_;
};

}  // namespace rekindle::scheduler
