// The importer process: `rekindle-worker --import --parent PID --memory BYTES`, started by
// run_importer() with the model file as descriptor 3 and a pipe as descriptor 4. It maps the file,
// gives up every right, and only then looks at the first byte of it.
// Invariant: ends with exactly one index or error record, unless it is killed.
#pragma once
#include <cstdint>

namespace rekindle::daemon {

inline constexpr int kImporterSourceFd = 3;
inline constexpr int kImporterPipeFd = 4;
inline constexpr uint64_t kImportSourceBytesMin = 24;  // Magic, version and counts of a GGUF file.

// Does not return on success: it ends the process without running destructors.
int importer_main(int argc, char** argv);

}  // namespace rekindle::daemon
