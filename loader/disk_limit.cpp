#include "loader/disk_limit.h"

#include "base/random.h"
#include "base/units.h"
#include "loader/read_backend.h"
#include "loader/ring.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <optional>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

namespace rekindle::loader {
namespace {

constexpr int kPasses = 3;
constexpr uint64_t kHugePageBytes = 2 * kMiB;

// Buffers that were touched before, in huge pages where the system has them: a read of 1 MiB into
// 256 scattered pages is cut into pieces, and a disk gave a third of what it gives into one.
class Buffers {
public:
    static Result<Buffers> allocate(uint64_t bytes) {
        void* const data = ::mmap(nullptr, bytes + kHugePageBytes, PROT_READ | PROT_WRITE,
                                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (data == MAP_FAILED) {
            return errno_error("allocate buffers", errno);
        }
        Buffers buffers;
        buffers.memory_ = Mapping::adopt(static_cast<std::byte*>(data), bytes + kHugePageBytes);
        const auto address = reinterpret_cast<uint64_t>(data);
        buffers.span_ =
            buffers.memory_.span().subspan(align_up(address, kHugePageBytes) - address, bytes);
        ::madvise(buffers.span_.data(), bytes, MADV_HUGEPAGE);
        std::ranges::fill(buffers.span_, std::byte{1});
        return buffers;
    }

    std::span<std::byte> span() const noexcept { return span_; }

private:
    Mapping memory_;
    std::span<std::byte> span_;
};

Result<UniqueFd> unnamed_file(const std::string& folder) {
    UniqueFd fd(::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
    if (!fd.valid() && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL)) {
        std::string name = folder + "/.rekindle-doctor-XXXXXX";
        fd = UniqueFd(::mkostemp(name.data(), O_CLOEXEC));
        if (fd.valid()) {
            ::unlink(name.c_str());
        }
    }
    if (!fd.valid()) {
        const int cause = errno;
        Error error = errno_error("write a file in " + folder, cause);
        if (cause == EACCES || cause == EPERM || cause == EROFS) {
            error.code = ErrorCode::kForbidden;
        }
        return error;
    }
    return fd;
}

// Random, because some disks and file systems make little of zeros.
Result<void> fill(const UniqueFd& file, uint64_t bytes) {
    std::vector<std::byte> piece(kLimitReadBytes);
    SeededEntropy entropy(bytes);
    for (uint64_t done = 0; done < bytes; done += piece.size()) {
        entropy.fill(piece);
        const auto part = std::span(piece).first(std::min<uint64_t>(piece.size(), bytes - done));
        if (auto written = write_all(file.get(), part); !written) {
            return written;
        }
    }
    if (::fdatasync(file.get()) != 0) {
        return errno_error("sync the file", errno);
    }
    ::posix_fadvise(file.get(), 0, 0, POSIX_FADV_DONTNEED);
    return {};
}

}  // namespace

Result<Nanoseconds> time_reads(std::span<const ChunkLocation> places, const Clock& clock) {
    Ring ring(make_read_backend(kLimitDepth));
    const auto memory = Buffers::allocate(ring.depth() * kLimitReadBytes);
    if (!memory) {
        return memory.error();
    }
    const Nanoseconds start = clock.monotonic();
    uint64_t slot = 0;
    std::optional<Error> failed;
    const auto take = [&ring, &failed] {
        ReadOutcome outcome = ring.wait();
        if (!outcome.result) {
            failed = std::move(outcome.result).error();
        }
        return outcome.tag;
    };
    for (const ChunkLocation& place : places) {
        for (uint64_t done = 0; done < place.stored_bytes && !failed; done += kLimitReadBytes) {
            const uint64_t bytes =
                std::min(kLimitReadBytes, align_up(place.stored_bytes, kPageBytes) - done);
            slot = ring.has_room() ? ring.in_flight() : take();
            ring.start({.fd = place.fd,
                        .direct = place.direct,
                        .offset = place.offset + done,
                        .out = memory->span().subspan(slot * kLimitReadBytes, bytes),
                        .tag = slot});
        }
    }
    while (ring.in_flight() > 0) {
        take();
    }
    if (failed) {
        return *std::move(failed);
    }
    return clock.monotonic() - start;
}

Result<DiskLimit> measure_disk(const std::string& folder, uint64_t bytes, const Clock& clock) {
    DiskLimit limit;
    if (const auto uring = make_uring_backend(1); !uring) {
        limit.io_uring = uring.error().message;
    }
    const auto file = unnamed_file(folder);
    if (!file) {
        return file.error();
    }
    const std::string again = fmt::format("/proc/self/fd/{}", file->get());
    UniqueFd reader(::open(again.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC));
    limit.direct = reader.valid();
    if (!limit.direct) {
        reader = UniqueFd(::open(again.c_str(), O_RDONLY | O_CLOEXEC));
    }
    if (bytes == 0) {
        return limit;
    }
    if (!reader.valid()) {
        return errno_error("open a file of " + folder, errno);
    }
    if (auto filled = fill(*file, bytes); !filled) {
        return std::move(filled).error().with_context(folder);
    }
    const ChunkLocation place{.fd = reader.get(), .direct = limit.direct, .stored_bytes = bytes};
    std::optional<Nanoseconds> best;
    for (int pass = 0; pass < kPasses; ++pass) {
        const auto took = time_reads({&place, 1}, clock);
        if (!took) {
            return took.error().with_context(folder);
        }
        best = std::min(best.value_or(*took), *took);
    }
    const double seconds = std::max(1e-9, std::chrono::duration<double>(*best).count());
    limit.bytes_per_second = static_cast<uint64_t>(static_cast<double>(bytes) / seconds);
    return limit;
}

}  // namespace rekindle::loader
