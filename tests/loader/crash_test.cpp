// Kills a process that deploys, again and again on one folder, and looks whether what it had
// acknowledged is whole.
#include "base/random.h"
#include "base/unique_fd.h"
#include "base/units.h"
#include "tests/loader/temp_store.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <csignal>
#include <fcntl.h>
#include <spawn.h>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

using namespace rekindle;  // NOLINT(google-build-using-namespace): a test.

namespace {

// A store_writer whose acknowledgements are read line by line.
class Writer {
public:
    explicit Writer(std::vector<std::string> arguments) {
        int ends[2];
        REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
        read_ = UniqueFd(ends[0]);
        const UniqueFd write(ends[1]);
        posix_spawn_file_actions_t actions;
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_adddup2(&actions, write.get(), STDOUT_FILENO);
        arguments.insert(arguments.begin(), REKINDLE_STORE_WRITER);
        std::vector<char*> argv;
        for (std::string& argument : arguments) {
            argv.push_back(argument.data());
        }
        argv.push_back(nullptr);
        REQUIRE(::posix_spawn(&pid_, argv[0], &actions, nullptr, argv.data(), environ) == 0);
        posix_spawn_file_actions_destroy(&actions);
    }

    Writer(const Writer&) = delete;
    Writer& operator=(const Writer&) = delete;

    ~Writer() { kill(); }

    // Digests up to `count` lines or the end.
    std::vector<std::string> read_digests(size_t count) {
        std::vector<std::string> digests;
        char digit = 0;
        while (digests.size() < count && ::read(read_.get(), &digit, 1) == 1) {
            if (digit == '\n') {
                digests.push_back(std::exchange(line_, {}));
            } else {
                line_ += digit;
            }
        }
        return digests;
    }

    int kill() {
        int status = 0;
        if (pid_ > 0) {
            ::kill(pid_, SIGKILL);
            ::waitpid(std::exchange(pid_, 0), &status, 0);
        }
        return status;
    }

    int wait() {
        int status = 0;
        ::waitpid(std::exchange(pid_, 0), &status, 0);
        return status;
    }

private:
    pid_t pid_ = 0;
    UniqueFd read_;
    std::string line_;
};

uint64_t pack_bytes(const std::string& folder) {
    uint64_t bytes = 0;
    for (const std::string& file : test::pack_files(folder)) {
        bytes += test::file_size(file);
    }
    return bytes;
}

}  // namespace

TEST_CASE("every image that was acknowledged survives kill -9 at any instruction") {
    const test::TempFolder folder;
    std::vector<std::string> acknowledged;
    for (uint64_t round = 0; round < 12; ++round) {
        Writer writer({folder.path(), std::to_string(1000 * (round + 1))});
        // Killed while the next image is being written: where exactly is up to the machine.
        for (std::string& digest : writer.read_digests(1 + counter_random(3, 0, round) % 4)) {
            acknowledged.push_back(std::move(digest));
        }
        writer.kill();

        const auto store = test::open_store(folder.path());
        CHECK(pack_bytes(folder.path()) == store->stored_bytes());
    }
    const auto store = test::open_store(folder.path());
    for (const std::string& digest : acknowledged) {
        CHECK(test::readable(*store, digest));
    }
    CHECK(store->collect().ok());  // What was committed without its image.
    for (const std::string& digest : acknowledged) {
        CHECK(test::readable(*store, digest));
    }
}

TEST_CASE("dying inside of a write to a pack leaves earlier images whole and no tail") {
    for (const uint64_t limit : {600 * kKiB, 777 * kKiB + 123, 1 * kMiB}) {
        const test::TempFolder folder;
        Writer writer({folder.path(), "7", std::to_string(limit)});
        const auto acknowledged = writer.read_digests(1000);
        const int status = writer.wait();
        REQUIRE(WIFSIGNALED(status));
        CHECK(WTERMSIG(status) == SIGXFSZ);
        CHECK(pack_bytes(folder.path()) == limit);

        const auto store = test::open_store(folder.path());
        CHECK(pack_bytes(folder.path()) == store->stored_bytes());
        for (const std::string& digest : acknowledged) {
            CHECK(test::readable(*store, digest));
        }
    }
}

TEST_CASE("a second process is refused while the first one lives") {
    const test::TempFolder folder;
    Writer writer({folder.path(), "1"});
    REQUIRE(writer.read_digests(1).size() == 1);
    auto second = loader::ChunkStore::open(folder.path());
    REQUIRE_FALSE(second.ok());
    CHECK(second.error().code == ErrorCode::kConflict);
    writer.kill();
    CHECK(loader::ChunkStore::open(folder.path()).ok());
}
