// KV memory of a few pages as a worker left it, in a folder that goes away with the test.
#pragma once
#include "base/units.h"
#include "snapshot/retained/kv_files.h"
#include "snapshot/retained/kv_table.h"

#include <cstring>
#include <filesystem>
#include <stdlib.h>
#include <string>

namespace rekindle::test {

inline constexpr uint64_t kPageSize = 6000;  // No multiple of a system page.
inline constexpr uint32_t kPages = 8;
inline constexpr uint64_t kMemory = kPages * kPageSize + 100;

struct Folder {
    Folder() {
        char name[] = "/tmp/rekindle-retained-XXXXXX";
        path = ::mkdtemp(name);
    }

    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;
    ~Folder() { std::filesystem::remove_all(path); }

    std::string path;
};

inline snapshot::KvTableKey key_of(uint8_t build) {
    snapshot::KvTableKey key{.page_bytes = kPageSize, .pages = kPages};
    key.digest[0] = std::byte{build};
    return key;
}

inline std::byte byte_of(uint32_t page) {
    return static_cast<std::byte>(page + 1);
}

// `listed` pages, each following the one before, used in order: the first one last of all.
inline snapshot::KvFiles filled(uint32_t listed, uint8_t build = 1) {
    auto files = snapshot::KvFiles::create(kMemory).value();
    const Mapping memory = files.map_memory().value();
    const Mapping table_memory = files.map_table().value();
    snapshot::KvTable table(table_memory.span());
    table.open(key_of(build));
    for (uint32_t page = 0; page < listed; ++page) {
        std::memset(memory.data() + page * kPageSize, static_cast<int>(byte_of(page)), kPageSize);
        snapshot::KvTable::Entry entry;
        entry.before = page == 0 ? snapshot::KvTable::kNoPage : page - 1;
        entry.used = 100 - page;
        entry.salt = {7, 8};
        entry.text.fill(static_cast<int32_t>(page));
        table.put(page, entry);
    }
    return files;
}

// How many pages are listed in `files`; each one checked to be what filled() made.
inline uint32_t right_pages(const snapshot::KvFiles& files) {
    const Mapping memory = files.map_memory().value();
    const Mapping table_memory = files.map_table().value();
    const snapshot::KvTable table(table_memory.span());
    uint32_t right = 0;
    for (uint32_t page = 0; page < kPages; ++page) {
        const auto entry = table.get(page);
        if (!entry) {
            continue;
        }
        const auto bytes = memory.span().subspan(page * kPageSize, kPageSize);
        const bool same = entry->used == 100 - page && entry->salt[1] == 8 &&
                          entry->text[31] == static_cast<int32_t>(page) &&
                          bytes.front() == byte_of(page) && bytes.back() == byte_of(page);
        REKINDLE_CHECK(same, "no wrong page is ever listed");
        ++right;
    }
    return right;
}

}  // namespace rekindle::test
