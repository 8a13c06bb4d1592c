#include "cli/progress.h"

#include "cli/terminal.h"
#include "cli/text.h"

#include <fmt/format.h>

#include <unistd.h>
#include <utility>

namespace rekindle::cli {

Progress::Progress(bool shown) : shown_(shown), terminal_(is_terminal(STDERR_FILENO)) {}

void Progress::update(std::string_view phase, uint64_t done, uint64_t total) {
    constexpr unsigned kLineStep = 10;  // Percents between two lines where there is no terminal.
    if (!shown_) {
        return;
    }
    const bool new_phase = phase != phase_;
    const unsigned percent = percent_of(done, total);
    const unsigned step = terminal_ ? 1 : kLineStep;
    if (!new_phase && percent / step == percent_ / step) {
        return;
    }
    if (terminal_) {
        if (new_phase && drawn_) {
            write_err("\n");
        }
        const std::string bar =
            format_progress(printable(phase), done, total, terminal_columns(STDERR_FILENO) - 1);
        write_err(fmt::format("\r{}\x1b[K", bar));
        drawn_ = true;
    } else {
        constexpr size_t kNoBarColumns = 0;
        write_err(format_progress(printable(phase), done, total, kNoBarColumns) + "\n");
    }
    phase_ = phase;
    percent_ = percent;
}

void Progress::finish() {
    if (std::exchange(drawn_, false)) {
        write_err("\n");
    }
}

}  // namespace rekindle::cli
