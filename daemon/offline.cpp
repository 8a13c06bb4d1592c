#include "daemon/offline.h"

#include "base/clock.h"
#include "base/units.h"
#include "billing/ledger.h"
#include "daemon/backup_writer.h"
#include "daemon/data_folder.h"
#include "daemon/doctor_checks.h"
#include "daemon/restore.h"
#include "daemon/worker_path.h"
#include "loader/chunk_store.h"

#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <span>
#include <string>
#include <unistd.h>
#include <vector>

namespace rekindle::daemon {
namespace {

int fail(const Error& error) {
    std::fprintf(stderr, "rekindled: %s\n", error.message.c_str());
    return EXIT_FAILURE;
}

void say(const std::string& line) {
    std::printf("%s\n", line.c_str());
}

void say_found(const RestoreReport& found) {
    say(fmt::format("ledger       {} records, hash chain whole", found.ledger_records));
    say(fmt::format("deployments  {}", found.deployments));
    say(fmt::format("keys         {}", found.keys));
    say(fmt::format("images       {}", found.images));
    for (const std::string& name : found.without_image) {
        say(fmt::format("note: {} has no image here: deploy its model file again", name));
    }
}

int verify(const std::string& folder) {
    const SystemClock clock;
    const auto report = verify_folder(folder, clock);
    if (!report) {
        return fail(report.error());
    }
    if (report->faults.empty()) {
        say_found(report->found);
        say(fmt::format("chunks       {}, {}, each as its SHA-256 says", report->chunks,
                        format_bytes(report->chunk_bytes)));
        return EXIT_SUCCESS;
    }
    for (const std::string& fault : report->faults) {
        std::fprintf(stderr, "rekindled: %s\n", fault.c_str());
    }
    return EXIT_FAILURE;
}

int restore(const std::string& folder, const std::string& file) {
    const SystemClock clock;
    const auto report = restore_backup(file, folder, clock);
    if (!report) {
        return fail(report.error());
    }
    say_found(*report);
    return EXIT_SUCCESS;
}

constexpr uint64_t kDiskFileBytes = 256 * kMiB;  // A tenth of a second on a fast disk.

int doctor(const Config& config, bool mend) {
    const auto worker = worker_executable();
    const DoctorPlaces places{.data_dir = config.data_dir,
                              .worker_executable = worker ? *worker : std::string(),
                              .disk_file_bytes = kDiskFileBytes};
    const SystemClock clock;
    DoctorFacts facts = look_around(places, clock);
    if (!worker) {
        facts.worker.error = worker.error().message;
    }
    std::vector<Finding> findings = judge(facts);
    if (mend) {
        fix(places, facts, findings);
    }
    say(json::serialize(doctor_report(facts, findings)));
    return any_failed(findings) ? EXIT_FAILURE : EXIT_SUCCESS;
}

Result<void> write_archive(BackupStream& stream, int fd) {
    while (true) {
        const auto piece = stream.next();
        if (!piece) {
            return piece.error();
        }
        if (piece->empty()) {
            return ::fsync(fd) == 0 ? Result<void>() : errno_error("fsync", errno);
        }
        if (auto written = write_all(fd, std::as_bytes(std::span(*piece))); !written) {
            return written;
        }
    }
}

Result<void> back_up(const Config& config, const Offline& task) {
    const SystemClock clock;
    const auto folder = DataFolder::open(config.data_dir);
    if (!folder) {
        return folder.error();
    }
    const auto ledger = billing::Ledger::open(folder->at("ledger"), clock);
    if (!ledger) {
        return ledger.error();
    }
    const auto store = loader::ChunkStore::open(folder->at("chunks"));
    if (!store) {
        return store.error();
    }
    const BackupSources sources{clock, *folder, **ledger, **store};
    const auto stream = begin_backup(sources, {.with_images = task.with_images});
    if (!stream) {
        return stream.error();
    }
    const UniqueFd fd(::open(task.file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!fd.valid()) {
        return errno_error(task.file, errno);
    }
    auto written = write_archive(**stream, fd.get());
    if (!written) {
        ::unlink(task.file.c_str());
    }
    return written;
}

}  // namespace

int run_offline(const Config& config, const Offline& task) {
    switch (task.action) {
        case OfflineAction::kVerify:
            return verify(config.data_dir);
        case OfflineAction::kRestore:
            return restore(config.data_dir, task.file);
        case OfflineAction::kBackup: {
            const auto done = back_up(config, task);
            return done ? EXIT_SUCCESS : fail(done.error());
        }
        case OfflineAction::kDoctor:
            return doctor(config, task.fix);
        case OfflineAction::kNone:
            break;
    }
    return EXIT_FAILURE;
}

}  // namespace rekindle::daemon
