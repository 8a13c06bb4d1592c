// A child process of rekindled: spawned by posix_spawn (fork would copy page tables of gigabytes),
// watched through a pidfd, killed and reaped by its owner. The destructor kills and reaps.
// Threading: the io thread that spawned it. That thread must live as long as rekindled: children
// ask the kernel to die with the thread that started them.
#pragma once
#include "base/result.h"
#include "base/unique_fd.h"

#include <string>
#include <sys/types.h>
#include <vector>

namespace rekindle::daemon {

struct InheritedFd {
    int fd = -1;      // Ours.
    int target = -1;  // Number in the child.
};

class WorkerProcess {
public:
    // Everything but stderr and `inherited` is closed in the child.
    static Result<WorkerProcess> spawn(const std::string& executable,
                                       const std::vector<std::string>& arguments,
                                       const std::vector<InheritedFd>& inherited);
    WorkerProcess(WorkerProcess&& other) noexcept;
    WorkerProcess& operator=(WorkerProcess&&) = delete;
    ~WorkerProcess();

    pid_t pid() const noexcept { return pid_; }
    // Becomes readable when the process has ended.
    int pidfd() const noexcept { return pidfd_.get(); }
    void kill() noexcept;
    // Waits for the end (call after pidfd is readable or after kill): "exited with 1", "killed by
    // signal 9".
    std::string reap() noexcept;

private:
    WorkerProcess(pid_t pid, UniqueFd pidfd) : pid_(pid), pidfd_(std::move(pidfd)) {}

    pid_t pid_ = 0;
    UniqueFd pidfd_;
    bool reaped_ = false;
};

}  // namespace rekindle::daemon
