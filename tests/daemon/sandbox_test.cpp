#include "daemon/sandbox.h"

#include "base/unique_fd.h"
#include "tests/daemon/sandbox_probe.h"

#include <doctest/doctest.h>

#include <array>
#include <cstring>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sstream>
#include <string>
#include <string_view>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

extern char**
    environ;  // NOLINT(readability-redundant-declaration): POSIX leaves it to the program.

using rekindle::UniqueFd;
using rekindle::test::kAllowed;
using rekindle::test::kDenied;
using rekindle::test::kProbeSocketFd;
using rekindle::test::kProbeStrayFd;
using rekindle::test::kRefused;

namespace {

struct Spawned {
    pid_t pid = 0;
    UniqueFd socket;  // Ours of the pair whose other end is the probe's kProbeSocketFd.
    UniqueFd output;  // Read end of the probe's standard output.
};

// A file of one page that begins with '!'.
UniqueFd source_file() {
    auto fd = rekindle::create_memory_file("probe", 4096);
    REQUIRE(fd.ok());
    REQUIRE(::pwrite(fd->get(), "!", 1, 0) == 1);
    return std::move(fd).value();
}

// `given` becomes the probe's kProbeSocketFd; without one it gets the end of a socket pair.
Spawned spawn_probe(std::vector<std::string> arguments, const UniqueFd* given = nullptr) {
    std::array<int, 2> pair{};
    std::array<int, 2> pipe_ends{};
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) == 0);
    REQUIRE(::pipe2(pipe_ends.data(), O_CLOEXEC) == 0);
    const UniqueFd theirs(pair[1]);
    const UniqueFd their_output(pipe_ends[1]);
    Spawned spawned{0, UniqueFd(pair[0]), UniqueFd(pipe_ends[0])};

    // Copies far above the targets, so that no dup2 lands on a source of another.
    const UniqueFd copy(
        ::fcntl(given != nullptr ? given->get() : theirs.get(), F_DUPFD_CLOEXEC, 64));
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, their_output.get(), STDOUT_FILENO);
    ::posix_spawn_file_actions_adddup2(&actions, copy.get(), kProbeSocketFd);
    ::posix_spawn_file_actions_adddup2(&actions, copy.get(), kProbeStrayFd);
    arguments.insert(arguments.begin(), REKINDLE_SANDBOX_PROBE);
    std::vector<char*> argv;
    for (std::string& argument : arguments) {
        argv.push_back(argument.data());
    }
    argv.push_back(nullptr);
    const int failed =
        ::posix_spawn(&spawned.pid, argv[0], &actions, nullptr, argv.data(), environ);
    ::posix_spawn_file_actions_destroy(&actions);
    REQUIRE(failed == 0);
    return spawned;
}

// The exit code, or minus the number of the signal that ended it.
int wait_for(const Spawned& spawned) {
    int status = 0;
    REQUIRE(::waitpid(spawned.pid, &status, 0) == spawned.pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

int run_probe(std::vector<std::string> arguments, const UniqueFd* given = nullptr) {
    return wait_for(spawn_probe(std::move(arguments), given));
}

std::string self() {
    return std::to_string(::getpid());
}

std::vector<std::string> all_probes() {
    const Spawned spawned = spawn_probe({"worker", "list"});
    std::string text(16384, '\0');
    size_t used = 0;
    for (ssize_t got = 1; got > 0; used += static_cast<size_t>(got)) {
        got = ::read(spawned.output.get(), text.data() + used, text.size() - used);
        REQUIRE(got >= 0);
    }
    text.resize(used);
    REQUIRE(wait_for(spawned) == kAllowed);
    std::vector<std::string> names;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        names.push_back(line);
    }
    return names;
}

void send_descriptor(const UniqueFd& socket, const UniqueFd& passed) {
    char byte = 'x';
    iovec piece{&byte, 1};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    const int fd = passed.get();
    std::memcpy(CMSG_DATA(header), &fd, sizeof(fd));
    REQUIRE(::sendmsg(socket.get(), &message, MSG_NOSIGNAL) == 1);
}

bool is_denied(int outcome) {
    return outcome == kDenied || outcome == -SIGSYS;
}

// Root can become somebody else; anybody else is an ordinary user already.
std::vector<std::string> users() {
    return ::getuid() == 0 ? std::vector<std::string>{"root", "nobody"}
                           : std::vector<std::string>{"self"};
}

}  // namespace

TEST_CASE("everything that reaches outside of the process is denied to a worker and an importer") {
    const std::vector<std::string> probes = all_probes();
    REQUIRE(probes.size() > 30);
    for (const std::string& user : users()) {
        for (const char* const kind : {"worker", "importer"}) {
            for (const std::string& probe : probes) {
                CAPTURE(user);
                CAPTURE(kind);
                CAPTURE(probe);
                CHECK(is_denied(run_probe({kind, probe, self(), user})));
            }
        }
    }
}

TEST_CASE("the probes are not denied by themselves: outside of the sandbox they succeed") {
    for (const char* const probe :
         {"open", "create", "unlink", "open_relative", "socket", "socket_unix", "fork", "ptrace",
          "kill_self", "map_code", "memfd", "pidfd_open", "dumpable", "other_descriptor"}) {
        CAPTURE(probe);
        CHECK(run_probe({"bare", probe}) == kAllowed);
    }
    CHECK(run_probe({"bare", "exec"}) == 0);  // What /bin/true says.
}

TEST_CASE("a worker can still use threads, memory, its socket and descriptors that arrive there") {
    for (const std::string& user : users()) {
        const UniqueFd file = source_file();
        const Spawned spawned = spawn_probe({"worker", "work", self(), user});
        send_descriptor(spawned.socket, file);
        CAPTURE(user);
        CHECK(wait_for(spawned) == kAllowed);
        char answer = 0;
        CHECK(::recv(spawned.socket.get(), &answer, 1, 0) == 1);
        CHECK(answer == 'k');
    }
}

TEST_CASE("an importer can still read its mapped source and write its pipe") {
    for (const std::string& user : users()) {
        const UniqueFd file = source_file();
        const Spawned spawned = spawn_probe({"importer", "work", self(), user}, &file);
        CAPTURE(user);
        CHECK(wait_for(spawned) == kAllowed);
        char answer = 0;
        CHECK(::read(spawned.output.get(), &answer, 1) == 1);
        CHECK(answer == 'k');
    }
}

TEST_CASE("a worker may start threads, an importer may not") {
    CHECK(run_probe({"worker", "thread", self()}) == kAllowed);
    CHECK(run_probe({"importer", "thread", self()}) != kAllowed);
}

TEST_CASE("an abort inside of the sandbox still ends the process by SIGABRT") {
    CHECK(run_probe({"worker", "abort", self()}) == -SIGABRT);
}

TEST_CASE("a process whose parent is another than it was told does not start work") {
    CHECK(run_probe({"worker", "open", "1"}) == kRefused);
}

#if defined(__has_feature)
#if !__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer)
TEST_CASE("the importer's address space ends at its limit, a worker's does not") {
    CHECK(run_probe({"importer", "memory", self()}) == kDenied);
    CHECK(run_probe({"worker", "memory", self()}) == kAllowed);
}
#endif
#endif
