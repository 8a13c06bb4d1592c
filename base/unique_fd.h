// Owned file descriptors and memory mappings: move-only, released in the destructor.
#pragma once
#include "base/result.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace rekindle {

class [[nodiscard]] UniqueFd {
public:
    UniqueFd() noexcept = default;
    explicit UniqueFd(int fd) noexcept : fd_(fd) {}
    UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    UniqueFd& operator=(UniqueFd&& other) noexcept;
    ~UniqueFd() { reset(); }

    int get() const noexcept { return fd_; }
    bool valid() const noexcept { return fd_ >= 0; }
    // Gives up ownership.
    int release() noexcept { return std::exchange(fd_, -1); }
    void reset() noexcept;
    // A second descriptor of the same open file, close-on-exec.
    Result<UniqueFd> duplicate() const;

private:
    int fd_ = -1;
};

// Size of the open file in bytes.
Result<uint64_t> file_bytes(int fd);
// Reads exactly `out.size()` bytes at `offset`; kTruncated if the file ends before.
Result<void> read_exact_at(int fd, std::span<std::byte> out, uint64_t offset);
// Writes all bytes at the descriptor's position; retries short writes and EINTR.
Result<void> write_all(int fd, std::span<const std::byte> bytes);

class [[nodiscard]] Mapping {
public:
    Mapping() noexcept = default;
    Mapping(Mapping&& other) noexcept
        : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
    Mapping& operator=(Mapping&& other) noexcept;
    ~Mapping() { reset(); }

    // Whole-file style mappings of `bytes` (> 0) at offset 0, MAP_SHARED.
    static Result<Mapping> read_only(int fd, uint64_t bytes);
    static Result<Mapping> read_write(int fd, uint64_t bytes);
    // Takes over [data, data + bytes), which will be munmapped.
    static Mapping adopt(void* data, uint64_t bytes) noexcept;

    std::byte* data() const noexcept { return data_; }
    uint64_t bytes() const noexcept { return bytes_; }
    std::span<std::byte> span() const noexcept { return {data_, bytes_}; }
    bool valid() const noexcept { return data_ != nullptr; }
    void reset() noexcept;

private:
    std::byte* data_ = nullptr;
    uint64_t bytes_ = 0;
};

// Anonymous memory file of `bytes`, sealable, close-on-exec; `name` shows in /proc/PID/fd.
Result<UniqueFd> create_memory_file(const char* name, uint64_t bytes);

}  // namespace rekindle
