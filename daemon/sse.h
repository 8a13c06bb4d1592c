// Server-sent events: text that is appended to a buffer. Data never holds a line break here (it is
// JSON on one line), so one "data:" line is one event.
#pragma once
#include <string>
#include <string_view>

namespace rekindle::daemon {

inline constexpr std::string_view kSseContentType = "text/event-stream; charset=utf-8";

inline void append_sse_data(std::string& out, std::string_view data) {
    out += "data: ";
    out += data;
    out += "\n\n";
}

// Clients ignore comments; proxies see that the stream lives.
inline void append_sse_comment(std::string& out, std::string_view comment) {
    out += ": ";
    out += comment;
    out += "\n\n";
}

}  // namespace rekindle::daemon
