// The draft model of a worker: a second image and engine beside the model's, with KV pages of its
// own, which guesses tokens for the batch. It computes on the model's threads, never at the same
// time. Threading: opened on the reader's thread, used on the engine's. Lifetime: the model
// outlives it.
#pragma once
#include "base/result.h"
#include "base/unique_fd.h"
#include "daemon/frames.h"
#include "daemon/worker_core.h"
#include "runtime/engine.h"
#include "runtime/tokenizer/tokenizer.h"
#include "snapshot/view/image_view.h"

#include <memory>
#include <vector>

namespace rekindle::daemon {

// Does not move: the engine refers to the image. Members in order of dependence.
struct WorkerDraft {
    snapshot::ImageView image;
    Mapping kv_memory;
    std::unique_ptr<runtime::Engine> engine = nullptr;

    // `descriptors`: latches, KV memory, then the extents in order. kInvalidArgument when it has
    // another vocabulary than `model`, whose tables are there.
    static Result<std::unique_ptr<WorkerDraft>> open(const AssignDraftFrame& assign,
                                                     std::vector<UniqueFd> descriptors,
                                                     const WorkerModel& model,
                                                     const MakeEngine& make_engine);
};

// A guess is a token's id: kInvalidArgument, naming the first id that means something else to
// `draft` than to `model`.
Result<void> check_same_tokens(const runtime::Tokenizer& model, const runtime::Tokenizer& draft);

}  // namespace rekindle::daemon
