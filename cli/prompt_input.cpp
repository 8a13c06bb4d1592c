#include "cli/prompt_input.h"

#include "base/units.h"
#include "base/utf8.h"

#include <fmt/format.h>

#include <array>
#include <cerrno>
#include <poll.h>
#include <unistd.h>
#include <utility>

namespace rekindle::cli {

namespace {

constexpr uint64_t kPromptBytesMax = 16 * kMiB;

// Appends what one read gives; false at the end of the input.
Result<bool> read_some(std::string& out) {
    std::array<char, 16 * 1024> block;
    while (true) {
        const ssize_t got = read(STDIN_FILENO, block.data(), block.size());
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return errno_error("standard input", errno);
        }
        out.append(block.data(), static_cast<size_t>(got));
        if (out.size() > kPromptBytesMax) {
            return Error{ErrorCode::kTooLarge,
                         fmt::format("standard input: longer than {} bytes", kPromptBytesMax)};
        }
        return got > 0;
    }
}

}  // namespace

Result<std::string> read_prompt_from_stdin() {
    std::string prompt;
    while (true) {
        const auto more = read_some(prompt);
        if (!more) {
            return more.error();
        }
        if (!*more) {
            break;
        }
    }
    if (prompt.ends_with('\n')) {
        prompt.pop_back();
    }
    if (!is_valid_utf8(prompt)) {
        return Error{ErrorCode::kInvalidArgument, "standard input: the prompt is not UTF-8"};
    }
    return prompt;
}

bool LineReader::take_line(Line& line) {
    const size_t end = buffer_.find('\n');
    if (end == std::string::npos && (!ended_ || buffer_.empty())) {
        return false;
    }
    line.kind = Kind::kLine;
    line.text = buffer_.substr(0, end);
    buffer_.erase(0, end == std::string::npos ? end : end + 1);
    return true;
}

Result<LineReader::Line> LineReader::read() {
    Line line;
    while (!take_line(line)) {
        if (ended_) {
            return line;
        }
        std::array<pollfd, 2> waits{pollfd{STDIN_FILENO, POLLIN, 0},
                                    pollfd{interrupts_.fd(), POLLIN, 0}};
        if (poll(waits.data(), waits.size(), -1) < 0 && errno != EINTR) {
            return errno_error("wait for input", errno);
        }
        if (interrupts_.take()) {
            buffer_.clear();  // The terminal has thrown the typed line away, too.
            line.kind = Kind::kInterrupted;
            return line;
        }
        if (waits[0].revents != 0) {
            const auto more = read_some(buffer_);
            if (!more) {
                return more.error();
            }
            ended_ = !*more;
        }
    }
    return line;
}

}  // namespace rekindle::cli
