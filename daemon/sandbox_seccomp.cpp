#include "daemon/sandbox_seccomp.h"

#include <seccomp.h>

#include <cerrno>
#include <cstdint>
#include <fcntl.h>
#include <initializer_list>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>
#include <utility>

namespace rekindle::daemon {

namespace {

// Ours alone, without conditions: memory, time, signals to ourselves, descriptors that we hold.
constexpr int kAllowed[] = {
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(madvise),
    SCMP_SYS(brk),
    SCMP_SYS(futex),
    SCMP_SYS(getrandom),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_getres),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(nanosleep),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(time),
    SCMP_SYS(getpid),
    SCMP_SYS(gettid),
    SCMP_SYS(getcpu),
    SCMP_SYS(getrusage),
    SCMP_SYS(sched_yield),
    SCMP_SYS(uname),
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(rseq),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(read),
    SCMP_SYS(readv),
    SCMP_SYS(pread64),
    SCMP_SYS(write),
    SCMP_SYS(writev),
    SCMP_SYS(close),
    SCMP_SYS(lseek),
    SCMP_SYS(fstat),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
};

// The worker's socket. Addresses can't be named: sendto is conditional.
constexpr int kAllowedWorker[] = {
    SCMP_SYS(recvmsg),
    SCMP_SYS(recvfrom),
    SCMP_SYS(sendmsg),
    SCMP_SYS(shutdown),
};

// Sanitizer runtimes probe memory through pipes and look at limits.
constexpr int kAllowedSanitizer[] = {
    SCMP_SYS(pipe), SCMP_SYS(pipe2), SCMP_SYS(personality), SCMP_SYS(getrlimit), SCMP_SYS(dup),
};

// Libraries try these and go on without them; nothing is given away by an error.
constexpr std::pair<int, int> kRefused[] = {
    {SCMP_SYS(open), EACCES},       {SCMP_SYS(openat), EACCES},
    {SCMP_SYS(openat2), EACCES},    {SCMP_SYS(access), EACCES},
    {SCMP_SYS(faccessat), EACCES},  {SCMP_SYS(faccessat2), EACCES},
    {SCMP_SYS(stat), EACCES},       {SCMP_SYS(lstat), EACCES},
    {SCMP_SYS(statx), ENOSYS},      {SCMP_SYS(readlink), EACCES},
    {SCMP_SYS(readlinkat), EACCES}, {SCMP_SYS(clone3), ENOSYS},
    {SCMP_SYS(sysinfo), EPERM},     {SCMP_SYS(membarrier), ENOSYS},
    {SCMP_SYS(mbind), EPERM},       {SCMP_SYS(sched_setscheduler), EPERM},
    {SCMP_SYS(getuid), EPERM},
};

constexpr uint64_t kNamespaceFlags = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC |
                                     CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;
constexpr uint64_t kThreadFlags = CLONE_THREAD | CLONE_VM | CLONE_SIGHAND;

// Conditions on the argument `index` (libseccomp's own macros are C only). Arguments of type int
// leave the upper half of their register undefined, so it is masked away.
constexpr scmp_arg_cmp masked(unsigned index, uint64_t mask, uint64_t value) noexcept {
    return {.arg = index, .op = SCMP_CMP_MASKED_EQ, .datum_a = mask, .datum_b = value};
}

constexpr scmp_arg_cmp equals_int(unsigned index, int value) noexcept {
    constexpr uint64_t kIntMask = 0xffffffff;
    return masked(index, kIntMask, static_cast<uint32_t>(value));
}

constexpr scmp_arg_cmp is_null(unsigned index) noexcept {
    return {.arg = index, .op = SCMP_CMP_EQ, .datum_a = 0, .datum_b = 0};
}

class Filter {
public:
    explicit Filter(uint32_t default_action) : context_(seccomp_init(default_action)) {}

    Filter(const Filter&) = delete;
    Filter& operator=(const Filter&) = delete;

    ~Filter() {
        if (context_ != nullptr) {
            seccomp_release(context_);
        }
    }

    bool valid() const noexcept { return context_ != nullptr; }

