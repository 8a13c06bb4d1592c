// A process that enters the sandbox and then tries one thing, for sandbox_test.
//   sandbox_probe worker|importer PROBE [PARENT_PID [nobody]]
//   sandbox_probe bare PROBE           without a sandbox
//   sandbox_probe worker list
// Exit: kDenied (the call failed), kAllowed (it succeeded), kRefused (enter_sandbox failed); work
// probes give kAllowed when everything worked. A call that is not even tried kindly: SIGSYS.
#include "tests/daemon/sandbox_probe.h"

#include "base/unique_fd.h"
#include "daemon/sandbox.h"

#include <array>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <linux/bpf.h>
#include <mutex>
#include <sched.h>
#include <signal.h>
#include <string_view>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace {

using namespace rekindle::test;  // NOLINT(google-build-using-namespace): the probe's own names.
using rekindle::daemon::enter_sandbox;
using rekindle::daemon::SandboxKind;

int verdict(long result) {
    return result < 0 ? kDenied : kAllowed;
}

long execute() {
    char path[] = "/bin/true";
    char* argv[] = {path, nullptr};
    char* environment[] = {nullptr};
    return ::execve(path, argv, environment);
}

long fork_process() {
    const long child = ::syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr);
    if (child == 0) {
        ::_exit(0);
    }
    return child;
}

long start_thread() {
    // As the C library does it first, then as it falls back.
    const unsigned long flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD;
    static std::array<char, 65536> stack;
    return ::syscall(SYS_clone, flags | CLONE_NEWUSER, stack.data() + stack.size() - 64, nullptr,
                     nullptr, nullptr);
}

long map_code(int protection) {
    void* const page =
        ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return page == MAP_FAILED ? 0 : ::mprotect(page, 4096, protection);
}

long send_to_path() {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, "/tmp/x");
    return ::sendto(kProbeSocketFd, "x", 1, MSG_NOSIGNAL,
                    reinterpret_cast<const sockaddr*>(&address), sizeof(address));
}

long raise_file_limit() {
    const rlimit limit{1 << 20, 1 << 20};
    return ::setrlimit(RLIMIT_NOFILE, &limit);
}

long stat_host_file() {
    struct stat info{};
    return ::fstatat(AT_FDCWD, "/etc/passwd", &info, AT_EMPTY_PATH);
}

struct Probe {
    std::string_view name;
    long (*attempt)();
};

const Probe kProbes[] = {
    {"open", [] { return static_cast<long>(::open("/etc/passwd", O_RDONLY)); }},
    {"create",
     [] { return static_cast<long>(::open("/tmp/rekindle_probe", O_CREAT | O_RDWR, 0600)); }},
    {"open_relative", [] { return static_cast<long>(::openat(AT_FDCWD, ".", O_RDONLY)); }},
    {"stat", stat_host_file},
    {"unlink", [] { return static_cast<long>(::unlink("/tmp/rekindle_probe")); }},
    {"socket", [] { return static_cast<long>(::socket(AF_INET, SOCK_STREAM, 0)); }},
    {"socket_unix", [] { return static_cast<long>(::socket(AF_UNIX, SOCK_STREAM, 0)); }},
    {"sendto_path", send_to_path},
    {"exec", execute},
    {"fork", fork_process},
    {"thread_with_namespace", start_thread},
    {"clone3", [] { return ::syscall(SYS_clone3, nullptr, 0); }},
    {"ptrace", [] { return ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr); }},
    {"ptrace_parent", [] { return ::ptrace(PTRACE_ATTACH, ::getppid(), nullptr, nullptr); }},
    {"io_uring", [] { return ::syscall(SYS_io_uring_setup, 8, nullptr); }},
    {"kill_self", [] { return static_cast<long>(::kill(::getpid(), 0)); }},
    {"kill_init", [] { return static_cast<long>(::kill(1, 0)); }},
    {"tgkill_init", [] { return ::syscall(SYS_tgkill, 1, 1, 0); }},
    {"map_code", [] { return map_code(PROT_READ | PROT_EXEC); }},
    {"memfd", [] { return static_cast<long>(::memfd_create("probe", 0)); }},
    {"mount", [] { return static_cast<long>(::mount("none", "/", "tmpfs", 0, nullptr)); }},
    {"unshare", [] { return static_cast<long>(::unshare(CLONE_NEWUSER)); }},
    {"chroot", [] { return static_cast<long>(::chroot("/")); }},
    {"setuid", [] { return static_cast<long>(::setuid(0)); }},
    {"bpf", [] { return ::syscall(SYS_bpf, BPF_MAP_CREATE, nullptr, 0); }},
    {"perf", [] { return ::syscall(SYS_perf_event_open, nullptr, 0, -1, -1, 0); }},
    {"userfaultfd", [] { return ::syscall(SYS_userfaultfd, 0); }},
    {"keyctl", [] { return ::syscall(SYS_keyctl, 0, 0); }},
    {"read_other_memory",
     [] { return ::syscall(SYS_process_vm_readv, ::getpid(), nullptr, 0, nullptr, 0, 0); }},
    {"pidfd_open", [] { return ::syscall(SYS_pidfd_open, ::getpid(), 0); }},
    {"raise_limit", raise_file_limit},
    {"dumpable", [] { return static_cast<long>(::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)); }},
    {"other_descriptor", [] { return static_cast<long>(::fcntl(kProbeStrayFd, F_GETFD)); }},
};

