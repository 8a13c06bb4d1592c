#include "snapshot/tiers/detail/image_memory.h"

#include "base/units.h"
#include "snapshot/view/address_space.h"
#include "snapshot/view/latches.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <numeric>
#include <utility>

namespace rekindle::snapshot {
namespace {

uint64_t latch_file_bytes(size_t chunks) noexcept {
    return align_up(std::max<uint64_t>(chunks, 1) * kLatchBytes, kPageBytes);
}

}  // namespace

ImageMemory::Need ImageMemory::need_of(const ExtentPool& pool, uint64_t image_bytes,
                                       size_t chunks) {
    Need need{.extents = pool.sizes_for(image_bytes), .chunks = chunks};
    need.bytes =
        std::accumulate(need.extents.begin(), need.extents.end(), latch_file_bytes(chunks));
    return need;
}

Result<ImageMemory> ImageMemory::allocate(ExtentPool& pool, const Need& need,
                                          uint64_t image_bytes) {
    ImageMemory memory(pool);
    const uint64_t bytes = std::accumulate(need.extents.begin(), need.extents.end(), uint64_t{0});
    auto whole = reserve_address_space(bytes);
    if (!whole) {
        return std::move(whole).error();
    }
    memory.whole_ = std::move(whole).value();
    memory.space_ = memory.whole_.span().first(image_bytes);
    auto extents = pool.take(need.extents);
    if (!extents) {
        return std::move(extents).error();
    }
    auto placed = memory.place(std::move(extents).value(), image_bytes);
    if (!placed) {
        return std::move(placed).error();
    }
    auto latched = memory.add_latches(need.chunks);
    if (!latched) {
        return std::move(latched).error();
    }
    return memory;
}

Result<void> ImageMemory::place(std::vector<Extent> extents, uint64_t image_bytes) {
    uint64_t offset = 0;
    for (Extent& extent : extents) {
        auto moved = move_extent_in(extent, whole_.data() + offset);
        if (!moved) {
            return moved;
        }
        const uint64_t bytes = extent.bytes;
        pieces_.push_back({.extent = std::move(extent),
                           .offset = offset,
                           .used = std::min(bytes, image_bytes - offset)});
        offset += bytes;
    }
    return {};
}

ImageMemory::~ImageMemory() {
    std::vector<Extent> back;
    for (Piece& piece : pieces_) {
        // What cannot be moved is not kept: its memory goes with the address space.
        if (move_extent_out(piece.extent, whole_.data() + piece.offset)) {
            back.push_back(std::move(piece.extent));
        }
    }
    pieces_.clear();
    whole_.reset();
    if (!back.empty()) {
        pool_->give_back(std::move(back));
    }
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
    auto sealed = seal_memory_file(*fd);
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
    for (const Piece& piece : pieces_) {
        auto copy = piece.extent.fd.duplicate();
        if (!copy) {
            return std::move(copy).error();
        }
        shared.extents.push_back(std::move(copy).value());
        shared.extent_bytes.push_back(piece.used);
    }
    auto latches = latch_fd_.duplicate();
    if (!latches) {
        return std::move(latches).error();
    }
    shared.latches = std::move(latches).value();
    return shared;
}

}  // namespace rekindle::snapshot
