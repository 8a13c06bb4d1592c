// What a file of retained keys and values begins with (docs/formats/kv-file.md): the table's key,
// and for each page that follows what the table says of it and the checksum of its bytes.
// Trust: the bytes may be torn or damaged; parse_kv_file() refuses what its checksum does not cover
// and every range that leaves the file or the KV memory. Threading: free functions.
#pragma once
#include "base/result.h"
#include "snapshot/retained/kv_table.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace rekindle::snapshot {

inline constexpr uint64_t kKvFileFixedBytes = 4096;

struct KvFilePage {
    uint32_t page = 0;  // Its place in the KV memory.
    KvTable::Entry entry;
    uint64_t xxh3 = 0;  // Of its bytes.
};

struct KvFileHead {
    KvTableKey key;
    uint64_t memory_bytes = 0;  // Of the KV memory.
    std::vector<KvFilePage> pages;

    // Where the bytes of the n-th of `pages` begin: at a whole system page.
    uint64_t place(size_t n) const noexcept;
    uint64_t file_bytes() const noexcept { return place(pages.size()); }
};

// Bytes before the first page, given how many there are.
uint64_t kv_file_head_bytes(uint64_t pages) noexcept;
std::vector<std::byte> write_kv_file_head(const KvFileHead& head);
// How many head bytes a file has that begins so. kCorrupt.
Result<uint64_t> kv_file_head_bytes_of(std::span<const std::byte> begin);
// `file_bytes`: of the whole file. kCorrupt says what is wrong.
Result<KvFileHead> parse_kv_file(std::span<const std::byte> head, uint64_t file_bytes);

}  // namespace rekindle::snapshot
