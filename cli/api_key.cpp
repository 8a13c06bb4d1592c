#include "cli/api_key.h"

#include "base/unique_fd.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <unistd.h>

namespace rekindle::cli {

namespace {

constexpr size_t kKeyBytesMax = 512;  // Ours have 78; a gateway's may be longer.

}  // namespace

Result<std::string> clean_key(std::string_view text, std::string_view where) {
    constexpr std::string_view kSpace = " \t\r\n";
    const size_t begin = std::min(text.find_first_not_of(kSpace), text.size());
    text.remove_prefix(begin);
    text = text.substr(0, text.find_last_not_of(kSpace) + 1);
    const bool sendable =
        std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < '\x7f'; });
    if (text.empty() || text.size() > kKeyBytesMax || !sendable) {
        return Error{ErrorCode::kInvalidArgument,
                     fmt::format("{} holds no API key: one line of up to {} characters", where,
                                 kKeyBytesMax)};
    }
    return std::string(text);
}

Result<std::string> find_api_key(const std::string& key_file) {
    if (key_file.empty()) {
        const char* value = std::getenv(kKeyVariable);
        return value == nullptr || *value == 0 ? Result<std::string>(std::string())
                                               : clean_key(value, kKeyVariable);
    }
    const UniqueFd fd(::open(key_file.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd.valid()) {
        return errno_error(key_file, errno);
    }
    std::array<char, 2 * kKeyBytesMax> buffer{};
    const ssize_t got = ::read(fd.get(), buffer.data(), buffer.size());
    if (got < 0) {
        return errno_error(key_file, errno);
    }
    return clean_key(std::string_view(buffer.data(), static_cast<size_t>(got)), key_file);
}

}  // namespace rekindle::cli
