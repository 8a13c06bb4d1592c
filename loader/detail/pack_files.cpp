#include "loader/detail/pack_files.h"

#include "base/log.h"
#include "base/units.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <fcntl.h>
#include <filesystem>
#include <string_view>
#include <sys/uio.h>
#include <system_error>
#include <unistd.h>

namespace rekindle::loader {
namespace {

constexpr std::string_view kSuffix = ".pack";
constexpr std::array<std::byte, kPageBytes> kPadding{};

// 0 when `name` is none of "NNNNNN.pack".
uint32_t pack_number(std::string_view name) {
    if (!name.ends_with(kSuffix)) {
        return 0;
    }
    name.remove_suffix(kSuffix.size());
    uint32_t number = 0;
    const auto read = std::from_chars(name.data(), name.data() + name.size(), number);
    return read.ec == std::errc() && read.ptr == name.data() + name.size() ? number : 0;
}

// Writes `bytes` and the zeros up to the next page at `offset`.
Result<void> write_padded(int fd, std::span<const std::byte> bytes, uint64_t offset) {
    const uint64_t total = align_up(bytes.size(), kPageBytes);
    uint64_t done = 0;
    while (done < total) {
        const bool padding = done >= bytes.size();
        const std::byte* const from = padding ? kPadding.data() : bytes.data() + done;
        const uint64_t wanted = padding ? total - done : bytes.size() - done;
        const ssize_t put = ::pwrite(fd, from, wanted, static_cast<off_t>(offset + done));
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put <= 0) {
            return errno_error("write", put == 0 ? ENOSPC : errno);
        }
        done += static_cast<uint64_t>(put);
    }
    return {};
}

Result<void> sync_folder(const std::string& folder) {
    const UniqueFd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd.valid() || ::fsync(fd.get()) != 0) {
        return errno_error(fmt::format("sync {}", folder), errno);
    }
    return {};
}

}  // namespace

std::string PackFiles::path(uint32_t pack) const {
    return fmt::format("{}/{:06}{}", folder_, pack, kSuffix);
}

Result<std::unique_ptr<PackFiles>> PackFiles::open(const std::string& folder,
                                                   uint64_t pack_bytes_max) {
    std::unique_ptr<PackFiles> packs(new PackFiles(folder, pack_bytes_max));
    std::error_code ec;
    for (std::filesystem::directory_iterator at(folder, ec), end; !ec && at != end;
         at.increment(ec)) {
        const uint32_t number = pack_number(at->path().filename().string());
        if (number == 0) {
            continue;
        }
        auto opened = packs->open_pack(number, /*create=*/false);
        if (!opened) {
            return std::move(opened).error();
        }
    }
    if (ec) {
        return errno_error(fmt::format("list {}", folder), ec.value());
    }
    return packs;
}

Result<void> PackFiles::open_pack(uint32_t number, bool create) {
    const std::string name = path(number);
    Pack pack;
    const int flags = O_RDWR | O_CLOEXEC | (create ? O_CREAT | O_EXCL : 0);
    pack.write = UniqueFd(::open(name.c_str(), flags, 0600));
    if (!pack.write.valid()) {
        return errno_error(fmt::format("open {}", name), errno);
    }
    pack.read = UniqueFd(::open(name.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC));
    pack.direct = pack.read.valid();
    if (!pack.direct) {
        if (!std::exchange(direct_refused_, true)) {
            log_info("direct_reads_refused", {{"file", name}, {"then", "buffered reads"}});
        }
        pack.read = UniqueFd(::open(name.c_str(), O_RDONLY | O_CLOEXEC));
    }
    if (!pack.read.valid()) {
        return errno_error(fmt::format("open {}", name), errno);
    }
    const std::lock_guard lock(mutex_);
    packs_.emplace(number, std::move(pack));
    return {};
}

void PackFiles::claim(uint32_t pack, uint64_t tail) {
    const auto [at, added] = packs_.try_emplace(pack);
    if (added) {
        log_warning("pack_missing", {{"file", path(pack)}});
    }
    at->second.tail = std::max(at->second.tail, tail);
    at->second.committed = at->second.tail;
}

