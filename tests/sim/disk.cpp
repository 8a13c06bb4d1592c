#include "tests/sim/disk.h"

#include <rocksdb/file_system.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <string_view>
#include <utility>
#include <vector>

namespace rekindle::sim {

using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;
using FilePtr = std::shared_ptr<DiskFile>;

struct Disk::State {
    explicit State(World& world_in) : world(world_in) {}

    World& world;
    std::map<std::string, FilePtr> files;
};

namespace {

enum class FileKind { kWal, kMark, kOther };

FileKind kind_of(std::string_view path) noexcept {
    if (path.ends_with(".log")) {
        return FileKind::kWal;
    }
    return path.ends_with("/high_water") ? FileKind::kMark : FileKind::kOther;
}

// One file in use: writes and syncs pass the crash points of its kind.
class Handle {
public:
    Handle(World& world, FilePtr file, FileKind kind)
        : world_(world), file_(std::move(file)), kind_(kind) {}

    IOStatus append(std::string_view bytes) { return write(file_->data.size(), bytes); }

    IOStatus write(uint64_t offset, std::string_view bytes) {
        if (before(Point::kWalBeforeWrite, Point::kMarkBeforeWrite)) {
            return IOStatus::OK();
        }
        if (offset != file_->data.size()) {
            file_->appended = false;
        }
        file_->data.resize(std::max<size_t>(file_->data.size(), offset + bytes.size()));
        std::memcpy(file_->data.data() + offset, bytes.data(), bytes.size());
        after(Point::kWalAfterWrite, Point::kMarkAfterWrite);
        return IOStatus::OK();
    }

    IOStatus sync() {
        if (before(Point::kWalBeforeSync, Point::kMarkBeforeSync)) {
            return IOStatus::OK();
        }
        if (file_->appended && file_->data.size() >= file_->synced.size()) {
            file_->synced.append(file_->data, file_->synced.size());
        } else {
            file_->synced = file_->data;
        }
        after(Point::kWalAfterSync, Point::kMarkAfterSync);
        return IOStatus::OK();
    }

    IOStatus truncate(uint64_t size) {
        if (!world_.points.dead()) {
            file_->data.resize(size);
        }
        return IOStatus::OK();
    }

    const DiskFile& file() const noexcept { return *file_; }

private:
    bool before(Point wal, Point mark) {
        if (kind_ == FileKind::kOther) {
            return world_.points.hit(Point::kStoreWrite);
        }
        return world_.points.hit(kind_ == FileKind::kWal ? wal : mark);
    }

    void after(Point wal, Point mark) {
        if (kind_ != FileKind::kOther) {
            world_.points.hit(kind_ == FileKind::kWal ? wal : mark);
        }
    }

    World& world_;
    const FilePtr file_;
    const FileKind kind_;
};

IOStatus read_at(const DiskFile& file, uint64_t offset, size_t count, Slice* out, char* scratch) {
    const size_t size = file.data.size();
    const size_t from = std::min<size_t>(offset, size);
    const size_t got = std::min(count, size - from);
    std::memcpy(scratch, file.data.data() + from, got);
    *out = Slice(scratch, got);
    return IOStatus::OK();
}

class SequentialFile final : public rocksdb::FSSequentialFile {
public:
    explicit SequentialFile(FilePtr file) : file_(std::move(file)) {}

    IOStatus Read(size_t count, const IOOptions&, Slice* out, char* scratch,
                  IODebugContext*) override {
        auto status = read_at(*file_, at_, count, out, scratch);
        at_ += out->size();
        return status;
    }

    IOStatus Skip(uint64_t count) override {
        at_ += count;
        return IOStatus::OK();
    }

private:
    const FilePtr file_;
    uint64_t at_ = 0;
};

class RandomAccessFile final : public rocksdb::FSRandomAccessFile {
public:
    explicit RandomAccessFile(FilePtr file) : file_(std::move(file)) {}

    IOStatus Read(uint64_t offset, size_t count, const IOOptions&, Slice* out, char* scratch,
                  IODebugContext*) const override {
        return read_at(*file_, offset, count, out, scratch);
    }

private:
    const FilePtr file_;
};

class WritableFile final : public rocksdb::FSWritableFile {
public:
    explicit WritableFile(Handle handle) : handle_(std::move(handle)) {}

    using FSWritableFile::Append;

    IOStatus Append(const Slice& data, const IOOptions&, IODebugContext*) override {
        return handle_.append({data.data(), data.size()});
    }

    IOStatus Append(const Slice& data, const IOOptions& options,
                    const rocksdb::DataVerificationInfo&, IODebugContext* context) override {
        return Append(data, options, context);
    }

    IOStatus Truncate(uint64_t size, const IOOptions&, IODebugContext*) override {
        return handle_.truncate(size);
    }

    IOStatus Close(const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }
    IOStatus Flush(const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }
    IOStatus Sync(const IOOptions&, IODebugContext*) override { return handle_.sync(); }
    IOStatus Fsync(const IOOptions&, IODebugContext*) override { return handle_.sync(); }

    bool IsSyncThreadSafe() const override { return true; }

