#include "daemon/worker_warmup.h"

#include "base/units.h"
#include "runtime/warm_memory.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <link.h>
#include <malloc.h>
#include <sys/mman.h>

namespace rekindle::daemon {
namespace {

// Compute buffers of a step of 512 tokens of a model of 135 M parameters take 21 MiB.
constexpr size_t kBufferBytes = 32 * kMiB;
// Index, tokenizer tables' views, the prefix index, frames of the first request.
constexpr size_t kHeapBytes = 4 * kMiB;

// Maps the pages of code and constants that the page cache has; the table of page tables is then
// there, too.
int populate(dl_phdr_info* object, size_t /*size*/, void* /*context*/) {
    for (size_t i = 0; i < object->dlpi_phnum; ++i) {
        const ElfW(Phdr)& segment = object->dlpi_phdr[i];
        if (segment.p_type != PT_LOAD || (segment.p_flags & PF_W) != 0) {
            continue;
        }
        const uintptr_t begin = (object->dlpi_addr + segment.p_vaddr) / kPageBytes * kPageBytes;
        const uintptr_t end = object->dlpi_addr + segment.p_vaddr + segment.p_memsz;
        // NOLINTNEXTLINE(performance-no-int-to-ptr): the loader speaks in addresses.
        ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_POPULATE_READ);
    }
    return 0;
}

void warm_heap() {
    // One heap that is never given back; allocations below this size come from it.
    ::mallopt(M_ARENA_MAX, 1);
    ::mallopt(M_MMAP_THRESHOLD, static_cast<int>(kHeapBytes) / 2);
    ::mallopt(M_TRIM_THRESHOLD, static_cast<int>(64 * kMiB));
    ::mallopt(M_TOP_PAD, static_cast<int>(kHeapBytes));
    void* const touched = std::malloc(kHeapBytes / 4);  // Makes the heap grow by M_TOP_PAD.
    const auto begin = reinterpret_cast<uintptr_t>(touched) / kPageBytes * kPageBytes;
    // NOLINTNEXTLINE(performance-no-int-to-ptr): a page's address.
    ::madvise(reinterpret_cast<void*>(begin), kHeapBytes, MADV_POPULATE_WRITE);
    std::free(touched);
}

}  // namespace

void warm_up_worker() {
    ::dl_iterate_phdr(populate, nullptr);
    warm_heap();
    runtime::warm_memory::prepare(kBufferBytes);
}

}  // namespace rekindle::daemon
