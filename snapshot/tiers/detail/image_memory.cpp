#include "snapshot/tiers/detail/image_memory.h"

#include "base/units.h"
#include "snapshot/view/address_space.h"
#include "snapshot/view/latches.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <sys/mman.h>

namespace rekindle::snapshot {
namespace {

// One message carries at most 253 descriptors (SCM_MAX_FD), and a worker may be sent two images.
constexpr uint64_t kExtentsMax = 120;
constexpr uint64_t kHugePageBytes = 2 * kMiB;

// After this, nobody (we neither) can resize the file, map it writable anew, write() to it or punch
// holes; the mapping that exists stays writable.
Result<void> seal(const UniqueFd& fd) {
    constexpr int kSeals = F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;
    if (::fcntl(fd.get(), F_ADD_SEALS, kSeals) != 0) {
        return errno_error("seal a memory file", errno);
    }
    return {};
}

uint64_t latch_file_bytes(size_t chunks) noexcept {
    return align_up(std::max<uint64_t>(chunks, 1) * kLatchBytes, kPageBytes);
}

}  // namespace

uint64_t ImageMemory::total_bytes(uint64_t image_bytes, size_t chunks) noexcept {
    return image_bytes + latch_file_bytes(chunks);
}

Result<ImageMemory> ImageMemory::allocate(uint64_t image_bytes, size_t chunks,
                                          uint64_t extent_bytes) {
    ImageMemory memory;
    auto space = reserve_address_space(image_bytes);
    if (!space) {
        return std::move(space).error();
    }
    memory.space_ = std::move(space).value();
    const uint64_t least = (image_bytes + kExtentsMax - 1) / kExtentsMax;
    const uint64_t step = least > extent_bytes ? align_up(least, kHugePageBytes) : extent_bytes;
    for (uint64_t offset = 0; offset < image_bytes; offset += step) {
        auto added = memory.add_extent(offset, std::min(step, image_bytes - offset));
        if (!added) {
            return std::move(added).error();
        }
    }
    // Where the system allows huge pages on advice: 2.5 times the read rate into fresh memory, and
    // a worker's first touch costs a tenth. Elsewhere the advice is refused and nothing changes.
    ::madvise(memory.space_.data(), memory.space_.bytes(), MADV_HUGEPAGE);
    auto latched = memory.add_latches(chunks);
    if (!latched) {
        return std::move(latched).error();
    }
    return memory;
}

Result<void> ImageMemory::add_extent(uint64_t offset, uint64_t bytes) {
    auto fd = create_memory_file("rekindle-extent", bytes);
    if (!fd) {
        return std::move(fd).error();
    }
    void* const mapped = ::mmap(space_.data() + offset, bytes, PROT_READ | PROT_WRITE,
                                MAP_SHARED | MAP_FIXED, fd->get(), 0);
    if (mapped == MAP_FAILED) {
        return errno_error("map an extent", errno);
    }
    auto sealed = seal(*fd);
    if (!sealed) {
        return sealed;
    }
    extents_.push_back({.fd = std::move(fd).value(), .bytes = bytes});
    return {};
}

Result<void> ImageMemory::add_latches(size_t chunks) {
    const uint64_t bytes = latch_file_bytes(chunks);
    auto fd = create_memory_file("rekindle-latches", bytes);
    if (!fd) {
        return std::move(fd).error();
    }
    auto mapping = Mapping::read_write(fd->get(), bytes);
    if (!mapping) {
        return std::move(mapping).error();
    }
    auto sealed = seal(*fd);
    if (!sealed) {
        return sealed;
    }
    latch_fd_ = std::move(fd).value();
    latch_mapping_ = std::move(mapping).value();
    latches_ = {reinterpret_cast<uint32_t*>(latch_mapping_.data()), chunks};
    return {};
}

Result<ResidentImage::Descriptors> ImageMemory::share() const {
    ResidentImage::Descriptors shared;
    for (const Extent& extent : extents_) {
        auto copy = extent.fd.duplicate();
        if (!copy) {
            return std::move(copy).error();
        }
        shared.extents.push_back(std::move(copy).value());
        shared.extent_bytes.push_back(extent.bytes);
    }
    auto latches = latch_fd_.duplicate();
    if (!latches) {
        return std::move(latches).error();
    }
    shared.latches = std::move(latches).value();
    return shared;
}

}  // namespace rekindle::snapshot
