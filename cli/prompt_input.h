// Text that a person types or pipes in. Threading: one thread.
#pragma once
#include "base/result.h"
#include "cli/interrupts.h"

#include <string>

namespace rekindle::cli {

// Everything from standard input up to its end, without one line end at the end. kTooLarge beyond
// 16 MiB, kInvalidArgument when it is not UTF-8.
Result<std::string> read_prompt_from_stdin();

// Lines from standard input, where Ctrl-C is an answer of its own. A terminal edits the line.
class LineReader {
public:
    enum class Kind { kLine, kInterrupted, kEnd };

    struct Line {
        Kind kind = Kind::kEnd;
        std::string text;  // Without its line end.
    };

    explicit LineReader(Interrupts& interrupts) : interrupts_(interrupts) {}

    Result<Line> read();

private:
    // True when a whole line, or the last one, is in `line`.
    bool take_line(Line& line);

    Interrupts& interrupts_;
    std::string buffer_;
    bool ended_ = false;
};

}  // namespace rekindle::cli
