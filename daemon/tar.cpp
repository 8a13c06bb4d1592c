#include "daemon/tar.h"

#include "base/hash.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <string_view>

namespace rekindle::daemon {
namespace {

struct Place {
    size_t offset;
    size_t bytes;
};

constexpr Place kName{0, 100};
constexpr Place kMode{100, 8};
constexpr Place kOwner{108, 8};
constexpr Place kGroup{116, 8};
constexpr Place kSize{124, 12};
constexpr Place kModified{136, 12};
constexpr Place kChecksum{148, 8};
constexpr size_t kType = 156;
constexpr Place kMagic{257, 8};
constexpr Place kPrefix{345, 155};
constexpr std::string_view kUstar("ustar\00000", 8);
constexpr char kPlainFile = '0';
constexpr uint64_t kPrivateMode = 0600;

void put(std::string& head, Place place, std::string_view text) {
    head.replace(place.offset, std::min(place.bytes, text.size()), text.substr(0, place.bytes));
}

// Zero-padded octal digits, then a NUL.
void put_octal(std::string& head, Place place, uint64_t value) {
    put(head, place, fmt::format("{:0{}o}", value, place.bytes - 1));
}

std::string_view text_at(std::string_view head, Place place) {
    const std::string_view field = head.substr(place.offset, place.bytes);
    return field.substr(0, field.find('\0'));
}

std::optional<uint64_t> octal_at(std::string_view head, Place place) {
    const std::string_view digits = text_at(head, place);
    uint64_t value = 0;
    for (const char c : digits) {
        if (c < '0' || c > '7') {
            return std::nullopt;
        }
        value = value * 8 + static_cast<uint64_t>(c - '0');  // At most 11 digits: no overflow.
    }
    return digits.empty() ? std::nullopt : std::optional(value);
}

// With the checksum's own place full of spaces.
uint64_t checksum_of(std::string head) {
    put(head, kChecksum, std::string(kChecksum.bytes, ' '));
    return std::accumulate(head.begin(), head.end(), uint64_t{0}, [](uint64_t sum, char c) {
        return sum + static_cast<unsigned char>(c);
    });
}

// Where the name is cut into prefix and rest; 0: not at all.
std::optional<size_t> cut_of(std::string_view name) {
    if (name.empty() || name.find('\0') != std::string_view::npos) {
        return std::nullopt;
    }
    if (name.size() <= kName.bytes) {
        return 0;
    }
    const size_t cut = name.find('/', name.size() - kName.bytes - 1);
    const bool fits =
        cut != std::string_view::npos && cut <= kPrefix.bytes && cut > 0 && cut + 1 < name.size();
    return fits ? std::optional(cut) : std::nullopt;
}

}  // namespace

Result<std::string> tar_head(const TarFile& file) {
    const auto cut = cut_of(file.name);
    if (!cut || file.bytes > kTarFileBytesMax) {
        return Error{
            ErrorCode::kTooLarge,
            fmt::format("{} of {} bytes has no place in a tar archive", file.name, file.bytes)};
    }
    std::string head(kTarBlockBytes, '\0');
    const std::string_view name = file.name;
    put(head, kName, *cut == 0 ? name : name.substr(*cut + 1));
    put(head, kPrefix, name.substr(0, *cut));
    put_octal(head, kMode, kPrivateMode);
    put_octal(head, kOwner, 0);
    put_octal(head, kGroup, 0);
    put_octal(head, kSize, file.bytes);
    put_octal(head, kModified, static_cast<uint64_t>(std::max<int64_t>(file.modified_unix_s, 0)));
    head[kType] = kPlainFile;
    put(head, kMagic, kUstar);
    put(head, kChecksum, fmt::format("{:06o}", checksum_of(head)) + std::string("\0 ", 2));
    return head;
}

Result<std::optional<TarFile>> parse_tar_head(std::span<const std::byte, kTarBlockBytes> block) {
    const std::string head(as_text(block));
    if (std::all_of(head.begin(), head.end(), [](char c) { return c == '\0'; })) {
        return std::optional<TarFile>();
    }
    const auto checksum = octal_at(head, kChecksum);
    const auto bytes = octal_at(head, kSize);
    const auto modified = octal_at(head, kModified);
    if (!checksum || *checksum != checksum_of(head) || !bytes || *bytes > kTarFileBytesMax ||
        !modified || head[kType] != kPlainFile ||
        head.compare(kMagic.offset, kMagic.bytes, kUstar) != 0) {
        return Error{ErrorCode::kCorrupt, "a head of the archive is damaged"};
    }
    TarFile file{.bytes = *bytes, .modified_unix_s = static_cast<int64_t>(*modified)};
    const std::string_view prefix = text_at(head, kPrefix);
    file.name = prefix.empty() ? std::string() : std::string(prefix) + "/";
    file.name += text_at(head, kName);
    if (!cut_of(file.name)) {
        return Error{ErrorCode::kCorrupt, "a file of the archive has no name"};
    }
    return std::optional(std::move(file));
}

}  // namespace rekindle::daemon
