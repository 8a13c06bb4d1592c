// From a model file's bytes to an image: hyperparameters checked, tokenizer and chat template
// compiled, weights moved into the layout that kernels read. Runs in the importer process only; the
// bytes are hostile. Invariant: an image is made only of a model that this version can run exactly;
// what is not understood is refused by name, never skipped.
// Threading: one call at a time per sink. Memory: a few chunks beside the tables. Of the file only
// what the image needs is touched, tensors one after the other.
#pragma once
#include "base/result.h"
#include "snapshot/view/image_writer.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>

namespace rekindle::daemon {

// Bytes of the image space made so far, of all.
using ImportProgress = std::function<void(uint64_t done, uint64_t total)>;

// Gives the index without chunk digests (docs/formats/image.md). kUnsupported names architecture,
// tensor type, tensor, tokenizer or template construct; kCorrupt and kTruncated name the field.
Result<std::string> import_gguf(std::span<const std::byte> file, snapshot::ChunkSink sink,
                                const ImportProgress& progress);

// What import_gguf() would make, from the file's metadata alone and with the same refusals: JSON
// with the index's "architecture", "bytes" and "hyperparameters", and the tensors' names.
Result<std::string> plan_gguf(std::span<const std::byte> file);

}  // namespace rekindle::daemon
