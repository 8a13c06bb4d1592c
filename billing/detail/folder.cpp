#include "billing/detail/folder.h"

#include "billing/detail/audit.h"
#include "billing/detail/high_water.h"
#include "billing/detail/store.h"

#include <fmt/format.h>

#include <cerrno>
#include <fcntl.h>
#include <filesystem>
#include <sys/file.h>
#include <system_error>

namespace rekindle::billing {

std::string store_path(const std::string& folder) {
    return folder + "/records";
}

std::string high_water_path(const std::string& folder) {
    return folder + "/high_water";
}

rocksdb::Env& disk_or_default(rocksdb::Env* env) {
    return env != nullptr ? *env : *rocksdb::Env::Default();
}

Result<UniqueFd> lock_folder(const std::string& folder) {
    std::error_code ec;
    std::filesystem::create_directories(store_path(folder), ec);
    if (ec) {
        return errno_error(fmt::format("ledger folder {}", folder), ec.value());
    }
    const std::string path = folder + "/lock";
    UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (!fd.valid()) {
        return errno_error(fmt::format("ledger folder {}: not writable", folder), errno);
    }
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK) {
            return Error{ErrorCode::kConflict,
                         fmt::format("ledger folder {}: another process has it open", folder)};
        }
        return errno_error(fmt::format("lock {}", path), errno);
    }
    return fd;
}

Result<void> check_before_writing(const std::string& folder, uint64_t records, rocksdb::Env* env) {
    rocksdb::Env& disk = disk_or_default(env);
    const bool has_store = disk.FileExists(store_path(folder) + "/CURRENT").ok();
    const bool has_mark = disk.FileExists(high_water_path(folder)).ok();
    if (!has_store && !has_mark) {
        return HighWater::create(high_water_path(folder), disk);
    }
    if (!has_mark) {
        return Error{ErrorCode::kCorrupt,
                     fmt::format("ledger folder {}: its high-water mark is gone", folder)};
    }
    const auto point = HighWater::read(high_water_path(folder), disk);
    if (!point) {
        return point.error();
    }
    if (!has_store) {
        return point->sequence == 0
                   ? Result<void>()  // Died between the mark and the first open of the store.
                   : Error{ErrorCode::kCorrupt,
                           fmt::format("ledger folder {}: its {} records are gone", folder,
                                       point->sequence)};
    }
    const auto store = Store::open(store_path(folder), StoreMode::kReadOnly, env);
    if (!store) {
        return store.error();
    }
    const auto report = audit(store->view(), *point, records);
    if (!report) {
        return report.error();
    }
    if (!report->faults.empty()) {
        return Error{ErrorCode::kCorrupt,
                     fmt::format("ledger folder {}: {}", folder, report->faults.front())};
    }
    return {};
}

Result<void> copy_ledger(const Store& store, const ChainPoint& point, const std::string& folder) {
    std::error_code ec;
    if (!std::filesystem::create_directory(folder, ec)) {
        return Error{ErrorCode::kIo, fmt::format("copy of the ledger: {} {}", folder,
                                                 ec ? ec.message() : "exists already")};
    }
    if (auto copied = store.copy_to(store_path(folder)); !copied) {
        return copied;
    }
    rocksdb::Env& disk = *rocksdb::Env::Default();  // Copies lie beside the machine's own files.
    if (auto created = HighWater::create(high_water_path(folder), disk); !created) {
        return created;
    }
    auto mark = HighWater::open(high_water_path(folder), disk);
    if (!mark) {
        return mark.error();
    }
    if (auto written = mark->write(point); !written) {
        return written;
    }
    return mark->sync();
}

}  // namespace rekindle::billing
