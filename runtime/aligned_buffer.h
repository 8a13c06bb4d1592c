// Zero-initialised memory for kernels: cache-line aligned, never resized while in use. Large
// buffers cost memory only once touched.
#pragma once
#include "base/check.h"
#include "base/units.h"
#include "runtime/warm_memory.h"

#include <cstddef>
#include <cstdint>
#include <sys/mman.h>
#include <type_traits>
#include <utility>

namespace rekindle::runtime {

template <typename T>
    requires std::is_trivially_copyable_v<T>
class AlignedBuffer {
public:
    AlignedBuffer() = default;

    explicit AlignedBuffer(size_t count)
        : bytes_(align_up(count * sizeof(T) + 1, kPageBytes)), count_(count) {
        void* memory = warm_memory::take(bytes_);
        if (memory == nullptr) {
            memory =
                mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            REKINDLE_CHECK(memory != MAP_FAILED, "out of memory for compute buffers");
            // Fewer page faults and TLB misses; a system without huge pages refuses, which is fine.
            madvise(memory, bytes_, MADV_HUGEPAGE);
        }
        data_ = static_cast<T*>(memory);
    }

    AlignedBuffer(AlignedBuffer&& other) noexcept
        : data_(std::exchange(other.data_, nullptr)),
          bytes_(std::exchange(other.bytes_, 0)),
          count_(std::exchange(other.count_, 0)) {}

    AlignedBuffer& operator=(AlignedBuffer&& other) noexcept {
        std::swap(data_, other.data_);
        std::swap(bytes_, other.bytes_);
        std::swap(count_, other.count_);
        return *this;
    }

    ~AlignedBuffer() {
        if (data_ != nullptr && !warm_memory::owns(data_)) {
            munmap(data_, bytes_);
        }
    }

    T* data() noexcept { return data_; }

    const T* data() const noexcept { return data_; }

    size_t size() const noexcept { return count_; }

private:
    T* data_ = nullptr;
    size_t bytes_ = 0;
    size_t count_ = 0;
};

}  // namespace rekindle::runtime
