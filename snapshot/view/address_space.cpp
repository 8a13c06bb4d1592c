#include "snapshot/view/address_space.h"

#include "base/units.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstddef>
#include <sys/mman.h>

namespace rekindle::snapshot {
namespace {

constexpr uint64_t kHugePageBytes = 2 * kMiB;  // x86-64 and AArch64 with 4 KiB base pages.

}  // namespace

Result<Mapping> reserve_address_space(uint64_t bytes) {
    bytes = align_up(bytes, kPageBytes);
    const uint64_t reserved = bytes + kHugePageBytes;
    void* const start =
        ::mmap(nullptr, reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (start == MAP_FAILED) {
        return errno_error(fmt::format("reserve {} of address space", format_bytes(bytes)), errno);
    }
    auto* const first = static_cast<std::byte*>(start);
    const auto address = reinterpret_cast<uint64_t>(first);
    const uint64_t head = align_up(address, kHugePageBytes) - address;
    if (head > 0) {
        ::munmap(first, head);
    }
    if (head < kHugePageBytes) {
        ::munmap(first + head + bytes, kHugePageBytes - head);
    }
    return Mapping::adopt(first + head, bytes);
}

}  // namespace rekindle::snapshot
