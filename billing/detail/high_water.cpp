#include "billing/detail/high_water.h"

#include "base/bytes.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <filesystem>
#include <optional>
#include <unistd.h>
#include <utility>

namespace rekindle::billing {
namespace {

constexpr uint64_t kMagic = 0x0000'314D'5748'4B52;  // "RKHWM1"
constexpr size_t kSlotBytes = 64;
constexpr size_t kSlots = 2;

using Slot = std::array<std::byte, kSlotBytes>;

Slot encode_slot(const ChainPoint& point) {
    ByteWriter out;
    out.write(kMagic);
    out.write(point.sequence);
    out.write_span(point.digest);
    out.write(xxh3(out.bytes()));
    Slot slot{};
    std::copy(out.bytes().begin(), out.bytes().end(), slot.begin());
    return slot;
}

std::optional<ChainPoint> decode_slot(const Slot& slot) {
    ByteReader in(slot);
    ChainPoint point;
    const auto magic = in.read<uint64_t>();
    point.sequence = in.read<uint64_t>();
    const auto digest = in.read_span(point.digest.size());
    std::copy(digest.begin(), digest.end(), point.digest.begin());
    if (magic != kMagic || slot != encode_slot(point)) {
        return std::nullopt;
    }
    return point;
}

Result<UniqueFd> open_file(const std::string& path, int flags) {
    UniqueFd fd(::open(path.c_str(), flags | O_CLOEXEC, 0600));
    if (!fd.valid()) {
        return errno_error(path, errno);
    }
    return fd;
}

Result<void> sync_folder(const std::string& path) {
    auto folder =
        open_file(std::filesystem::path(path).parent_path().string(), O_RDONLY | O_DIRECTORY);
    if (!folder) {
        return folder.error();
    }
    if (::fsync(folder->get()) != 0) {
        return errno_error(path, errno);
    }
    return {};
}

struct Newest {
    ChainPoint point;
    uint32_t slot = 0;
};

Result<Newest> read_newest(int fd, const std::string& path) {
    std::optional<Newest> newest;
    for (uint32_t i = 0; i < kSlots; ++i) {
        Slot slot{};
        if (auto got = read_exact_at(fd, slot, i * kSlotBytes); !got) {
            continue;  // A missing slot counts as a torn one.
        }
        const auto point = decode_slot(slot);
        if (point && (!newest || point->sequence > newest->point.sequence)) {
            newest = Newest{*point, i};
        }
    }
    if (!newest) {
        return Error{ErrorCode::kCorrupt, fmt::format("{}: no slot is whole", path)};
    }
    return *newest;
}

}  // namespace

HighWater::HighWater(UniqueFd fd, ChainPoint point, uint32_t next_slot)
    : fd_(std::move(fd)), point_(point), next_slot_(next_slot) {}

Result<void> HighWater::create(const std::string& path) {
    if (std::error_code ec; std::filesystem::exists(path, ec)) {
        return Error{ErrorCode::kAlreadyExists, fmt::format("{}: exists", path)};
    }
    const std::string draft = path + ".new";
    auto fd = open_file(draft, O_WRONLY | O_CREAT | O_TRUNC);
    if (!fd) {
        return fd.error();
    }
    const Slot zero = encode_slot({});
    for (size_t i = 0; i < kSlots; ++i) {
        if (auto put = write_all(fd->get(), zero); !put) {
            return std::move(put).with_context(draft);
        }
    }
    if (::fsync(fd->get()) != 0 || std::rename(draft.c_str(), path.c_str()) != 0) {
        return errno_error(draft, errno);
    }
    return sync_folder(path);
}

Result<HighWater> HighWater::open(const std::string& path) {
    auto fd = open_file(path, O_RDWR);
    if (!fd) {
        return fd.error();
    }
    const auto newest = read_newest(fd->get(), path);
    if (!newest) {
        return newest.error();
    }
    return HighWater(std::move(*fd), newest->point, (newest->slot + 1) % kSlots);
}

Result<ChainPoint> HighWater::read(const std::string& path) {
    const auto fd = open_file(path, O_RDONLY);
    if (!fd) {
        return fd.error();
    }
    const auto newest = read_newest(fd->get(), path);
    if (!newest) {
        return newest.error();
    }
    return newest->point;
}

Result<void> HighWater::write(const ChainPoint& point) {
    const Slot slot = encode_slot(point);
    const auto offset = static_cast<off_t>(next_slot_ * kSlotBytes);
    const ssize_t put = ::pwrite(fd_.get(), slot.data(), slot.size(), offset);
    if (put < 0) {
        return errno_error("high-water mark", errno);
    }
    if (static_cast<size_t>(put) != slot.size()) {
        return Error{ErrorCode::kIo, "high-water mark: a short write"};
    }
    next_slot_ = (next_slot_ + 1) % kSlots;
    point_ = point;
    return {};
}

Result<void> HighWater::sync() {
    if (::fdatasync(fd_.get()) != 0) {
        return errno_error("high-water mark", errno);
    }
    return {};
}

}  // namespace rekindle::billing
