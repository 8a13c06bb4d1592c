#include "snapshot/retained/kv_disk.h"

#include "base/log.h"
#include "base/units.h"
#include "snapshot/retained/kv_file.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <dirent.h>
#include <fcntl.h>
#include <memory>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace rekindle::snapshot {
namespace {

constexpr std::string_view kSuffix = ".kv";
constexpr std::string_view kUnfinished = ".new";

std::vector<std::string> entries_of(const std::string& folder) {
    std::vector<std::string> entries;
    const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(folder.c_str()), ::closedir);
    while (dir != nullptr) {
        const dirent* const entry = ::readdir(dir.get());
        if (entry == nullptr) {
            break;
        }
        entries.emplace_back(entry->d_name);
    }
    std::ranges::sort(entries);
    return entries;
}

Result<void> sync_folder(const std::string& folder) {
    const UniqueFd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd.valid() || ::fsync(fd.get()) != 0) {
        return errno_error("sync of " + folder, errno);
    }
    return {};
}

// What is listed, as much of it as `bytes_max` hold, the best first.
KvFileHead head_of(const KvTable& table, const Mapping& memory, uint64_t bytes_max) {
    KvFileHead head;
    head.key = table.key().value_or(KvTableKey{});
    head.memory_bytes = memory.bytes();
    if (head.key.page_bytes == 0 || head.key.page_bytes > memory.bytes()) {
        return head;
    }
    const uint64_t pages = std::min<uint64_t>(memory.bytes() / head.key.page_bytes, head.key.pages);
    for (const uint32_t page : pages_by_worth(table, pages)) {
        const auto entry = table.get(page);
        if (!entry) {
            continue;
        }
        head.pages.push_back({.page = page, .entry = *entry});
        if (head.file_bytes() > bytes_max) {
            head.pages.pop_back();
            break;
        }
        head.pages.back().xxh3 =
            xxh3(memory.span().subspan(page * head.key.page_bytes, head.key.page_bytes));
    }
    return head;
}

Result<KvFileHead> read_head(const UniqueFd& file) {
    const auto bytes = file_bytes(file.get());
    if (!bytes) {
        return bytes.error();
    }
    std::vector<std::byte> head(kKvFileFixedBytes);
    if (auto read = read_exact_at(file.get(), head, 0); !read) {
        return Error{ErrorCode::kCorrupt, read.error().message};
    }
    const auto head_bytes = kv_file_head_bytes_of(head);
    if (!head_bytes) {
        return head_bytes.error();
    }
    if (*head_bytes > *bytes) {
        return Error{ErrorCode::kCorrupt, "retained keys and values: the file is torn"};
    }
    head.resize(*head_bytes);
    if (auto read = read_exact_at(file.get(), head, 0); !read) {
        return std::move(read).error();
    }
    return parse_kv_file(head, *bytes);
}

Result<void> fill(const UniqueFd& file, const KvFileHead& head, const Mapping& memory) {
    for (size_t n = 0; n < head.pages.size(); ++n) {
        const KvFilePage& page = head.pages[n];
        const auto out =
            memory.span().subspan(page.page * head.key.page_bytes, head.key.page_bytes);
        if (auto read = read_exact_at(file.get(), out, head.place(n)); !read) {
            return read;
        }
        if (xxh3(out) != page.xxh3) {
            return Error{ErrorCode::kCorrupt,
                         "retained keys and values: a page does not match its checksum"};
        }
    }
    return {};
}

}  // namespace

Result<KvDisk> KvDisk::open(const std::string& folder, uint64_t bytes_max) {
    if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) {
        return errno_error(folder, errno);
    }
    for (const std::string& entry : entries_of(folder)) {
        if (entry.ends_with(kUnfinished)) {
            ::unlink((folder + "/" + entry).c_str());
        }
    }
    KvDisk disk(folder, bytes_max);
    disk.make_room(0);  // The limit may have become smaller.
    return disk;
}

KvDisk::KvDisk(KvDisk&& other) noexcept : folder_(other.folder_), bytes_max_(other.bytes_max_) {}

std::string KvDisk::path_of(const std::string& name) const {
    return folder_ + "/" + name + std::string(kSuffix);
}

