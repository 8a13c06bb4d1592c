#include "loader/remote/objects.h"

#include "base/unique_fd.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

namespace rekindle::remote {
namespace {

constexpr std::string_view kFolder = "file://";
constexpr std::string_view kBucket = "s3://";

Error too_large(const std::string& what, uint64_t bytes, uint64_t limit) {
    return Error{ErrorCode::kTooLarge,
                 fmt::format("{}: {} bytes, the limit is {}", what, bytes, limit)};
}

class FolderObjects final : public Objects {
public:
    explicit FolderObjects(std::string folder) : folder_(std::move(folder)) {}

    Result<bool> exists(const std::string& key) override {
        std::error_code ec;
        const bool there = std::filesystem::is_regular_file(folder_ + "/" + key, ec);
        if (ec && ec != std::errc::no_such_file_or_directory) {
            return errno_error(folder_ + "/" + key, ec.value());
        }
        return there;
    }

    Result<std::vector<std::byte>> get(const std::string& key, uint64_t bytes_max) override {
        const std::string path = folder_ + "/" + key;
        const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
        if (!fd.valid()) {
            return errno_error(path, errno);
        }
        const auto bytes = file_bytes(fd.get());
        if (!bytes) {
            return bytes.error().with_context(path);
        }
        if (*bytes > bytes_max) {
            return too_large(path, *bytes, bytes_max);
        }
        std::vector<std::byte> out(*bytes);
        auto read = read_exact_at(fd.get(), out, 0);
        if (!read) {
            return read.error().with_context(path);
        }
        return out;
    }

    Result<void> put(const std::string& key, std::span<const std::byte> bytes) override {
        const std::filesystem::path path = folder_ + "/" + key;
        std::error_code ec;
        std::filesystem::create_directories(path.parent_path(), ec);
        if (ec) {
            return errno_error(path.parent_path().string(), ec.value());
        }
        std::string temporary = path.string() + ".XXXXXX";
        const UniqueFd fd(::mkostemp(temporary.data(), O_CLOEXEC));
        if (!fd.valid()) {
            return errno_error(temporary, errno);
        }
        auto written = write_all(fd.get(), bytes);
        // Readable for the nodes of others; a rename makes it appear whole, also after a crash.
        constexpr mode_t kMode = 0644;
        if (written && (::fchmod(fd.get(), kMode) != 0 || ::fsync(fd.get()) != 0 ||
                        ::rename(temporary.c_str(), path.c_str()) != 0)) {
            written = errno_error(path.string(), errno);
        }
        if (!written) {
            ::unlink(temporary.c_str());
        }
        return written;
    }

private:
    std::string folder_;
};

// Collects an object in memory.
class MemorySink final : public ObjectSink {
public:
    Result<void> begin(uint64_t from, std::optional<uint64_t> total) override {
        bytes_.resize(from);
        bytes_.reserve(total.value_or(from));  // Bounded by the order's limit.
        return {};
    }

    Result<void> take(std::span<const std::byte> bytes) override {
        bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
        return {};
    }

    std::vector<std::byte> take_all() { return std::move(bytes_); }

private:
    std::vector<std::byte> bytes_;
};

// Each key's address and way in.
using Locate = std::function<Result<FileSource>(const std::string& key)>;

class HttpObjects final : public Objects {
public:
    HttpObjects(HttpFetcher fetcher, Locate locate, bool writable)
        : fetcher_(std::move(fetcher)), locate_(std::move(locate)), writable_(writable) {}

    Result<bool> exists(const std::string& key) override {
        auto source = locate_(key);
        if (!source) {
            return source.error();
        }
        const HttpCall call{.method = "HEAD", .url = source->url};
        const auto status = fetcher_.send(call, source->credentials, source->hint);
        if (!status) {
            return status.error();
        }
        return *status != kNotFoundStatus;
    }

