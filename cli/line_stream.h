// Text protocols that arrive in pieces: lines (NDJSON) and server-sent events. Both take bytes cut
// anywhere and call back once per whole item; an item is bounded, so a hostile peer costs no
// memory. Threading: none. Ownership: they keep only the unfinished item.
#pragma once
#include "base/result.h"

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

namespace rekindle::cli {

inline constexpr size_t kLineBytesMax = 4U << 20;  // A chunk with 20 log-probabilities is 10 KiB.

// Lines that end with LF, CR LF or a lone CR, as the event-stream format defines them.
class LineSplitter {
public:
    // `line` without its end. An error ends the feeding and is its result.
    using OnLine = std::function<Result<void>(std::string_view line)>;

    // kTooLarge for a line beyond kLineBytesMax.
    Result<void> feed(std::string_view bytes, const OnLine& on_line);

    // The unfinished last line.
    const std::string& rest() const noexcept { return line_; }

private:
    std::string line_;
    bool after_cr_ = false;
};

// Events of a text/event-stream. Only `data` and `event` count; comments, ids and retry are
// skipped.
class SseParser {
public:
    struct Event {
        std::string name;  // Empty: "message".
        std::string data;  // Lines joined by LF.
    };

    using OnEvent = std::function<Result<void>(const Event& event)>;

    Result<void> feed(std::string_view bytes, const OnEvent& on_event);

private:
    Result<void> take_line(std::string_view line, const OnEvent& on_event);

    LineSplitter lines_;
    Event event_;
    bool has_data_ = false;
    bool first_line_ = true;
};

}  // namespace rekindle::cli
