#include "billing/detail/high_water.h"

#include "base/bytes.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <optional>
#include <string_view>
#include <utility>

namespace rekindle::billing {
namespace {

constexpr uint64_t kMagic = 0x0000'314D'5748'4B52;  // "RKHWM1"
constexpr size_t kSlotBytes = 64;
constexpr size_t kSlots = 2;

using Slot = std::array<std::byte, kSlotBytes>;

rocksdb::Slice as_slice(const Slot& slot) noexcept {
    return {reinterpret_cast<const char*>(slot.data()), slot.size()};
}

Slot encode_slot(const ChainPoint& point) {
    ByteWriter out;
    out.write(kMagic);
    out.write(point.sequence);
    out.write_span(point.digest);
    out.write(xxh3(out.bytes()));
    Slot slot{};
    std::copy(out.bytes().begin(), out.bytes().end(), slot.begin());
    return slot;
}

std::optional<ChainPoint> decode_slot(const Slot& slot) {
    ByteReader in(slot);
    ChainPoint point;
    const auto magic = in.read<uint64_t>();
    point.sequence = in.read<uint64_t>();
    const auto digest = in.read_span(point.digest.size());
    std::copy(digest.begin(), digest.end(), point.digest.begin());
    if (magic != kMagic || slot != encode_slot(point)) {
        return std::nullopt;
    }
    return point;
}

Error file_error(const std::string& path, const rocksdb::Status& status) {
    ErrorCode code = ErrorCode::kIo;
    if (status.IsNotFound() || status.IsPathNotFound()) {
        code = ErrorCode::kNotFound;
    } else if (status.IsNoSpace()) {
        code = ErrorCode::kNoSpace;
    }
    return Error{code, fmt::format("{}: {}", path, status.ToString())};
}

rocksdb::Status sync_folder_of(const std::string& path, rocksdb::Env& env) {
    std::unique_ptr<rocksdb::Directory> folder;
    const std::string name = std::filesystem::path(path).parent_path().string();
    auto status = env.NewDirectory(name, &folder);
    return status.ok() ? folder->Fsync() : status;
}

rocksdb::Status write_new_file(const std::string& path, const Slot& slot, rocksdb::Env& env) {
    std::unique_ptr<rocksdb::WritableFile> file;
    auto status = env.NewWritableFile(path, &file, rocksdb::EnvOptions());
    for (size_t i = 0; i < kSlots && status.ok(); ++i) {
        status = file->Append(as_slice(slot));
    }
    if (status.ok()) {
        status = file->Fsync();
    }
    return status.ok() ? file->Close() : status;
}

struct Newest {
    ChainPoint point;
    uint32_t slot = 0;
};

Result<Newest> read_newest(const std::string& path, rocksdb::Env& env) {
    std::string bytes;
    const auto status = rocksdb::ReadFileToString(&env, path, &bytes);
    if (!status.ok()) {
        return file_error(path, status);
    }
    std::optional<Newest> newest;
    for (uint32_t i = 0; i < kSlots && bytes.size() >= (i + 1) * kSlotBytes; ++i) {
        Slot slot{};  // A missing slot counts as a torn one.
        const auto from = as_bytes(std::string_view(bytes).substr(i * kSlotBytes, kSlotBytes));
        std::copy(from.begin(), from.end(), slot.begin());
        const auto point = decode_slot(slot);
        if (point && (!newest || point->sequence > newest->point.sequence)) {
            newest = Newest{*point, i};
        }
    }
    if (!newest) {
        return Error{ErrorCode::kCorrupt, fmt::format("{}: no slot is whole", path)};
    }
    return *newest;
}

}  // namespace

HighWater::HighWater(std::unique_ptr<rocksdb::RandomRWFile> file, ChainPoint point,
                     uint32_t next_slot)
    : file_(std::move(file)), point_(point), next_slot_(next_slot) {}

Result<void> HighWater::create(const std::string& path, rocksdb::Env& env) {
    if (env.FileExists(path).ok()) {
        return Error{ErrorCode::kAlreadyExists, fmt::format("{}: exists", path)};
    }
    const std::string draft = path + ".new";
    auto status = write_new_file(draft, encode_slot({}), env);
    if (status.ok()) {
        status = env.RenameFile(draft, path);
    }
    if (status.ok()) {
        status = sync_folder_of(path, env);
    }
    return status.ok() ? Result<void>() : file_error(draft, status);
}

Result<HighWater> HighWater::open(const std::string& path, rocksdb::Env& env) {
    const auto newest = read_newest(path, env);
    if (!newest) {
        return newest.error();
    }
    std::unique_ptr<rocksdb::RandomRWFile> file;
    const auto status = env.NewRandomRWFile(path, &file, rocksdb::EnvOptions());
    if (!status.ok()) {
        return file_error(path, status);
    }
    return HighWater(std::move(file), newest->point, (newest->slot + 1) % kSlots);
}

Result<ChainPoint> HighWater::read(const std::string& path, rocksdb::Env& env) {
    const auto newest = read_newest(path, env);
    if (!newest) {
        return newest.error();
    }
    return newest->point;
}

Result<void> HighWater::write(const ChainPoint& point) {
    const Slot slot = encode_slot(point);
    const auto status = file_->Write(next_slot_ * kSlotBytes, as_slice(slot));
    if (!status.ok()) {
        return file_error("high-water mark", status);
    }
    next_slot_ = (next_slot_ + 1) % kSlots;
    point_ = point;
    return {};
}

Result<void> HighWater::sync() {
    const auto status = file_->Sync();
    return status.ok() ? Result<void>() : file_error("high-water mark", status);
}

}  // namespace rekindle::billing