    bool failed() const noexcept { return failed_; }

    void set(scmp_filter_attr attribute, uint32_t value) {
        failed_ = seccomp_attr_set(context_, attribute, value) != 0 || failed_;
    }

    void add(uint32_t action, int call, std::initializer_list<scmp_arg_cmp> conditions = {}) {
        const int error = seccomp_rule_add_array(
            context_, action, call, static_cast<unsigned>(conditions.size()), conditions.begin());
        // -EDOM and -EACCES: this machine has no such call, or it is the default anyway.
        failed_ = (error != 0 && error != -EDOM && error != -EACCES) || failed_;
    }

    void allow(int call, std::initializer_list<scmp_arg_cmp> conditions = {}) {
        add(SCMP_ACT_ALLOW, call, conditions);
    }

    // Gives 0, or a negative error number.
    int load() const { return seccomp_load(context_); }

private:
    scmp_filter_ctx context_;
    bool failed_ = false;
};

// Calls that are ours with some arguments only. Two rules for one call must not overlap: the
// refusal covers exactly what the permission leaves.
void add_conditional(Filter& filter) {
    for (const int call : {SCMP_SYS(mmap), SCMP_SYS(mprotect)}) {  // No new code.
        filter.allow(call, {masked(2, PROT_EXEC, 0)});
    }
    // fstat() of the C library; paths lead nowhere, the root folder is empty.
    filter.allow(SCMP_SYS(newfstatat), {equals_int(3, AT_EMPTY_PATH)});
    const pid_t self = ::getpid();
    filter.allow(SCMP_SYS(tgkill), {equals_int(0, self)});  // abort()
    filter.allow(SCMP_SYS(sched_getaffinity), {equals_int(0, 0)});
    filter.allow(SCMP_SYS(sched_getaffinity), {equals_int(0, self)});
    filter.allow(SCMP_SYS(prlimit64), {equals_int(0, 0), is_null(2)});
    filter.allow(SCMP_SYS(prctl), {equals_int(0, PR_SET_NAME)});
    filter.add(SCMP_ACT_ERRNO(ENOTTY), SCMP_SYS(ioctl), {equals_int(1, TCGETS)});
    for (const int command : {F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC, F_GET_SEALS}) {
        filter.allow(SCMP_SYS(fcntl), {equals_int(1, command)});
    }
}

void add_worker(Filter& filter) {
    for (const int call : kAllowedWorker) {
        filter.allow(call);
    }
    filter.allow(SCMP_SYS(sendto), {is_null(4)});
    // Threads, never processes or namespaces.
    filter.allow(SCMP_SYS(clone), {masked(0, kThreadFlags | kNamespaceFlags, kThreadFlags)});
}

}  // namespace

Result<void> enter_seccomp(SandboxKind kind) {
    Filter filter(kSanitizerBuild ? SCMP_ACT_ERRNO(EPERM) : SCMP_ACT_KILL_PROCESS);
    if (!filter.valid()) {
        return Error{ErrorCode::kUnavailable, "sandbox: no memory for the seccomp filter"};
    }
    filter.set(SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    filter.set(SCMP_FLTATR_CTL_TSYNC, 1);
    filter.set(SCMP_FLTATR_CTL_OPTIMIZE, 2);  // A binary tree: futex and recvmsg stay cheap.
    for (const int call : kAllowed) {
        filter.allow(call);
    }
    for (const auto& [call, error] : kRefused) {
        filter.add(SCMP_ACT_ERRNO(static_cast<uint16_t>(error)), call);
    }
    add_conditional(filter);
    if (kind == SandboxKind::kWorker) {
        add_worker(filter);
    }
    if (kSanitizerBuild) {
        for (const int call : kAllowedSanitizer) {
            filter.allow(call);
        }
    }
    if (filter.failed()) {
        return Error{ErrorCode::kUnavailable, "sandbox: libseccomp refused a rule"};
    }
    if (const int error = filter.load(); error != 0) {
        return Error{ErrorCode::kUnavailable,
                     errno_error("sandbox: load the seccomp filter", -error).message};
    }
    return {};
}

}  // namespace rekindle::daemon
