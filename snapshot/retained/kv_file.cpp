#include "snapshot/retained/kv_file.h"

#include "base/units.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <type_traits>

namespace rekindle::snapshot {
namespace {

constexpr uint64_t kMagic = 0x31'4c'49'46'56'4b'4b'52;  // "RKKVFIL1"
constexpr uint64_t kChecksumEnd = 16;                   // It covers all of the head after itself.

// Of KV memory: far beyond what a machine has, and small enough that no sum of sizes overflows.
constexpr uint64_t kMemoryBytesMax = uint64_t{1} << 46;

struct Fixed {
    uint64_t magic;
    uint64_t checksum;
    Sha256Digest digest;
    uint64_t page_bytes;
    uint64_t memory_bytes;
    uint32_t memory_pages;
    uint32_t pages;
};

struct Record {
    uint32_t page;
    uint32_t before;
    uint32_t reused;
    uint32_t zero;
    uint64_t used;
    std::array<uint64_t, 2> salt;
    std::array<int32_t, kKvPageTokens> text;
    uint64_t xxh3;
};

static_assert(sizeof(Fixed) == 72 && sizeof(Record) == 176);
static_assert(std::has_unique_object_representations_v<Fixed> &&
              std::has_unique_object_representations_v<Record>);

template <typename T>
T read_at(std::span<const std::byte> bytes, uint64_t offset) {
    T value;
    std::memcpy(&value, bytes.data() + offset, sizeof(T));
    return value;
}

Error corrupt(const char* what) {
    return Error{ErrorCode::kCorrupt, std::string("retained keys and values: ") + what};
}

Result<KvFilePage> page_of(const Record& record, const Fixed& fixed) {
    if (record.page >= fixed.memory_pages || record.reused > 1 || record.zero != 0) {
        return corrupt("a page that cannot be");
    }
    return KvFilePage{.page = record.page,
                      .entry = {.before = record.before,
                                .reused = record.reused == 1,
                                .used = record.used,
                                .salt = record.salt,
                                .text = record.text},
                      .xxh3 = record.xxh3};
}

}  // namespace

uint64_t kv_file_head_bytes(uint64_t pages) noexcept {
    return align_up(kKvFileFixedBytes + pages * sizeof(Record), kPageBytes);
}

uint64_t KvFileHead::place(size_t n) const noexcept {
    return kv_file_head_bytes(pages.size()) + n * align_up(key.page_bytes, kPageBytes);
}

std::vector<std::byte> write_kv_file_head(const KvFileHead& head) {
    std::vector<std::byte> bytes(kv_file_head_bytes(head.pages.size()));
    Fixed fixed{.magic = kMagic,
                .checksum = 0,
                .digest = head.key.digest,
                .page_bytes = head.key.page_bytes,
                .memory_bytes = head.memory_bytes,
                .memory_pages = head.key.pages,
                .pages = static_cast<uint32_t>(head.pages.size())};
    std::memcpy(bytes.data(), &fixed, sizeof(fixed));
    uint64_t at = kKvFileFixedBytes;
    for (const KvFilePage& page : head.pages) {
        const Record record{.page = page.page,
                            .before = page.entry.before,
                            .reused = page.entry.reused ? 1U : 0U,
                            .zero = 0,
                            .used = page.entry.used,
                            .salt = page.entry.salt,
                            .text = page.entry.text,
                            .xxh3 = page.xxh3};
        std::memcpy(bytes.data() + at, &record, sizeof(record));
        at += sizeof(record);
    }
    fixed.checksum = xxh3(std::span(bytes).subspan(kChecksumEnd));
    std::memcpy(bytes.data(), &fixed, sizeof(fixed));
    return bytes;
}

Result<uint64_t> kv_file_head_bytes_of(std::span<const std::byte> begin) {
    if (begin.size() < kKvFileFixedBytes) {
        return corrupt("the file is shorter than its head");
    }
    const auto fixed = read_at<Fixed>(begin, 0);
    if (fixed.magic != kMagic) {
        return corrupt("the file is none of this version");
    }
    return kv_file_head_bytes(fixed.pages);
}

Result<KvFileHead> parse_kv_file(std::span<const std::byte> head, uint64_t file_bytes) {
    const auto head_bytes = kv_file_head_bytes_of(head);
    if (!head_bytes) {
        return head_bytes.error();
    }
    if (head.size() != *head_bytes) {
        return corrupt("the file is shorter than its head");
    }
    const auto fixed = read_at<Fixed>(head, 0);
    if (fixed.checksum != xxh3(head.subspan(kChecksumEnd))) {
        return corrupt("its head does not match its checksum");
    }
    if (fixed.page_bytes == 0 || fixed.page_bytes > fixed.memory_bytes ||
        fixed.memory_pages > fixed.memory_bytes / fixed.page_bytes ||
        fixed.pages > fixed.memory_pages || fixed.memory_bytes > kMemoryBytesMax) {
        return corrupt("sizes that cannot be");
    }
    KvFileHead parsed;
    parsed.key = {
        .digest = fixed.digest, .page_bytes = fixed.page_bytes, .pages = fixed.memory_pages};
    parsed.memory_bytes = fixed.memory_bytes;
    parsed.pages.reserve(fixed.pages);
    std::vector<uint32_t> places;
    for (uint64_t n = 0; n < fixed.pages; ++n) {
        auto page = page_of(read_at<Record>(head, kKvFileFixedBytes + n * sizeof(Record)), fixed);
        if (!page) {
            return std::move(page).error();
        }
        places.push_back(page->page);
        parsed.pages.push_back(std::move(page).value());
    }
    std::ranges::sort(places);
    if (std::ranges::adjacent_find(places) != places.end()) {
        return corrupt("a page that is there twice");
    }
    if (parsed.file_bytes() != file_bytes) {
        return corrupt("the file is shorter or longer than its head says");
    }
    return parsed;
}

}  // namespace rekindle::snapshot