std::vector<KvDisk::Listed> KvDisk::list() const {
    std::vector<Listed> files;
    for (const std::string& entry : entries_of(folder_)) {
        struct stat facts{};
        if (entry.ends_with(kSuffix) && ::stat((folder_ + "/" + entry).c_str(), &facts) == 0) {
            files.push_back(
                {.name = entry.substr(0, entry.size() - kSuffix.size()),
                 .bytes = static_cast<uint64_t>(facts.st_size),
                 .used_ns = facts.st_mtim.tv_sec * 1'000'000'000 + facts.st_mtim.tv_nsec});
        }
    }
    return files;
}

void KvDisk::make_room(uint64_t bytes) {
    std::vector<Listed> files = list();
    std::ranges::sort(files, {}, &Listed::used_ns);
    uint64_t total = bytes;
    for (const Listed& file : files) {
        total += file.bytes;
    }
    for (const Listed& file : files) {
        if (total <= bytes_max_) {
            return;
        }
        ::unlink(path_of(file.name).c_str());
        total -= file.bytes;
        log_info("retained_kv_dropped", {{"revision", file.name}, {"bytes", file.bytes}});
    }
}

Result<uint64_t> KvDisk::save(const std::string& name, const KvFiles& files) {
    const std::lock_guard lock(mutex_);
    ::unlink(path_of(name).c_str());
    auto table_memory = files.map_table();
    if (!table_memory) {
        return table_memory.error();
    }
    auto memory = files.map_memory();
    if (!memory) {
        return memory.error();
    }
    const KvFileHead head = head_of(KvTable(table_memory->span()), *memory, bytes_max_);
    if (head.pages.empty()) {
        return uint64_t{0};
    }
    make_room(head.file_bytes());
    auto written = write(name, head, *memory);
    if (!written) {
        ::unlink((path_of(name) + std::string(kUnfinished)).c_str());
        return std::move(written).error().with_context("retained keys and values");
    }
    return head.file_bytes();
}

Result<void> KvDisk::write(const std::string& name, const KvFileHead& head, const Mapping& memory) {
    const std::string path = path_of(name);
    const std::string unfinished = path + std::string(kUnfinished);
    const UniqueFd file(::open(unfinished.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (!file.valid()) {
        return errno_error(unfinished, errno);
    }
    if (auto written = write_all(file.get(), write_kv_file_head(head)); !written) {
        return written;
    }
    const uint64_t page_bytes = head.key.page_bytes;
    const std::vector<std::byte> padding(align_up(page_bytes, kPageBytes) - page_bytes);
    for (const KvFilePage& page : head.pages) {
        auto written =
            write_all(file.get(), memory.span().subspan(page.page * page_bytes, page_bytes));
        if (written && !padding.empty()) {
            written = write_all(file.get(), padding);
        }
        if (!written) {
            return written;
        }
    }
    if (::fdatasync(file.get()) != 0) {
        return errno_error("sync of " + unfinished, errno);
    }
    if (::rename(unfinished.c_str(), path.c_str()) != 0) {
        return errno_error(path, errno);
    }
    // It is read at a restore, from disk like the image: what is cached would only hide others.
    ::posix_fadvise(file.get(), 0, 0, POSIX_FADV_DONTNEED);
    return sync_folder(folder_);
}

Result<uint32_t> KvDisk::load(const std::string& name, const KvFiles& files) {
    const std::lock_guard lock(mutex_);
    const std::string path = path_of(name);
    const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file.valid()) {
        return errno_error(path, errno);
    }
    ::posix_fadvise(file.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
    const auto head = read_head(file);
    auto memory = files.map_memory();
    auto table_memory = files.map_table();
    if (!memory || !table_memory) {
        return memory ? table_memory.error() : memory.error();
    }
    ::madvise(memory->data(), memory->bytes(), MADV_HUGEPAGE);
    Result<void> filled = head ? Result<void>() : Result<void>(head.error());
    if (filled && head->memory_bytes != memory->bytes()) {
        filled = Error{ErrorCode::kCorrupt, "retained keys and values: of another --kv-memory"};
    }
    if (filled) {
        filled = fill(file, *head, *memory);
    }
    if (!filled) {
        ::unlink(path.c_str());
        return std::move(filled).error().with_context(path);
    }
    KvTable table(table_memory->span());
    table.open(head->key);
    for (const KvFilePage& page : head->pages) {
        table.put(page.page, page.entry);
    }
    ::futimens(file.get(), nullptr);  // Used now: others make room first.
    return static_cast<uint32_t>(head->pages.size());
}

bool KvDisk::has(const std::string& name) const {
    return ::access(path_of(name).c_str(), F_OK) == 0;
}

void KvDisk::remove(const std::string& name) {
    ::unlink(path_of(name).c_str());
}

std::vector<std::string> KvDisk::names() const {
    std::vector<std::string> names;
    for (const Listed& file : list()) {
        names.push_back(file.name);
    }
    return names;
}

uint64_t KvDisk::bytes_but(const std::set<std::string>& names) const {
    uint64_t total = 0;
    for (const Listed& file : list()) {
        total += names.contains(file.name) ? 0 : file.bytes;
    }
    return total;
}

}  // namespace rekindle::snapshot
