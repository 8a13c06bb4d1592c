#include "daemon/worker_process.h"

#include <fmt/format.h>

#include <cerrno>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>

extern char** environ;  // POSIX leaves the declaration to the program.

namespace rekindle::daemon {
namespace {

// posix_spawn's file actions, freed in every path.
class FileActions {
public:
    FileActions() { ::posix_spawn_file_actions_init(&actions_); }
    FileActions(const FileActions&) = delete;
    FileActions& operator=(const FileActions&) = delete;
    ~FileActions() { ::posix_spawn_file_actions_destroy(&actions_); }

    bool duplicate(int fd, int target) {
        return ::posix_spawn_file_actions_adddup2(&actions_, fd, target) == 0;
    }
    bool close_from(int first) {
        return ::posix_spawn_file_actions_addclosefrom_np(&actions_, first) == 0;
    }
    bool open_null(int target) {
        return ::posix_spawn_file_actions_addopen(&actions_, target, "/dev/null", O_RDWR, 0) == 0;
    }
    posix_spawn_file_actions_t* get() noexcept { return &actions_; }

private:
    posix_spawn_file_actions_t actions_{};
};

// dup2 onto its own number would keep close-on-exec, and targets may collide with sources: copies
// above every target avoid both.
Result<std::vector<UniqueFd>> copies_above(const std::vector<InheritedFd>& inherited, int floor) {
    std::vector<UniqueFd> copies;
    for (const InheritedFd& item : inherited) {
        const int copy = ::fcntl(item.fd, F_DUPFD_CLOEXEC, floor);
        if (copy < 0) {
            return errno_error("descriptor for a child process", errno);
        }
        copies.emplace_back(copy);
    }
    return copies;
}

}  // namespace

Result<WorkerProcess> WorkerProcess::spawn(const std::string& executable,
                                           const std::vector<std::string>& arguments,
                                           const std::vector<InheritedFd>& inherited) {
    constexpr int kTargetsEnd = 16;  // Children get descriptors below this.
    const auto copies = copies_above(inherited, kTargetsEnd);
    if (!copies) {
        return copies.error();
    }
    FileActions actions;
    bool planned = actions.open_null(STDIN_FILENO) && actions.open_null(STDOUT_FILENO);
    int next = STDERR_FILENO + 1;
    for (size_t i = 0; i < inherited.size(); ++i) {
        REKINDLE_CHECK(inherited[i].target == next, "targets are 3, 4, … in order");
        planned = planned && actions.duplicate((*copies)[i].get(), next);
        ++next;
    }
    planned = planned && actions.close_from(next);
    if (!planned) {
        return Error{ErrorCode::kResourceExhausted, "no memory to plan a child process"};
    }
    std::vector<std::string> storage{executable};
    storage.insert(storage.end(), arguments.begin(), arguments.end());
    std::vector<char*> argv;
    for (std::string& argument : storage) {
        argv.push_back(argument.data());
    }
    argv.push_back(nullptr);
    pid_t pid = 0;
    const int failed =
        ::posix_spawn(&pid, executable.c_str(), actions.get(), nullptr, argv.data(), environ);
    if (failed != 0) {
        return errno_error("start " + executable, failed);
    }
    UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    if (!pidfd.valid()) {
        const int reason = errno;
        ::kill(pid, SIGKILL);
        ::waitpid(pid, nullptr, 0);
        return errno_error("pidfd_open", reason);
    }
    return WorkerProcess(pid, std::move(pidfd));
}

WorkerProcess::WorkerProcess(WorkerProcess&& other) noexcept
    : pid_(std::exchange(other.pid_, 0)), pidfd_(std::move(other.pidfd_)), reaped_(other.reaped_) {}

WorkerProcess::~WorkerProcess() {
    if (pid_ > 0 && !reaped_) {
        kill();
        static_cast<void>(reap());
    }
}

void WorkerProcess::kill() noexcept {
    if (pid_ > 0 && !reaped_) {
        ::kill(pid_, SIGKILL);  // The pid is ours until reaped, so it can't name another process.
    }
}

std::string WorkerProcess::reap() noexcept {
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    reaped_ = true;
    if (WIFSIGNALED(status)) {
        return fmt::format("killed by signal {}", WTERMSIG(status));
    }
    return fmt::format("exited with {}", WEXITSTATUS(status));
}

}  // namespace rekindle::daemon
