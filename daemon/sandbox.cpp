#include "daemon/sandbox.h"

#include "base/log.h"
#include "daemon/sandbox_landlock.h"
#include "daemon/sandbox_seccomp.h"

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace rekindle::daemon {

namespace {

constexpr int kStandardFds[] = {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO};
constexpr rlim_t kSanitizerFds = 64;  // Its runtime makes pipes.

Result<void> close_other_fds(std::vector<int> keep) {
    keep.insert(keep.end(), std::begin(kStandardFds), std::end(kStandardFds));
    std::sort(keep.begin(), keep.end());
    unsigned next = 0;
    for (const int fd : keep) {
        const auto kept = static_cast<unsigned>(fd);
        if (kept > next && ::syscall(SYS_close_range, next, kept - 1, 0) != 0) {
            return errno_error("sandbox: close_range", errno);
        }
        next = std::max(next, kept + 1);
    }
    if (::syscall(SYS_close_range, next, ~0U, 0) != 0) {
        return errno_error("sandbox: close_range", errno);
    }
    return {};
}

Result<void> set_limit(__rlimit_resource resource, rlim_t value) {
    rlimit limit{};
    if (::getrlimit(resource, &limit) != 0) {
        return errno_error("sandbox: getrlimit", errno);
    }
    limit.rlim_max = std::min(limit.rlim_max, value);
    limit.rlim_cur = limit.rlim_max;
    if (::setrlimit(resource, &limit) != 0) {
        return errno_error("sandbox: setrlimit", errno);
    }
    return {};
}

Result<void> set_limits(const SandboxProfile& profile) {
    // As many as the highest kept one needs: then no call can make another.
    rlim_t files = STDERR_FILENO + 1;
    for (const int fd : profile.keep_fds) {
        files = std::max(files, static_cast<rlim_t>(fd) + 1);
    }
    files = std::max<rlim_t>(files, profile.open_files_max);
    if (kSanitizerBuild) {
        files += kSanitizerFds;
    }
    if (Result<void> set = set_limit(RLIMIT_CORE, 0); !set) {
        return set;
    }
    if (Result<void> set = set_limit(RLIMIT_NOFILE, files); !set) {
        return set;
    }
    if (profile.address_space_bytes_max == 0 || kSanitizerBuild) {
        return {};
    }
    return set_limit(RLIMIT_AS, profile.address_space_bytes_max);
}

// A user namespace without any mapped id owns the others; its root folder is one without files:
// that of our own descriptors' descriptions, which vanishes with us.
bool enter_namespaces() noexcept {
    if (::unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWIPC) != 0) {
        return false;
    }
    return kSanitizerBuild || (::chroot("/proc/self/fdinfo") == 0 && ::chdir("/") == 0);
}

// Of this namespace or of the host: none is needed from here on.
Result<void> drop_capabilities() {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {};
    if (::syscall(SYS_capset, &header, none) != 0) {
        return errno_error("sandbox: capset", errno);
    }
    return {};
}

// Asked for after the credentials have changed, because such a change clears it.
Result<void> die_with_parent(pid_t parent) {
    if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) {
        return errno_error("sandbox: PR_SET_PDEATHSIG", errno);
    }
    if (parent != 0 && ::getppid() != parent) {
        return Error{ErrorCode::kUnavailable, "sandbox: the parent process has ended"};
    }
    return {};
}

Result<void> forbid_privileges() {
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        return errno_error("sandbox: PR_SET_NO_NEW_PRIVS", errno);
    }
    // No core, no ptrace and no /proc/PID/mem by other processes of the same user.
    if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
        return errno_error("sandbox: PR_SET_DUMPABLE", errno);
    }
    return {};
}

void log_report(const SandboxReport& report) {
    if (report.sanitizer) {
        log_warning("sandbox_relaxed", {{"reason", "sanitizer build"}});
    }
    if (!report.namespaces || !report.landlock) {
        log_warning("sandbox_weaker", {{"namespaces", report.namespaces},
                                       {"landlock", report.landlock},
                                       {"reason", "the system refused; seccomp holds alone"}});
    }
}

}  // namespace

Result<SandboxReport> enter_sandbox(const SandboxProfile& profile) {
    ::tzset();  // Log lines keep their time zone: it is read from a file.
    if (Result<void> closed = close_other_fds(profile.keep_fds); !closed) {
        return closed.error();
    }
    SandboxReport report;
    report.sanitizer = kSanitizerBuild;
    report.namespaces = enter_namespaces();
    if (Result<void> dropped = drop_capabilities(); !dropped) {
        return dropped.error();
    }
    if (Result<void> forbidden = forbid_privileges(); !forbidden) {
        return forbidden.error();
    }
    if (Result<void> bound = die_with_parent(profile.parent); !bound) {
        return bound.error();
    }
    report.landlock = enter_landlock();  // Needs a descriptor: before the limit on them.
    if (Result<void> limited = set_limits(profile); !limited) {
        return limited.error();
    }
    log_report(report);
    if (Result<void> confined = enter_seccomp(profile.kind); !confined) {
        return confined.error();
    }
    return report;
}

}  // namespace rekindle::daemon
