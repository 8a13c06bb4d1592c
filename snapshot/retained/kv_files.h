// The memory of one deployment's KV cache as rekindled holds it: pages and the table of what they
// hold (kv_table.h), two memory files that outlive the worker. While a worker serves, it owns their
// contents; afterwards trim() gives back what nobody will ask for again.
// Threading: one thread at a time; trim() only without a worker.
#pragma once
#include "base/result.h"
#include "base/unique_fd.h"

#include <cstdint>
#include <vector>

namespace rekindle::snapshot {

class KvTable;

// Of the table's first `pages`, the listed ones in order of worth: those asked for again before the
// others, in each the last used first. A page was used later than those that follow it, so that
// what comes first begins at a text's beginning.
std::vector<uint32_t> pages_by_worth(const KvTable& table, uint64_t pages);

class KvFiles {
public:
    // Of `bytes` for pages; nothing of it is memory before it is used.
    static Result<KvFiles> create(uint64_t bytes);

    uint64_t bytes() const noexcept { return bytes_; }

    // Bytes of the table's file.
    uint64_t table_bytes() const noexcept { return table_bytes_; }

    // Copies of the descriptors, to be sent to a worker.
    Result<UniqueFd> memory_descriptor() const;
    Result<UniqueFd> table_descriptor() const;

    // Another handle of the same two files.
    Result<KvFiles> share() const;
    // Their memory, to be read or filled without a worker.
    Result<Mapping> map_memory() const;
    Result<Mapping> map_table() const;

    // Keeps the listed pages that were used last, those asked for again first, as many as `most`
    // bytes hold, and gives the memory of everything else back.
    Result<void> trim(uint64_t most);

    // As the last trim() left it.
    uint32_t retained_pages() const noexcept { return retained_pages_; }

    uint64_t retained_bytes() const noexcept { return retained_bytes_; }

private:
    KvFiles() = default;

    UniqueFd memory_;
    UniqueFd table_;
    uint64_t bytes_ = 0;
    uint64_t table_bytes_ = 0;
    uint32_t retained_pages_ = 0;
    uint64_t retained_bytes_ = 0;
};

}  // namespace rekindle::snapshot
