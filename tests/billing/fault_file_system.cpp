#include "tests/billing/fault_file_system.h"

#include <string>
#include <string_view>
#include <utility>

namespace rekindle::billing {
namespace {

using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;

class FaultyLog final : public rocksdb::FSWritableFileOwnerWrapper {
public:
    FaultyLog(std::unique_ptr<rocksdb::FSWritableFile>&& file, const LogFaults& faults)
        : FSWritableFileOwnerWrapper(std::move(file)), faults_(faults) {}

    IOStatus Append(const rocksdb::Slice& data, const IOOptions& options,
                    IODebugContext* context) override {
        if (auto status = faults_.at_append ? faults_.at_append() : IOStatus::OK(); !status.ok()) {
            return status;
        }
        if (faults_.hold_unsynced) {
            held_.append(data.data(), data.size());
            return IOStatus::OK();
        }
        return FSWritableFileOwnerWrapper::Append(data, options, context);
    }

    IOStatus Append(const rocksdb::Slice& data, const IOOptions& options,
                    const rocksdb::DataVerificationInfo& /*info*/,
                    IODebugContext* context) override {
        return Append(data, options, context);
    }

    IOStatus Sync(const IOOptions& options, IODebugContext* context) override {
        if (auto status = before_sync(options, context); !status.ok()) {
            return status;
        }
        return FSWritableFileOwnerWrapper::Sync(options, context);
    }

    IOStatus Fsync(const IOOptions& options, IODebugContext* context) override {
        if (auto status = before_sync(options, context); !status.ok()) {
            return status;
        }
        return FSWritableFileOwnerWrapper::Fsync(options, context);
    }

    IOStatus Close(const IOOptions& options, IODebugContext* context) override {
        if (auto status = release(options, context); !status.ok()) {
            return status;
        }
        return FSWritableFileOwnerWrapper::Close(options, context);
    }

    uint64_t GetFileSize(const IOOptions& options, IODebugContext* context) override {
        return FSWritableFileOwnerWrapper::GetFileSize(options, context) + held_.size();
    }

private:
    IOStatus before_sync(const IOOptions& options, IODebugContext* context) {
        if (auto status = faults_.at_sync ? faults_.at_sync() : IOStatus::OK(); !status.ok()) {
            return status;
        }
        return release(options, context);
    }

    IOStatus release(const IOOptions& options, IODebugContext* context) {
        const std::string held = std::exchange(held_, {});
        return held.empty() ? IOStatus::OK()
                            : FSWritableFileOwnerWrapper::Append(held, options, context);
    }

    const LogFaults& faults_;
    std::string held_;
};

class FaultyFileSystem final : public rocksdb::FileSystemWrapper {
public:
    explicit FaultyFileSystem(LogFaults faults)
        : FileSystemWrapper(rocksdb::FileSystem::Default()), faults_(std::move(faults)) {}

    const char* Name() const override { return "FaultyFileSystem"; }

    IOStatus NewWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                             std::unique_ptr<rocksdb::FSWritableFile>* result,
                             IODebugContext* context) override {
        auto status = FileSystemWrapper::NewWritableFile(path, options, result, context);
        if (status.ok() && std::string_view(path).ends_with(".log")) {
            *result = std::make_unique<FaultyLog>(std::move(*result), faults_);
        }
        return status;
    }

private:
    const LogFaults faults_;
};

}  // namespace

std::unique_ptr<rocksdb::Env> make_faulty_env(LogFaults faults) {
    return rocksdb::NewCompositeEnv(std::make_shared<FaultyFileSystem>(std::move(faults)));
}

}  // namespace rekindle::billing
