#include "cli/child_program.h"

#include "base/unique_fd.h"

#include <fmt/format.h>

#include <array>
#include <cerrno>
#include <fcntl.h>
#include <filesystem>
#include <spawn.h>
#include <sys/wait.h>
#include <system_error>
#include <unistd.h>

extern char** environ;  // POSIX leaves the declaration to the program.

namespace rekindle::cli {

namespace {

constexpr size_t kOutputBytesMax = 1U << 20;
constexpr int kSignalBase = 128;

// The whole output, or as much as may be; `fd` is closed then, so that the program ends.
Result<std::string> read_output(UniqueFd fd) {
    std::string text;
    std::array<char, 4096> piece{};
    for (;;) {
        const ssize_t got = ::read(fd.get(), piece.data(), piece.size());
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return errno_error("read the program's output", errno);
        }
        if (got == 0) {
            return text;
        }
        text.append(piece.data(), static_cast<size_t>(got));
        if (text.size() > kOutputBytesMax) {
            return Error{ErrorCode::kTooLarge,
                         fmt::format("it wrote more than {} bytes", kOutputBytesMax)};
        }
    }
}

int wait_for(pid_t pid) {
    int status = 0;
    while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFSIGNALED(status) ? kSignalBase + WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace

std::string program_path(const std::string& name) {
    std::error_code ec;
    const auto beside = std::filesystem::read_symlink("/proc/self/exe", ec).parent_path() / name;
    return std::filesystem::exists(beside, ec) ? beside.string() : name;
}

Result<ProgramEnd> run_program(const std::string& program, std::vector<std::string> arguments) {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
        return errno_error("pipe", errno);
    }
    UniqueFd reader(ends[0]);
    UniqueFd writer(ends[1]);
    arguments.insert(arguments.begin(), program);
    std::vector<char*> argv;
    for (std::string& argument : arguments) {
        argv.push_back(argument.data());
    }
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions{};
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, writer.get(), STDOUT_FILENO);
    pid_t pid = 0;
    const int failed =
        ::posix_spawnp(&pid, program.c_str(), &actions, nullptr, argv.data(), environ);
    ::posix_spawn_file_actions_destroy(&actions);
    if (failed != 0) {
        return errno_error(program, failed);
    }
    writer.reset();
    auto output = read_output(std::move(reader));
    const int exit_code = wait_for(pid);
    if (!output) {
        return std::move(output).error().with_context(program);
    }
    return ProgramEnd{.exit_code = exit_code, .output = std::move(output).value()};
}

}  // namespace rekindle::cli
