#include "daemon/archive_reader.h"

#include "base/hash.h"
#include "base/json.h"
#include "base/units.h"
#include "daemon/backup.h"
#include "daemon/tar.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <functional>
#include <optional>
#include <unistd.h>
#include <utility>
#include <vector>

namespace rekindle::daemon {
namespace {

constexpr size_t kPartBytes = 1 * kMiB;

struct Seen {
    std::string name;
    uint64_t bytes = 0;
    Sha256Digest digest{};
};

class Reader {
public:
    Reader(int fd, ArchiveSink& sink) : fd_(fd), sink_(sink) {}

    Result<void> run();

private:
    Result<void> fill(std::span<std::byte> out);
    Result<std::optional<TarFile>> next_head();
    // The content in parts, its padding after it.
    using Take = std::function<Result<void>(std::span<const std::byte>)>;
    Result<Sha256Digest> content(const TarFile& file, const Take& take);
    Result<std::string> text(const TarFile& file, uint64_t bytes_max);
    Result<void> check_begin();
    Result<void> give(const TarFile& file);
    Result<void> check_end(const TarFile& file);

    const int fd_;
    ArchiveSink& sink_;
    std::vector<Seen> seen_;
};

Error incomplete() {
    return Error{ErrorCode::kCorrupt, "the backup ends early: it is not complete"};
}

Result<void> Reader::fill(std::span<std::byte> out) {
    while (!out.empty()) {
        const ssize_t got = ::read(fd_, out.data(), out.size());
        if (got == 0) {
            return incomplete();
        }
        if (got < 0 && errno != EINTR) {
            return errno_error("reading the backup", errno);
        }
        out = out.subspan(got > 0 ? static_cast<size_t>(got) : 0);
    }
    return {};
}

Result<std::optional<TarFile>> Reader::next_head() {
    std::array<std::byte, kTarBlockBytes> block{};
    if (auto filled = fill(block); !filled) {
        return filled.error();
    }
    auto head = parse_tar_head(block);
    if (!head && !seen_.empty()) {
        return head.error().with_context("after " + seen_.back().name);
    }
    return head;
}

Result<Sha256Digest> Reader::content(const TarFile& file, const Take& take) {
    std::vector<std::byte> part(std::min<uint64_t>(kPartBytes, file.bytes));
    Sha256 hash;
    for (uint64_t left = file.bytes; left > 0;) {
        const auto some = std::span(part).first(std::min<uint64_t>(part.size(), left));
        auto done = fill(some);
        if (done) {
            hash.update(some);
            done = take(some);
        }
        if (!done) {
            return done.error().with_context(file.name);
        }
        left -= some.size();
    }
    std::array<std::byte, kTarBlockBytes> padding{};
    if (auto filled = fill(std::span(padding).first(tar_padding(file.bytes))); !filled) {
        return filled.error();
    }
    return hash.finish();
}

Result<std::string> Reader::text(const TarFile& file, uint64_t bytes_max) {
    if (file.bytes > bytes_max) {
        return Error{ErrorCode::kCorrupt, fmt::format("{} has {} bytes, the limit is {}", file.name,
                                                      file.bytes, bytes_max)};
    }
    std::string out;
    const auto digest = content(file, [&out](std::span<const std::byte> part) -> Result<void> {
        out += as_text(part);
        return {};
    });
    if (!digest) {
        return digest.error();
    }
    return out;
}

Result<void> Reader::check_begin() {
    const auto head = next_head();
    if (!head || !*head || (*head)->name != kBackupBegin) {
        return Error{ErrorCode::kCorrupt, "this is no backup of Rekindle"};
    }
    const TarFile& file = **head;
    const auto about = text(file, kPartBytes);
    if (!about) {
        return about.error();
    }
    const auto parsed = parse_json(*about, JsonLimits{});
    const auto version = parsed && parsed->is_object()
                             ? get_integer(parsed->get_object(), "rekindle_backup")
                             : Result<std::optional<int64_t>>(std::nullopt);
    if (!version || !*version) {
        return Error{ErrorCode::kCorrupt, file.name + " does not say which version it has"};
    }
    if (**version != kBackupVersion) {
        return Error{ErrorCode::kUnsupported,
                     fmt::format("the backup has format version {}, this rekindled reads {}: "
                                 "restore it with the rekindled that wrote it or a newer one",
                                 **version, kBackupVersion)};
    }
    seen_.push_back({file.name, file.bytes, sha256(as_bytes(*about))});
    return {};
}

Result<void> Reader::give(const TarFile& file) {
    if (!is_archive_name(file.name) || seen_.size() >= kBackupFilesMax) {
        return Error{ErrorCode::kCorrupt, file.name + " does not belong in a backup"};
    }
    if (auto begun = sink_.begin(file.name, file.bytes); !begun) {
        return begun.error().with_context(file.name);
    }
    const auto digest =
        content(file, [this](std::span<const std::byte> part) { return sink_.part(part); });
    if (!digest) {
        return digest.error();
    }
    seen_.push_back({file.name, file.bytes, *digest});
    return sink_.end().with_context(file.name);
}

// The list at the end names exactly what came, in its order.
Result<void> Reader::check_end(const TarFile& file) {
    const auto list = text(file, kBackupListBytesMax);
    if (!list) {
        return list.error();
    }
    const auto parsed = parse_json(*list, JsonLimits{.bytes_max = kBackupListBytesMax});
    const json::value* files =
        parsed && parsed->is_object() ? parsed->get_object().if_contains("files") : nullptr;
    if (files == nullptr || !files->is_array()) {
        return Error{ErrorCode::kCorrupt, file.name + " is damaged"};
    }
    const json::array& rows = files->get_array();
    for (size_t i = 0; i < std::max(rows.size(), seen_.size()); ++i) {
        if (i == seen_.size()) {
            return Error{ErrorCode::kCorrupt, "files that the backup lists are missing from it"};
        }
        const json::array wanted{seen_[i].name, seen_[i].bytes, to_hex(seen_[i].digest)};
        if (i == rows.size() || !rows[i].is_array() || rows[i].get_array() != wanted) {
            return Error{ErrorCode::kCorrupt,
                         seen_[i].name + " is damaged: it differs from the backup's list"};
        }
    }
    return {};
}

Result<void> Reader::run() {
    if (auto begun = check_begin(); !begun) {
        return begun;
    }
    while (true) {
        const auto head = next_head();
        if (!head) {
            return head.error();
        }
        if (!*head) {
            return incomplete();
        }
        if ((*head)->name == kBackupEnd) {
            return check_end(**head);
        }
        if (auto given = give(**head); !given) {
            return given;
        }
    }
}

}  // namespace

bool is_archive_name(std::string_view name) noexcept {
    const auto plain = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '.' || c == '_' || c == '-';
    };
    while (true) {
        const std::string_view component = name.substr(0, name.find('/'));
        if (component.empty() || component == "." || component == ".." ||
            !std::all_of(component.begin(), component.end(), plain)) {
            return false;
        }
        if (component.size() == name.size()) {
            return true;
        }
        name.remove_prefix(component.size() + 1);
    }
}

Result<void> read_archive(int fd, ArchiveSink& sink) {
    return Reader(fd, sink).run();
}

}  // namespace rekindle::daemon
