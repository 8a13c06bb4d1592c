#include "daemon/importer.h"

#include "daemon/import_wire.h"
#include "daemon/importer_main.h"
#include "daemon/worker_process.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <fcntl.h>
#include <optional>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>
#include <variant>
#include <vector>

namespace rekindle::daemon {

namespace {

constexpr std::chrono::milliseconds kCancelPoll{50};  // How late a cancellation may be noticed.
constexpr int kPipeBytes = 1 << 20;                   // Linux's limit for ordinary users.

// What must not change while the file is read.
struct SourceState {
    uint64_t bytes = 0;
    timespec modified{};

    bool operator==(const SourceState& other) const noexcept {
        return bytes == other.bytes && modified.tv_sec == other.modified.tv_sec &&
               modified.tv_nsec == other.modified.tv_nsec;
    }
};

Result<SourceState> inspect_source(const UniqueFd& source) {
    struct stat info{};
    if (::fstat(source.get(), &info) != 0) {
        return errno_error("model file", errno);
    }
    if (!S_ISREG(info.st_mode)) {
        return Error{ErrorCode::kInvalidArgument, S_ISDIR(info.st_mode)
                                                      ? "the model source is a folder, not a file"
                                                      : "the model source is not a regular file"};
    }
    const SourceState state{static_cast<uint64_t>(info.st_size), info.st_mtim};
    if (state.bytes < kImportSourceBytesMin) {
        return Error{ErrorCode::kTruncated,
                     fmt::format("the model file has {} bytes, which is too short for a model",
                                 state.bytes)};
    }
    return state;
}

// The importer gets no right to write: a descriptor that has it is opened anew without.
Result<UniqueFd> without_write_access(UniqueFd source) {
    const int flags = ::fcntl(source.get(), F_GETFL);
    if (flags < 0) {
        return errno_error("model file", errno);
    }
    if ((flags & O_ACCMODE) == O_RDONLY) {
        return source;
    }
    const std::string path = fmt::format("/proc/self/fd/{}", source.get());
    UniqueFd reopened(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!reopened.valid()) {
        return errno_error("model file, for reading", errno);
    }
    return reopened;
}

// The read end, with patience that ends.
class RecordPipe {
public:
    RecordPipe(UniqueFd fd, const ImporterOptions& options, const std::atomic<bool>& cancelled)
        : fd_(std::move(fd)), silence_max_(options.silence_max), cancelled_(cancelled) {}

    // Fills `out`, or as much of it as there is before the pipe ends; gives how much.
    Result<size_t> read(std::span<std::byte> out) {
        size_t done = 0;
        while (done < out.size()) {
            if (Result<void> waited = wait_for_bytes(); !waited) {
                return waited.error();
            }
            const ssize_t got = ::read(fd_.get(), out.data() + done, out.size() - done);
            if (got < 0 && errno != EINTR) {
                return errno_error("importer pipe", errno);
            }
            if (got == 0) {
                break;
            }
            done += got > 0 ? static_cast<size_t>(got) : 0;
        }
        return done;
    }

private:
    Result<void> wait_for_bytes() {
        pollfd waiting{fd_.get(), POLLIN, 0};
        for (auto silent = std::chrono::milliseconds(0); silent < silence_max_;
             silent += kCancelPoll) {
            if (cancelled_.load(std::memory_order_relaxed)) {
                return Error{ErrorCode::kCancelled, "the import was cancelled"};
            }
            const int ready = ::poll(&waiting, 1, static_cast<int>(kCancelPoll.count()));
            if (ready > 0) {
                return {};
            }
            if (ready < 0 && errno != EINTR) {
                return errno_error("importer pipe", errno);
            }
        }
        return Error{ErrorCode::kDeadline,
                     fmt::format("the importer gave no sign for {} ms", silence_max_.count())};
    }

    UniqueFd fd_;
    std::chrono::milliseconds silence_max_;
    const std::atomic<bool>& cancelled_;
};

// Reads records up to the end of the pipe.
class ImportReader {
public:
    ImportReader(RecordPipe pipe, ImportSequence sequence, const snapshot::ChunkSink& sink,
                 const ImportProgressSink& on_progress)
        : pipe_(std::move(pipe)), sequence_(sequence), sink_(sink), on_progress_(on_progress) {}

