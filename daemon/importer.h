// rekindled's side of an import: starts the confined importer process on a model file, checks every
// record that comes back, and hands the chunks to a sink. rekindled itself never looks into the
// file. Invariant: when run_importer() returns, the process is gone and reaped. Threading:
// blocking, on a compute thread, which must not end before it returns (the importer is killed with
// the thread that started it).
#pragma once
#include "base/result.h"
#include "base/unique_fd.h"
#include "base/units.h"
#include "snapshot/view/image_writer.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

namespace rekindle::daemon {

struct ImporterOptions {
    std::string executable;  // rekindle-worker
    // Beside the mapping of the source. A vocabulary of 262,144 tokens takes about 100 MiB.
    uint64_t memory_bytes_max = 2 * kGiB;
    // The index alone, of the image that would be made: no chunk is.
    bool plan_only = false;
    // Without any record. A tensor's records come every few megabytes; only a hang is silent.
    std::chrono::milliseconds silence_max = std::chrono::seconds(120);
};

struct ImportOutcome {
    // Without chunk digests (docs/formats/image.md). Of a plan: architecture, bytes,
    // hyperparameters, and the tensors' names.
    std::string index_json;
    uint64_t image_bytes = 0;
};

using ImportProgressSink = std::function<void(uint64_t done, uint64_t total)>;

// `source` is a readable descriptor of a regular file, whose length is taken now. Errors: the
// importer's own; the sink's; kInvalidArgument for what is no file; kCancelled soon after
// `cancelled` is set; kDeadline; kConflict when the file was changed meanwhile; kCorrupt when the
// importer died or sent nonsense.
Result<ImportOutcome> run_importer(const ImporterOptions& options, UniqueFd source,
                                   const snapshot::ChunkSink& sink,
                                   const ImportProgressSink& on_progress,
                                   const std::atomic<bool>& cancelled);

}  // namespace rekindle::daemon
