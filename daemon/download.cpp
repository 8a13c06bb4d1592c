#include "daemon/download.h"

#include "base/hash.h"
#include "base/units.h"
#include "daemon/data_folder.h"

#include <fmt/format.h>

#include <cerrno>
#include <fcntl.h>
#include <filesystem>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <system_error>
#include <unistd.h>

namespace rekindle::daemon {
namespace {

constexpr uint64_t kEtagBytesMax = 1024;
constexpr uint64_t kProgressBytes = 4 * kMiB;

std::string etag_path(const std::string& path) {
    return path + ".etag";
}

// Writes what arrives behind what is there.
class FileSink final : public remote::ObjectSink {
public:
    FileSink(const DownloadOrder& order, const remote::HttpFetcher::Order& fetch, int fd,
             const std::string& path)
        : order_(order), fetch_(fetch), fd_(fd), path_(path) {}

    Result<void> begin(uint64_t from, std::optional<uint64_t> total) override {
        done_ = from;
        total_ = total.value_or(0);
        if (auto room = check_room(); !room) {
            return room;
        }
        if (::ftruncate(fd_, static_cast<off_t>(from)) != 0 ||
            ::lseek(fd_, static_cast<off_t>(from), SEEK_SET) < 0) {
            return errno_error(path_, errno);
        }
        order_.on_progress(done_, total_);
        return from == 0 ? write_file_durably(etag_path(path_), fetch_.part.etag) : Result<void>();
    }

    Result<void> take(std::span<const std::byte> bytes) override {
        auto written = write_all(fd_, bytes);
        if (!written) {
            return std::move(written).with_context(path_);
        }
        done_ += bytes.size();
        if (done_ - told_ >= kProgressBytes || done_ == total_) {
            told_ = done_;
            order_.on_progress(done_, total_);
        }
        return {};
    }

private:
    Result<void> check_room() const {
        struct statvfs room{};
        if (::fstatvfs(fd_, &room) != 0) {
            return errno_error(path_, errno);
        }
        const uint64_t free = static_cast<uint64_t>(room.f_bavail) * room.f_frsize;
        if (total_ > done_ && total_ - done_ > free) {
            return Error{ErrorCode::kNoSpace,
                         fmt::format("{}: {} are still to come, {} has {} left: make room",
                                     fetch_.url.shown(), format_bytes(total_ - done_), path_,
                                     format_bytes(free))};
        }
        return {};
    }

    const DownloadOrder& order_;
    const remote::HttpFetcher::Order& fetch_;
    const int fd_;
    const std::string& path_;
    uint64_t done_ = 0;
    uint64_t total_ = 0;
    uint64_t told_ = 0;
};

Result<UniqueFd> open_part(const std::string& folder, const std::string& path,
                           const std::string& address) {
    std::error_code ec;
    std::filesystem::create_directories(folder, ec);
    if (ec) {
        return errno_error(folder, ec.value());
    }
    UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (!fd.valid()) {
        return errno_error(path, errno);
    }
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
        return Error{ErrorCode::kConflict,
                     fmt::format("{} is being fetched by another deployment: wait for its end",
                                 address.substr(0, address.find('?')))};
    }
    return fd;
}

}  // namespace

void Download::discard() const {
    ::unlink(path.c_str());
    ::unlink(etag_path(path).c_str());
}

Result<Download> download(const DownloadOrder& order) {
    auto source = remote::resolve_source(order.address, order.context);
    if (!source) {
        return std::move(source).error().with_context("model");
    }
    const std::string path =
        fmt::format("{}/{}.part", order.folder, to_hex(sha256(as_bytes(order.address))));
    auto part = open_part(order.folder, path, order.address);
    if (!part) {
        return std::move(part).error();
    }
    auto fetcher = remote::HttpFetcher::create(order.context.settings.limits, order.cancelled);
    if (!fetcher) {
        return std::move(fetcher).error();
    }
    remote::HttpFetcher::Order fetch{.url = source->url,
                                     .bytes_max = kDownloadBytesMax,
                                     .credentials = source->credentials,
                                     .hint = source->hint};
    const auto here = file_bytes(part->get());
    const auto etag = read_small_file(etag_path(path), kEtagBytesMax);
    if (here && etag) {
        fetch.part = {.bytes = *here, .etag = *etag};
    }
    FileSink sink(order, fetch, part->get(), path);
    auto fetched = fetcher->fetch(fetch, sink);
    if (!fetched) {
        return std::move(fetched).error();
    }
    return Download{std::move(part).value(), path};
}

void remove_old_downloads(const std::string& folder) {
    std::error_code ec;
    const auto oldest = std::filesystem::file_time_type::clock::now() - kDownloadKept;
    for (const auto& entry : std::filesystem::directory_iterator(folder, ec)) {
        std::error_code ignored;
        if (entry.last_write_time(ignored) < oldest) {
            std::filesystem::remove(entry.path(), ignored);
        }
    }
}

}  // namespace rekindle::daemon