    uint64_t GetFileSize(const IOOptions&, IODebugContext*) override {
        return handle_.file().data.size();
    }

private:
    Handle handle_;
};

class RandomRWFile final : public rocksdb::FSRandomRWFile {
public:
    explicit RandomRWFile(Handle handle) : handle_(std::move(handle)) {}

    IOStatus Write(uint64_t offset, const Slice& data, const IOOptions&, IODebugContext*) override {
        return handle_.write(offset, {data.data(), data.size()});
    }

    IOStatus Read(uint64_t offset, size_t count, const IOOptions&, Slice* out, char* scratch,
                  IODebugContext*) const override {
        return read_at(handle_.file(), offset, count, out, scratch);
    }

    IOStatus Flush(const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }
    IOStatus Sync(const IOOptions&, IODebugContext*) override { return handle_.sync(); }
    IOStatus Close(const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }

private:
    Handle handle_;
};

class Folder final : public rocksdb::FSDirectory {
public:
    IOStatus Fsync(const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }
};

class NamedLock final : public rocksdb::FileLock {};

}  // namespace

class Disk::FileSystem final : public rocksdb::FileSystem {
public:
    explicit FileSystem(State& state) : state_(state) {}

    const char* Name() const override { return "SimulatedDisk"; }

    IOStatus NewSequentialFile(const std::string& path, const rocksdb::FileOptions&,
                               std::unique_ptr<rocksdb::FSSequentialFile>* out,
                               IODebugContext*) override {
        const FilePtr file = find(path);
        if (file == nullptr) {
            return missing(path);
        }
        *out = std::make_unique<SequentialFile>(file);
        return IOStatus::OK();
    }

    IOStatus NewRandomAccessFile(const std::string& path, const rocksdb::FileOptions&,
                                 std::unique_ptr<rocksdb::FSRandomAccessFile>* out,
                                 IODebugContext*) override {
        const FilePtr file = find(path);
        if (file == nullptr) {
            return missing(path);
        }
        *out = std::make_unique<RandomAccessFile>(file);
        return IOStatus::OK();
    }

    IOStatus NewWritableFile(const std::string& path, const rocksdb::FileOptions&,
                             std::unique_ptr<rocksdb::FSWritableFile>* out,
                             IODebugContext*) override {
        auto file = std::make_shared<DiskFile>();
        if (!dead()) {
            state_.files[clean(path)] = file;
        }
        *out = std::make_unique<WritableFile>(Handle(state_.world, file, kind_of(path)));
        return IOStatus::OK();
    }

    IOStatus ReopenWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                                std::unique_ptr<rocksdb::FSWritableFile>* out,
                                IODebugContext* context) override {
        const FilePtr file = find(path);
        if (file == nullptr) {
            return NewWritableFile(path, options, out, context);
        }
        *out = std::make_unique<WritableFile>(Handle(state_.world, file, kind_of(path)));
        return IOStatus::OK();
    }

    IOStatus NewRandomRWFile(const std::string& path, const rocksdb::FileOptions&,
                             std::unique_ptr<rocksdb::FSRandomRWFile>* out,
                             IODebugContext*) override {
        const FilePtr file = find(path);
        if (file == nullptr) {
            return missing(path);
        }
        *out = std::make_unique<RandomRWFile>(Handle(state_.world, file, kind_of(path)));
        return IOStatus::OK();
    }

    IOStatus NewDirectory(const std::string&, const IOOptions&,
                          std::unique_ptr<rocksdb::FSDirectory>* out, IODebugContext*) override {
        *out = std::make_unique<Folder>();
        return IOStatus::OK();
    }

    IOStatus FileExists(const std::string& path, const IOOptions&, IODebugContext*) override {
        return find(path) != nullptr || is_folder(path) ? IOStatus::OK() : missing(path);
    }

    IOStatus GetChildren(const std::string& folder, const IOOptions&, std::vector<std::string>* out,
                         IODebugContext*) override {
        out->clear();
        const std::string prefix = clean(folder) + "/";
        for (auto at = state_.files.lower_bound(prefix);
             at != state_.files.end() && at->first.starts_with(prefix); ++at) {
            std::string name = at->first.substr(prefix.size());
            if (name.find('/') == std::string::npos) {
                out->push_back(std::move(name));
            }
        }
        return IOStatus::OK();
    }

    IOStatus DeleteFile(const std::string& path, const IOOptions&, IODebugContext*) override {
        if (find(path) == nullptr) {
            return missing(path);
        }
        if (!dead()) {
            state_.files.erase(clean(path));
        }
        return IOStatus::OK();
    }

    IOStatus CreateDir(const std::string&, const IOOptions&, IODebugContext*) override {
        return IOStatus::OK();
    }

    IOStatus CreateDirIfMissing(const std::string&, const IOOptions&, IODebugContext*) override {
        return IOStatus::OK();
    }

    IOStatus DeleteDir(const std::string&, const IOOptions&, IODebugContext*) override {
        return IOStatus::OK();
    }