// What a worker does all day: memory, threads that wait for each other, a descriptor received over
// the socket and mapped, an answer sent.
bool worker_works() {
    std::mutex mutex;
    std::condition_variable ready;
    int done = 0;
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&mutex, &ready, &done] {
            const std::vector<char> block(8U << 20, 'x');
            const std::lock_guard lock(mutex);
            done += block.back() == 'x' ? 1 : 0;
            ready.notify_one();
        });
    }
    std::unique_lock lock(mutex);
    ready.wait(lock, [&done] { return done == 4; });
    lock.unlock();

    char byte = 0;
    iovec piece{&byte, 1};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    if (::recvmsg(kProbeSocketFd, &message, MSG_CMSG_CLOEXEC) != 1) {
        return false;
    }
    const cmsghdr* const header = CMSG_FIRSTHDR(&message);
    if (header == nullptr) {
        return false;
    }
    int fd = -1;
    std::memcpy(&fd, CMSG_DATA(header), sizeof(fd));
    const auto bytes = rekindle::file_bytes(fd);
    if (!bytes) {
        return false;
    }
    const auto mapping = rekindle::Mapping::read_only(fd, *bytes);
    return mapping.ok() && mapping->data()[0] == std::byte{'!'} &&
           ::send(kProbeSocketFd, "k", 1, MSG_NOSIGNAL) == 1;
}

// What an importer does: large memory, a mapped source, a pipe.
bool importer_works() {
    const auto bytes = rekindle::file_bytes(kProbeSocketFd);
    if (!bytes) {
        return false;
    }
    const auto mapping = rekindle::Mapping::read_only(kProbeSocketFd, *bytes);
    const std::vector<char> block(64U << 20, 'x');
    return mapping.ok() && mapping->data()[0] == std::byte{'!'} && block.back() == 'x' &&
           ::write(STDOUT_FILENO, "k", 1) == 1;
}

int run_probe(std::string_view name, SandboxKind kind) {
    if (name == "work") {
        return (kind == SandboxKind::kWorker ? worker_works() : importer_works()) ? kAllowed
                                                                                  : kDenied;
    }
    if (name == "thread") {  // Its failure throws, which ends the importer: it never starts any.
        std::thread([] {}).join();
        return kAllowed;
    }
    if (name == "abort") {
        std::abort();
    }
    if (name == "memory") {  // Beyond RLIMIT_AS.
        return ::mmap(nullptr, size_t{8} << 30, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) == MAP_FAILED
                   ? kDenied
                   : kAllowed;
    }
    for (const Probe& probe : kProbes) {
        if (probe.name == name) {
            return verdict(probe.attempt());
        }
    }
    return kUnknown;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 3) {
        return kUnknown;
    }
    const std::string_view name = argv[2];
    if (name == "list") {
        for (const Probe& probe : kProbes) {
            std::printf("%.*s\n", static_cast<int>(probe.name.size()), probe.name.data());
        }
        return kAllowed;
    }
    const std::string_view mode = argv[1];
    if (mode == "bare") {
        std::_Exit(run_probe(name, SandboxKind::kWorker));
    }
    const auto kind = mode == "worker" ? SandboxKind::kWorker : SandboxKind::kImporter;
    if (argc > 4 && std::string_view(argv[4]) == "nobody" &&
        (::setgid(65534) != 0 || ::setuid(65534) != 0)) {
        return kUnknown;
    }
    const auto entered =
        enter_sandbox({.kind = kind,
                       .keep_fds = {kProbeSocketFd},
                       .parent = argc > 3 ? std::atoi(argv[3]) : 0,
                       .address_space_bytes_max = kind == SandboxKind::kImporter ? 4ULL << 30 : 0,
                       .open_files_max = 16});
    if (!entered) {
        std::fprintf(stderr, "%s\n", entered.error().message.c_str());
        return kRefused;
    }
    // Without the runtime's own work at exit, as worker and importer end.
    std::_Exit(run_probe(name, kind));
}
