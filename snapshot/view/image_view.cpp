#include "snapshot/view/image_view.h"

#include "base/units.h"
#include "snapshot/view/address_space.h"
#include "snapshot/view/latches.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <sys/mman.h>

namespace rekindle::snapshot {

struct ImageView::State {
    ImageLayout layout;
    Mapping mapping;                    // Empty for a view over memory.
    Mapping latch_mapping;              // Empty for a view over memory.
    std::span<const std::byte> space;   // [layout.bytes]
    std::span<const uint32_t> latches;  // [layout.chunks.size()], or empty: all are ready.
};

namespace {

Result<void> map_extent(const ExtentFile& extent, std::byte* place) {
    auto on_file = file_bytes(extent.fd.get());
    if (!on_file) {
        return std::move(on_file).error();
    }
    // A shorter file would raise SIGBUS at the first touch beyond its end.
    if (*on_file < extent.bytes) {
        return Error{ErrorCode::kTruncated,
                     fmt::format("extent: the memory file has {} bytes, {} were announced",
                                 *on_file, extent.bytes)};
    }
    void* const mapped =
        ::mmap(place, extent.bytes, PROT_READ, MAP_SHARED | MAP_FIXED, extent.fd.get(), 0);
    if (mapped == MAP_FAILED) {
        return errno_error("map an extent", errno);
    }
    return {};
}

Result<Mapping> map_extents(const ImageLayout& layout, const std::vector<ExtentFile>& extents) {
    uint64_t total = 0;
    for (const ExtentFile& extent : extents) {
        if (extent.bytes == 0 || extent.bytes % kPageBytes != 0 ||
            extent.bytes > layout.bytes - total) {
            return Error{ErrorCode::kInvalidArgument,
                         fmt::format("extent of {} bytes does not fit an image of {} bytes",
                                     extent.bytes, layout.bytes)};
        }
        total += extent.bytes;
    }
    if (total != layout.bytes) {
        return Error{ErrorCode::kInvalidArgument,
                     fmt::format("extents hold {} bytes, the image has {}", total, layout.bytes)};
    }
    auto mapping = reserve_address_space(total);
    if (!mapping) {
        return mapping;
    }
    std::byte* place = mapping->data();
    for (const ExtentFile& extent : extents) {
        auto mapped = map_extent(extent, place);
        if (!mapped) {
            return std::move(mapped).error();
        }
        place += extent.bytes;
    }
    // Lets faults map whole huge pages where the extents have them; without them nothing changes.
    ::madvise(mapping->data(), mapping->bytes(), MADV_HUGEPAGE);
    return mapping;
}

Result<Mapping> map_latches(const ImageLayout& layout, const UniqueFd& fd) {
    const uint64_t wanted = layout.chunks.size() * kLatchBytes;
    auto on_file = file_bytes(fd.get());
    if (!on_file) {
        return std::move(on_file).error();
    }
    if (*on_file < wanted) {
        return Error{ErrorCode::kTruncated,
                     fmt::format("latches: the memory file has {} bytes, {} chunks need {}",
                                 *on_file, layout.chunks.size(), wanted)};
    }
    return Mapping::read_only(fd.get(), wanted);
}

// Index of the chunk that holds `offset`, which must lie inside the image.
size_t chunk_at(const ImageLayout& layout, uint64_t offset) noexcept {
    const auto after = std::ranges::upper_bound(layout.chunks, offset, {}, &ChunkRange::offset);
    return static_cast<size_t>(after - layout.chunks.begin()) - 1;
}

bool inside(const ImageLayout& layout, uint64_t offset, uint64_t bytes) noexcept {
    return offset <= layout.bytes && bytes <= layout.bytes - offset;
}

}  // namespace

ImageView::ImageView(std::unique_ptr<State> state) : state_(std::move(state)) {}

ImageView::ImageView(ImageView&&) noexcept = default;
ImageView& ImageView::operator=(ImageView&&) noexcept = default;
ImageView::~ImageView() = default;

Result<ImageView> ImageView::open(std::string_view index_json, std::vector<ExtentFile> extents,
                                  UniqueFd latches) {
    auto layout = ImageLayout::parse(index_json);
    if (!layout) {
        return std::move(layout).error();
    }
    auto state = std::make_unique<State>();
    state->layout = std::move(layout).value();
    auto mapping = map_extents(state->layout, extents);
    if (!mapping) {
        return std::move(mapping).error().with_context("open image");
    }
    auto latch_mapping = map_latches(state->layout, latches);
    if (!latch_mapping) {
        return std::move(latch_mapping).error().with_context("open image");
    }
    state->mapping = std::move(mapping).value();
    state->latch_mapping = std::move(latch_mapping).value();
    state->space = state->mapping.span();
    state->latches = {reinterpret_cast<const uint32_t*>(state->latch_mapping.data()),
                      state->layout.chunks.size()};
    return ImageView(std::move(state));
}

Result<ImageView> ImageView::over_memory(std::string_view index_json,
                                         std::span<const std::byte> space) {
    auto layout = ImageLayout::parse(index_json);
    if (!layout) {
        return std::move(layout).error();
    }
    if (space.size() != layout->bytes) {
        return Error{ErrorCode::kInvalidArgument,
                     fmt::format("open image: {} bytes are given, the image has {}", space.size(),
                                 layout->bytes)};
    }
    auto state = std::make_unique<State>();
    state->layout = std::move(layout).value();
    state->space = space;
    return ImageView(std::move(state));
}

const ImageLayout& ImageView::layout() const noexcept {
    return state_->layout;
}

Result<std::span<const std::byte>> ImageView::wait(uint64_t offset, uint64_t bytes) const {
    const ImageLayout& layout = state_->layout;
    if (!inside(layout, offset, bytes)) {
        return Error{ErrorCode::kInvalidArgument,
                     fmt::format("image: [{}, +{}) is outside of its {} bytes", offset, bytes,
                                 layout.bytes)};
    }
    const auto wanted = state_->space.subspan(offset, bytes);
    if (bytes == 0 || state_->latches.empty()) {
        return wanted;
    }
    const size_t last = chunk_at(layout, offset + bytes - 1);
    for (size_t chunk = chunk_at(layout, offset); chunk <= last; ++chunk) {
        if (wait_latch(state_->latches[chunk]) != Latch::kReady) {
            return Error{ErrorCode::kUnavailable,
                         fmt::format("image: chunk {} of {} could not be restored", chunk,
                                     layout.chunks.size())};
        }
    }
    return wanted;
}

bool ImageView::ready(uint64_t offset, uint64_t bytes) const noexcept {
    const ImageLayout& layout = state_->layout;
    if (!inside(layout, offset, bytes) || bytes == 0 || state_->latches.empty()) {
        return true;  // wait() answers at once.
    }
    const size_t last = chunk_at(layout, offset + bytes - 1);
    for (size_t chunk = chunk_at(layout, offset); chunk <= last; ++chunk) {
        const Latch latch = load_latch(state_->latches[chunk]);
        if (latch != Latch::kReady) {
            return latch == Latch::kFailed;  // wait() answers with the error at once.
        }
    }
    return true;
}

}  // namespace rekindle::snapshot
