#include "base/unique_fd.h"

#include <cerrno>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace rekindle {

UniqueFd& UniqueFd::operator=(UniqueFd&& other) noexcept {
    if (this != &other) {
        reset();
        fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
}

void UniqueFd::reset() noexcept {
    if (fd_ >= 0) {
        ::close(std::exchange(fd_, -1));
    }
}

Result<UniqueFd> UniqueFd::duplicate() const {
    const int copy = ::fcntl(fd_, F_DUPFD_CLOEXEC, 0);
    if (copy < 0) {
        return errno_error("duplicate descriptor", errno);
    }
    return UniqueFd(copy);
}

Result<uint64_t> file_bytes(int fd) {
    struct stat info{};
    if (::fstat(fd, &info) != 0) {
        return errno_error("fstat", errno);
    }
    return static_cast<uint64_t>(info.st_size);
}

Result<void> read_exact_at(int fd, std::span<std::byte> out, uint64_t offset) {
    size_t done = 0;
    while (done < out.size()) {
        const ssize_t got =
            ::pread(fd, out.data() + done, out.size() - done, static_cast<off_t>(offset + done));
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return errno_error("read", errno);
        }
        if (got == 0) {
            return Error{ErrorCode::kTruncated, "read: the file ended early"};
        }
        done += static_cast<size_t>(got);
    }
    return {};
}

Result<void> write_all(int fd, std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
        const ssize_t put = ::write(fd, bytes.data(), bytes.size());
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put < 0) {
            return errno_error("write", errno);
        }
        bytes = bytes.subspan(static_cast<size_t>(put));
    }
    return {};
}

namespace {

Result<Mapping> map_shared(int fd, uint64_t bytes, int protection) {
    void* data = ::mmap(nullptr, bytes, protection, MAP_SHARED, fd, 0);
    if (data == MAP_FAILED) {
        return errno_error("mmap", errno);
    }
    return Mapping::adopt(data, bytes);
}

}  // namespace

Mapping& Mapping::operator=(Mapping&& other) noexcept {
    if (this != &other) {
        reset();
        data_ = std::exchange(other.data_, nullptr);
        bytes_ = std::exchange(other.bytes_, 0);
    }
    return *this;
}

Result<Mapping> Mapping::read_only(int fd, uint64_t bytes) {
    return map_shared(fd, bytes, PROT_READ);
}

Result<Mapping> Mapping::read_write(int fd, uint64_t bytes) {
    return map_shared(fd, bytes, PROT_READ | PROT_WRITE);
}

Mapping Mapping::adopt(void* data, uint64_t bytes) noexcept {
    Mapping mapping;
    mapping.data_ = static_cast<std::byte*>(data);
    mapping.bytes_ = bytes;
    return mapping;
}

void Mapping::reset() noexcept {
    if (data_ != nullptr) {
        ::munmap(std::exchange(data_, nullptr), std::exchange(bytes_, 0));
    }
}

Result<UniqueFd> create_memory_file(const char* name, uint64_t bytes) {
    UniqueFd fd(::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (!fd.valid()) {
        return errno_error("memfd_create", errno);
    }
    if (::ftruncate(fd.get(), static_cast<off_t>(bytes)) != 0) {
        return errno_error("size of a memory file", errno);
    }
    return fd;
}

}  // namespace rekindle