    // Nothing when the importer ended without a last word, or in the middle of one.
    Result<std::optional<ImportOutcome>> run() {
        while (true) {
            std::array<std::byte, kImportHeaderBytes> header_bytes{};
            const Result<size_t> got = pipe_.read(header_bytes);
            if (!got) {
                return got.error();
            }
            if (*got == 0) {
                return std::move(outcome_);
            }
            const Result<bool> whole =
                *got == header_bytes.size() ? take_record(header_bytes) : Result<bool>(false);
            if (!whole) {
                return whole.error();
            }
            if (!*whole) {
                return std::optional<ImportOutcome>();
            }
        }
    }

private:
    // False: the pipe ended inside of the record.
    Result<bool> take_record(std::span<const std::byte, kImportHeaderBytes> header_bytes) {
        const Result<ImportRecordHeader> header = parse_import_header(header_bytes);
        if (!header) {
            return header.error();
        }
        payload_.resize(header->bytes);
        const Result<size_t> got = pipe_.read(payload_);
        if (!got) {
            return got.error();
        }
        if (*got < payload_.size()) {
            return false;
        }
        Result<ImportRecord> record = parse_import_record(*header, payload_);
        if (!record) {
            return record.error();
        }
        if (Result<void> accepted = sequence_.accept(*record); !accepted) {
            return accepted.error();
        }
        const Result<void> handled = handle(std::move(record).value());
        return handled ? Result<bool>(true) : handled.error();
    }

    Result<void> handle(ImportRecord record) {
        if (auto* const error = std::get_if<Error>(&record)) {
            return std::move(*error);
        }
        if (const auto* const chunk = std::get_if<ImportChunk>(&record)) {
            return sink_(chunk->offset, chunk->plain, chunk->compress);
        }
        if (const auto* const progress = std::get_if<ImportProgressRecord>(&record)) {
            on_progress_(progress->done, progress->total);
        }
        if (auto* const index = std::get_if<ImportIndex>(&record)) {
            outcome_ = ImportOutcome{std::move(index->json), sequence_.image_bytes()};
        }
        return {};
    }

    RecordPipe pipe_;
    ImportSequence sequence_;
    const snapshot::ChunkSink& sink_;
    const ImportProgressSink& on_progress_;
    std::vector<std::byte> payload_;  // At most kImportIndexBytesMax; freed with the reader.
    std::optional<ImportOutcome> outcome_;
};

struct StartedImporter {
    WorkerProcess process;
    UniqueFd pipe;
};

Result<StartedImporter> start_importer(const ImporterOptions& options, const UniqueFd& source) {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
        return errno_error("importer pipe", errno);
    }
    UniqueFd read_end(ends[0]);
    const UniqueFd write_end(ends[1]);
    ::fcntl(read_end.get(), F_SETPIPE_SZ, kPipeBytes);  // Fewer switches; the default works too.
    Result<WorkerProcess> process = WorkerProcess::spawn(
        options.executable,
        {"--import", "--parent", std::to_string(::getpid()), "--memory",
         std::to_string(options.memory_bytes_max), "--plan", options.plan_only ? "1" : "0"},
        {{source.get(), kImporterSourceFd}, {write_end.get(), kImporterPipeFd}});
    if (!process) {
        return process.error();
    }
    return StartedImporter{std::move(process).value(), std::move(read_end)};
}

// How a process ended that has closed its pipe; one that goes on regardless is killed.
std::string end_of(WorkerProcess& process, std::chrono::milliseconds silence_max) {
    constexpr std::chrono::milliseconds kExitMax{
        5'000};  // A core dump is off; only a hang is longer.
    pollfd ending{process.pidfd(), POLLIN, 0};
    if (::poll(&ending, 1, static_cast<int>(std::min(silence_max, kExitMax).count())) <= 0) {
        process.kill();
    }
    return process.reap();
}

}  // namespace

Result<ImportOutcome> run_importer(const ImporterOptions& options, UniqueFd source,
                                   const snapshot::ChunkSink& sink,
                                   const ImportProgressSink& on_progress,
                                   const std::atomic<bool>& cancelled) {
    const Result<SourceState> before = inspect_source(source);
    if (!before) {
        return before.error();
    }
    const Result<UniqueFd> read_only = without_write_access(std::move(source));
    if (!read_only) {
        return read_only.error();
    }
    Result<StartedImporter> started = start_importer(options, *read_only);
    if (!started) {
        return started.error();
    }
    ImportReader reader(RecordPipe(std::move(started->pipe), options, cancelled),
                        ImportSequence(before->bytes, options.plan_only), sink, on_progress);
    Result<std::optional<ImportOutcome>> outcome = reader.run();
    if (!outcome) {
        return outcome.error();  // The process is killed and reaped by its owner's destructor.
    }
    if (!outcome->has_value()) {
        return Error{ErrorCode::kCorrupt,
                     fmt::format("the importer died ({}) while reading the model file",
                                 end_of(started->process, options.silence_max))};
    }
    const Result<SourceState> after = inspect_source(*read_only);
    if (!after || !(*after == *before)) {
        return Error{ErrorCode::kConflict, "the model file was changed while it was being read"};
    }
    return std::move(**outcome);
}

}  // namespace rekindle::daemon
