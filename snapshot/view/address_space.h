// Address space into which the extents of one image are mapped one after the other, by rekindled to
// fill them and by workers to read them. Threading: free functions.
#pragma once
#include "base/result.h"
#include "base/unique_fd.h"

#include <cstdint>

namespace rekindle::snapshot {

// `bytes` without memory behind them, starting at a multiple of 2 MiB, so that huge pages of a
// memory file can be mapped as such. Map over it with MAP_FIXED.
Result<Mapping> reserve_address_space(uint64_t bytes);

}  // namespace rekindle::snapshot
