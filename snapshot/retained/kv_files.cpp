#include "snapshot/retained/kv_files.h"

#include "base/units.h"
#include "snapshot/retained/kv_table.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <tuple>
#include <utility>
#include <vector>

namespace rekindle::snapshot {
namespace {

// The least bytes of a page for which every page has an entry: a small model's page of 32 positions
// has 22 layers x 2 x 4 heads x 64 x 2 bytes for each. Of smaller pages only so many are retained.
constexpr uint64_t kPageBytesLeast = 16 * kKiB;

Result<UniqueFd> duplicate(const UniqueFd& fd) {
    const int copy = ::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0);
    if (copy < 0) {
        return errno_error("descriptor of KV memory", errno);
    }
    return UniqueFd(copy);
}

Result<void> punch(const UniqueFd& file, uint64_t begin, uint64_t end) {
    if (begin >= end) {
        return {};
    }
    if (::fallocate(file.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                    static_cast<off_t>(begin), static_cast<off_t>(end - begin)) != 0) {
        return errno_error("giving KV memory back", errno);
    }
    return {};
}

}  // namespace

std::vector<uint32_t> pages_by_worth(const KvTable& table, uint64_t pages) {
    struct Worth {
        bool reused;
        uint64_t used;
        uint32_t page;
    };
    std::vector<Worth> listed;
    for (uint32_t page = 0; page < pages; ++page) {
        if (const auto entry = table.get(page)) {
            listed.push_back({entry->reused, entry->used, page});
        }
    }
    std::ranges::sort(listed, [](const Worth& a, const Worth& b) {
        return std::tuple(a.reused, a.used, b.page) > std::tuple(b.reused, b.used, a.page);
    });
    std::vector<uint32_t> order;
    order.reserve(listed.size());
    for (const Worth& one : listed) {
        order.push_back(one.page);
    }
    return order;
}

Result<KvFiles> KvFiles::create(uint64_t bytes) {
    const auto pages =
        static_cast<uint32_t>(std::min<uint64_t>(bytes / kPageBytesLeast + 1, UINT32_MAX - 1));
    KvFiles files;
    files.bytes_ = bytes;
    files.table_bytes_ = align_up(KvTable::bytes_for(pages), kPageBytes);
    auto memory = create_memory_file("rekindle-kv", bytes);
    if (!memory) {
        return memory.error();
    }
    auto table = create_memory_file("rekindle-kv-table", files.table_bytes_);
    if (!table) {
        return table.error();
    }
    files.memory_ = std::move(memory).value();
    files.table_ = std::move(table).value();
    return files;
}

Result<UniqueFd> KvFiles::memory_descriptor() const {
    return duplicate(memory_);
}

Result<UniqueFd> KvFiles::table_descriptor() const {
    return duplicate(table_);
}

Result<KvFiles> KvFiles::share() const {
    auto memory = memory_descriptor();
    if (!memory) {
        return std::move(memory).error();
    }
    auto table = table_descriptor();
    if (!table) {
        return std::move(table).error();
    }
    KvFiles same;
    same.memory_ = std::move(memory).value();
    same.table_ = std::move(table).value();
    same.bytes_ = bytes_;
    same.table_bytes_ = table_bytes_;
    same.retained_pages_ = retained_pages_;
    same.retained_bytes_ = retained_bytes_;
    return same;
}

Result<Mapping> KvFiles::map_memory() const {
    return Mapping::read_write(memory_.get(), bytes_).with_context("KV memory");
}

Result<Mapping> KvFiles::map_table() const {
    return Mapping::read_write(table_.get(), table_bytes_).with_context("table of KV memory");
}

Result<void> KvFiles::trim(uint64_t most) {
    retained_pages_ = 0;
    retained_bytes_ = 0;
    auto mapping = map_table();
    if (!mapping) {
        return std::move(mapping).error();
    }
    KvTable table(mapping->span());
    const KvTableKey key = table.key().value_or(KvTableKey{});
    if (key.page_bytes == 0 || key.page_bytes > bytes_) {
        return punch(memory_, 0, bytes_);
    }
    const uint64_t page_bytes = key.page_bytes;
    const uint64_t pages = std::min<uint64_t>(bytes_ / page_bytes, key.pages);
    std::vector<bool> kept(pages, false);
    for (const uint32_t page : pages_by_worth(table, pages)) {
        if ((retained_pages_ + uint64_t{1}) * page_bytes <= most) {
            kept[page] = true;
            ++retained_pages_;
        } else {
            table.remove(page);
        }
    }
    retained_bytes_ = retained_pages_ * page_bytes;
    uint64_t hole = 0;  // Whole system pages between kept ones.
    for (uint64_t page = 0; page < pages; ++page) {
        if (!kept[page]) {
            continue;
        }
        const auto punched = punch(memory_, hole, page * page_bytes / kPageBytes * kPageBytes);
        if (!punched) {
            return punched;
        }
        hole = align_up((page + 1) * page_bytes, kPageBytes);
    }
    return punch(memory_, hole, bytes_);
}

}  // namespace rekindle::snapshot
