#include "cli/terminal.h"

#include "base/hash.h"
#include "base/unique_fd.h"
#include "cli/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <sys/ioctl.h>
#include <unistd.h>

namespace rekindle::cli {

bool is_terminal(int fd) noexcept {
    return isatty(fd) == 1;
}

size_t terminal_columns(int fd) noexcept {
    constexpr size_t kDefaultColumns = 80;
    winsize size{};
    if (ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) {
        return kDefaultColumns;
    }
    return size.ws_col;
}

bool draws_unicode(int fd) noexcept {
    if (!is_terminal(fd)) {
        return false;
    }
    for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
        const char* const locale = std::getenv(name);
        if (locale != nullptr && *locale != '\0') {
            return strcasestr(locale, "utf-8") != nullptr || strcasestr(locale, "utf8") != nullptr;
        }
    }
    return false;
}

Result<void> write_out(std::string_view text) {
    auto written = write_all(STDOUT_FILENO, as_bytes(text));
    return std::move(written).with_context("standard output");
}

void write_err(std::string_view text) {
    const auto ignored = write_all(STDERR_FILENO, as_bytes(text));
    static_cast<void>(ignored.ok());
}

void print_error(std::string_view message) {
    std::string line = printable(message);
    std::replace(line.begin(), line.end(), '\n', ' ');
    write_err(fmt::format("rekindle: {}\n", line));
}

std::string faint(std::string_view text, int fd) {
    if (!is_terminal(fd) || std::getenv("NO_COLOR") != nullptr) {
        return std::string(text);
    }
    return fmt::format("\x1b[2m{}\x1b[0m", text);
}

}  // namespace rekindle::cli