Result<void> PackFiles::cut_tails() {
    for (auto& [number, pack] : packs_) {
        if (!pack.write.valid()) {
            continue;
        }
        auto bytes = file_bytes(pack.write.get());
        if (!bytes) {
            return std::move(bytes).error();
        }
        if (*bytes < pack.tail) {
            log_warning("pack_truncated",
                        {{"file", path(number)}, {"bytes", *bytes}, {"expected", pack.tail}});
        } else if (*bytes > pack.tail &&
                   ::ftruncate(pack.write.get(), static_cast<off_t>(pack.tail)) != 0) {
            return errno_error(fmt::format("cut {} to {} bytes", path(number), pack.tail), errno);
        }
    }
    return {};
}

Result<uint32_t> PackFiles::pack_for(uint64_t bytes) {
    uint32_t next = 1;
    if (!packs_.empty()) {
        const auto& [number, pack] = *packs_.rbegin();
        if (pack.write.valid() && (pack.tail == 0 || pack.tail + bytes <= pack_bytes_max_)) {
            return number;
        }
        next = number + 1;
    }
    auto opened = open_pack(next, /*create=*/true);
    if (!opened) {
        return std::move(opened).error();
    }
    folder_dirty_ = true;
    return next;
}

Result<PackPlace> PackFiles::append(std::span<const std::byte> stored) {
    const uint64_t bytes = align_up(stored.size(), kPageBytes);
    auto number = pack_for(bytes);
    if (!number) {
        return std::move(number).error();
    }
    Pack& pack = packs_.find(*number)->second;
    auto written = write_padded(pack.write.get(), stored, pack.tail);
    if (!written) {
        // Best effort: the next append writes over the same place, and open() cuts it off.
        static_cast<void>(::ftruncate(pack.write.get(), static_cast<off_t>(pack.tail)));
        return std::move(written).error().with_context(path(*number));
    }
    const PackPlace place{.pack = *number, .offset = pack.tail};
    pack.tail += bytes;
    pack.dirty = true;
    return place;
}

Result<void> PackFiles::sync() {
    for (auto& [number, pack] : packs_) {
        if (!pack.dirty) {
            continue;
        }
        if (::fdatasync(pack.write.get()) != 0) {
            return errno_error(fmt::format("sync {}", path(number)), errno);
        }
        pack.dirty = false;
        // Restores read around the page cache: what was just written needs no room in it.
        ::posix_fadvise(pack.write.get(), static_cast<off_t>(pack.committed),
                        static_cast<off_t>(pack.tail - pack.committed), POSIX_FADV_DONTNEED);
    }
    if (folder_dirty_) {
        auto synced = sync_folder(folder_);
        if (!synced) {
            return synced;
        }
        folder_dirty_ = false;
    }
    return {};
}

void PackFiles::rollback() {
    for (auto& [number, pack] : packs_) {
        if (pack.tail == pack.committed) {
            continue;
        }
        pack.tail = pack.committed;
        pack.dirty = false;
        if (::ftruncate(pack.write.get(), static_cast<off_t>(pack.tail)) != 0) {
            log_warning("pack_not_cut", {{"file", path(number)}, {"bytes", pack.tail}});
        }
    }
}

void PackFiles::commit_tails() {
    for (auto& [number, pack] : packs_) {
        pack.committed = pack.tail;
    }
}

void PackFiles::release(const PackPlace& place, uint64_t bytes) {
    const auto at = packs_.find(place.pack);
    if (at == packs_.end() || !at->second.write.valid()) {
        return;
    }
    Pack& pack = at->second;
    const uint64_t stored = align_up(bytes, kPageBytes);
    int failed = 0;
    if (place.offset + stored == pack.tail && pack.tail == pack.committed) {
        pack.tail = pack.committed = place.offset;
        failed = ::ftruncate(pack.write.get(), static_cast<off_t>(pack.tail));
    } else {
        failed = ::fallocate(pack.write.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                             static_cast<off_t>(place.offset), static_cast<off_t>(stored));
    }
    if (failed != 0) {
        log_warning("pack_space_not_returned", {{"file", path(place.pack)}, {"bytes", stored}});
    }
}

PackFiles::Descriptor PackFiles::descriptor(uint32_t pack) const {
    const std::lock_guard lock(mutex_);
    const auto at = packs_.find(pack);
    if (at == packs_.end() || !at->second.read.valid()) {
        return {};
    }
    return {.fd = at->second.read.get(), .direct = at->second.direct};
}

}  // namespace rekindle::loader