    Result<std::vector<std::byte>> get(const std::string& key, uint64_t bytes_max) override {
        auto source = locate_(key);
        if (!source) {
            return source.error();
        }
        HttpFetcher::Order order{.url = source->url,
                                 .bytes_max = bytes_max,
                                 .credentials = source->credentials,
                                 .hint = source->hint};
        MemorySink sink;
        auto fetched = fetcher_.fetch(order, sink);
        if (!fetched) {
            return std::move(fetched).error();
        }
        return sink.take_all();
    }

    Result<void> put(const std::string& key, std::span<const std::byte> bytes) override {
        auto source = locate_(key);
        if (!source) {
            return source.error();
        }
        if (!writable_) {
            return Error{ErrorCode::kUnsupported,
                         fmt::format("{}: a web server is only read from: push to s3:// or file://",
                                     source->url.origin())};
        }
        const HttpCall call{.method = "PUT", .url = source->url, .body = bytes};
        const auto status = fetcher_.send(call, source->credentials, source->hint);
        if (!status) {
            return status.error();
        }
        if (*status == kNotFoundStatus) {
            return Error{
                ErrorCode::kNotFound,
                fmt::format("{}: there is no such bucket: make it first", source->url.shown())};
        }
        return {};
    }

private:
    static constexpr int kNotFoundStatus = 404;

    HttpFetcher fetcher_;
    Locate locate_;
    bool writable_;
};

Result<std::unique_ptr<Objects>> open_bucket(std::string_view rest, const RemotePlace& place,
                                             HttpFetcher fetcher) {
    const auto access = s3_access(place.context.settings, place.context.environment);
    if (!access) {
        return access.error();
    }
    const std::string bucket(rest.substr(0, rest.find('/')));
    std::string prefix(rest.substr(bucket.size()));
    prefix.erase(0, prefix.find_first_not_of('/'));
    const Clock& clock = place.context.clock;
    Locate locate = [bucket, prefix = prefix.empty() ? prefix : prefix + "/", access = *access,
                     &clock](const std::string& key) {
        return s3_object(bucket, prefix + key, access, clock);
    };
    if (auto tried = locate("images"); !tried) {
        return tried.error();
    }
    return std::unique_ptr<Objects>(
        std::make_unique<HttpObjects>(std::move(fetcher), std::move(locate), /*writable=*/true));
}

}  // namespace

bool is_folder_address(std::string_view address) noexcept {
    return address.starts_with(kFolder);
}

Result<std::unique_ptr<Objects>> Objects::open(const RemotePlace& place) {
    std::string address = place.address;
    while (address.ends_with('/')) {
        address.pop_back();
    }
    if (is_folder_address(address)) {
        const std::string folder = address.substr(kFolder.size());
        if (!folder.starts_with('/')) {
            return Error{ErrorCode::kInvalidArgument,
                         "remote: file:// takes an absolute path, such as file:///srv/models"};
        }
        return std::unique_ptr<Objects>(std::make_unique<FolderObjects>(folder));
    }
    auto fetcher = HttpFetcher::create(place.context.settings.limits, place.cancelled);
    if (!fetcher) {
        return std::move(fetcher).error();
    }
    if (address.starts_with(kBucket)) {
        return open_bucket(std::string_view(address).substr(kBucket.size()), place,
                           std::move(fetcher).value());
    }
    auto base = parse_url(address);
    if (!base || base->target.find('?') != std::string::npos) {
        return Error{
            ErrorCode::kInvalidArgument,
            "remote: it must be s3://BUCKET/PREFIX, file:///FOLDER, or http(s)://HOST/PATH "
            "to pull from"};
    }
    Locate locate = [address](const std::string& key) -> Result<FileSource> {
        auto url = parse_url(address + "/" + key);
        if (!url) {
            return std::move(url).error();
        }
        return FileSource{.url = std::move(url).value(), .credentials = nullptr, .hint = ""};
    };
    return std::unique_ptr<Objects>(std::make_unique<HttpObjects>(
        std::move(fetcher).value(), std::move(locate), /*writable=*/false));
}

}  // namespace rekindle::remote
