#include "cli/line_stream.h"

#include <fmt/format.h>

#include <utility>

namespace rekindle::cli {

namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

Error too_long() {
    return Error{ErrorCode::kTooLarge,
                 fmt::format("the daemon sent a line longer than {} bytes", kLineBytesMax)};
}

}  // namespace

Result<void> LineSplitter::feed(std::string_view bytes, const OnLine& on_line) {
    for (const char byte : bytes) {
        const bool lf_of_crlf = after_cr_ && byte == '\n';
        after_cr_ = byte == '\r';
        if (lf_of_crlf) {
            continue;
        }
        if (byte != '\n' && byte != '\r') {
            if (line_.size() >= kLineBytesMax) {
                return too_long();
            }
            line_.push_back(byte);
            continue;
        }
        const std::string line = std::exchange(line_, {});
        auto taken = on_line(line);
        if (!taken) {
            return taken;
        }
    }
    return {};
}

Result<void> SseParser::feed(std::string_view bytes, const OnEvent& on_event) {
    return lines_.feed(bytes, [&](std::string_view line) { return take_line(line, on_event); });
}

Result<void> SseParser::take_line(std::string_view line, const OnEvent& on_event) {
    if (std::exchange(first_line_, false) && line.starts_with(kByteOrderMark)) {
        line.remove_prefix(kByteOrderMark.size());
    }
    if (line.empty()) {
        const Event event = std::exchange(event_, {});
        return std::exchange(has_data_, false) ? on_event(event) : Result<void>{};
    }
    const size_t colon = line.find(':');
    const std::string_view field = line.substr(0, colon);
    std::string_view value = colon == std::string_view::npos ? "" : line.substr(colon + 1);
    if (value.starts_with(' ')) {
        value.remove_prefix(1);
    }
    if (field == "event") {
        event_.name = value;
    } else if (field == "data") {
        if (event_.data.size() + value.size() > kLineBytesMax) {
            return too_long();
        }
        if (std::exchange(has_data_, true)) {
            event_.data.push_back('\n');
        }
        event_.data.append(value);
    }
    return {};
}

}  // namespace rekindle::cli
