// Ctrl-C as something to poll for, without a signal handler: SIGINT is blocked while an Interrupts
// lives and read from a signalfd, so that none is lost between a check and a wait.
// Threading: the main thread, before others start (the mask is inherited). At most one lives.
#pragma once
#include "base/result.h"
#include "base/unique_fd.h"

#include <csignal>

namespace rekindle::cli {

class [[nodiscard]] Interrupts {
public:
    static Result<Interrupts> open();
    Interrupts(Interrupts&&) noexcept = default;
    Interrupts& operator=(Interrupts&&) = delete;
    ~Interrupts();

    // Readable when Ctrl-C was pressed.
    int fd() const noexcept { return fd_.get(); }

    // True when Ctrl-C was pressed since the last call.
    bool take() noexcept;

private:
    Interrupts(UniqueFd fd, const sigset_t& before) noexcept;

    UniqueFd fd_;
    sigset_t before_;
};

}  // namespace rekindle::cli