    IOStatus GetFileSize(const std::string& path, const IOOptions&, uint64_t* size,
                         IODebugContext*) override {
        const FilePtr file = find(path);
        if (file == nullptr) {
            return missing(path);
        }
        *size = file->data.size();
        return IOStatus::OK();
    }

    IOStatus GetFileModificationTime(const std::string&, const IOOptions&, uint64_t* time,
                                     IODebugContext*) override {
        *time = 0;
        return IOStatus::OK();
    }

    IOStatus RenameFile(const std::string& from, const std::string& to, const IOOptions&,
                        IODebugContext*) override {
        const FilePtr file = find(from);
        if (file == nullptr) {
            return missing(from);
        }
        if (!dead()) {
            state_.files.erase(clean(from));
            state_.files[clean(to)] = file;
        }
        return IOStatus::OK();
    }

    IOStatus LockFile(const std::string&, const IOOptions&, rocksdb::FileLock** lock,
                      IODebugContext*) override {
        *lock = new NamedLock;  // RocksDB gives it back through UnlockFile.
        return IOStatus::OK();
    }

    IOStatus UnlockFile(rocksdb::FileLock* lock, const IOOptions&, IODebugContext*) override {
        delete lock;
        return IOStatus::OK();
    }

    IOStatus GetTestDirectory(const IOOptions&, std::string* path, IODebugContext*) override {
        *path = "/test";
        return IOStatus::OK();
    }

    IOStatus GetAbsolutePath(const std::string& path, const IOOptions&, std::string* out,
                             IODebugContext*) override {
        *out = path;
        return IOStatus::OK();
    }

    IOStatus IsDirectory(const std::string& path, const IOOptions&, bool* out,
                         IODebugContext*) override {
        *out = is_folder(path);
        return IOStatus::OK();
    }

private:
    static std::string clean(const std::string& path) {
        std::string out;
        for (const char c : path) {
            if (c != '/' || out.empty() || out.back() != '/') {
                out.push_back(c);
            }
        }
        while (out.size() > 1 && out.back() == '/') {
            out.pop_back();
        }
        return out;
    }

    static IOStatus missing(const std::string& path) { return IOStatus::NotFound(path); }

    bool dead() const noexcept { return state_.world.points.dead(); }

    FilePtr find(const std::string& path) const {
        const auto at = state_.files.find(clean(path));
        return at == state_.files.end() ? nullptr : at->second;
    }

    bool is_folder(const std::string& path) const {
        const std::string prefix = clean(path) + "/";
        const auto at = state_.files.lower_bound(prefix);
        return at != state_.files.end() && at->first.starts_with(prefix);
    }

    State& state_;
};

class Disk::QueueingEnv final : public rocksdb::EnvWrapper {
public:
    explicit QueueingEnv(rocksdb::Env* inner) : EnvWrapper(inner) {}

    const char* Name() const override { return "QueueingEnv"; }

    void Schedule(void (*function)(void*), void* argument, Priority priority, void* tag,
                  void (*unschedule)(void*)) override {
        jobs_.push_back({function, argument, priority, tag, unschedule});
    }

    int UnSchedule(void* tag, Priority priority) override {
        int removed = 0;
        for (size_t i = 0; i < jobs_.size();) {
            if (jobs_[i].tag != tag || jobs_[i].priority != priority) {
                ++i;
                continue;
            }
            const Job job = jobs_[i];
            jobs_.erase(jobs_.begin() + static_cast<ptrdiff_t>(i));
            if (job.unschedule != nullptr) {
                job.unschedule(job.argument);
            }
            ++removed;
        }
        return removed;
    }

    unsigned int GetThreadPoolQueueLen(Priority) const override {
        return static_cast<unsigned int>(jobs_.size());
    }

    void run() {
        while (!jobs_.empty()) {
            const Job job = jobs_.front();
            jobs_.pop_front();
            job.function(job.argument);
        }
    }

private:
    struct Job {
        void (*function)(void*);
        void* argument;
        Priority priority;
        void* tag;
        void (*unschedule)(void*);
    };

    std::deque<Job> jobs_;
};

Disk::Disk(World& world)
    : state_(std::make_unique<State>(world)),
      inner_(rocksdb::NewCompositeEnv(std::make_shared<FileSystem>(*state_))),
      env_(std::make_unique<QueueingEnv>(inner_.get())) {}

Disk::~Disk() = default;

rocksdb::Env& Disk::env() noexcept {
    return *env_;
}

void Disk::run_background_work() {
    env_->run();
}

void Disk::lose_power() {
    Draws& draws = state_->world.draws;
    for (auto& [path, file] : state_->files) {
        if (file->data == file->synced) {
            continue;
        }
        if (file->appended && file->data.size() > file->synced.size()) {
            const size_t kept = draws.between(file->synced.size(), file->data.size());
            file->data.resize(draws.chance(0.5) ? file->synced.size() : kept);
        } else if (draws.chance(0.5)) {
            file->data = file->synced;
        }
        file->synced = file->data;
    }
}

const std::map<std::string, FilePtr>& Disk::files() const noexcept {
    return state_->files;
}

}  // namespace rekindle::sim
