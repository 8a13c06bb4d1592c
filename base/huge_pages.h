// Whether memory files (memfd) may lie in huge pages: the kernel decides by two small files under
// /sys. Images in 4 KiB pages are restored at half the speed, and each token costs TLB misses.
// Threading: any thread. `root` stands before every path, for tests; empty: the machine itself.
#pragma once
#include "base/result.h"

#include <string>

namespace rekindle {

inline constexpr const char* kShmemHugePages = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";
// Kernels since 6.11 have one more for each size, which may follow ("inherit") the one above.
inline constexpr const char* kShmemHugePages2M =
    "/sys/kernel/mm/transparent_hugepage/hugepages-2048kB/shmem_enabled";

struct HugePages {
    bool supported = false;  // The kernel has the files.
    bool enabled = false;    // Memory that asks for huge pages gets them.
    std::string setting;     // Of the first file: "advise", "never", …
    std::string setting_2m;  // Of the second one; empty: there is none.
};

HugePages read_huge_pages(const std::string& root);
// Sets what is needed so that `enabled` becomes true. kForbidden unless the files may be written.
Result<void> enable_huge_pages(const std::string& root);

}  // namespace rekindle
