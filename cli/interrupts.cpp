#include "cli/interrupts.h"

#include <cerrno>
#include <sys/signalfd.h>
#include <unistd.h>
#include <utility>

namespace rekindle::cli {

Interrupts::Interrupts(UniqueFd fd, const sigset_t& before) noexcept
    : fd_(std::move(fd)), before_(before) {}

Interrupts::~Interrupts() {
    if (fd_.valid()) {
        pthread_sigmask(SIG_SETMASK, &before_, nullptr);
    }
}

Result<Interrupts> Interrupts::open() {
    sigset_t interrupt;
    sigemptyset(&interrupt);
    sigaddset(&interrupt, SIGINT);
    sigset_t before;
    if (const int failed = pthread_sigmask(SIG_BLOCK, &interrupt, &before); failed != 0) {
        return errno_error("block SIGINT", failed);
    }
    UniqueFd fd(signalfd(-1, &interrupt, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!fd.valid()) {
        const int error_number = errno;
        pthread_sigmask(SIG_SETMASK, &before, nullptr);
        return errno_error("signalfd", error_number);
    }
    return Interrupts(std::move(fd), before);
}

bool Interrupts::take() noexcept {
    bool taken = false;
    signalfd_siginfo info{};
    while (read(fd_.get(), &info, sizeof(info)) == static_cast<ssize_t>(sizeof(info))) {
        taken = true;
    }
    return taken;
}

}  // namespace rekindle::cli
