// Kills a process that uses the ledger as the daemon does, and compares what the ledger says
// afterwards with what the process had told.
#include "base/random.h"
#include "base/unique_fd.h"
#include "tests/billing/billing_fixture.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <array>
#include <fcntl.h>
#include <map>
#include <optional>
#include <signal.h>
#include <spawn.h>
#include <sstream>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>
#include <vector>

using namespace rekindle;           // NOLINT(google-build-using-namespace): a test.
using namespace rekindle::billing;  // NOLINT(google-build-using-namespace): a test.

namespace {

constexpr uint64_t kCrashesMax = 6;  // Of one folder.

// What the helper told of one request.
struct Told {
    bool begun = false;
    bool ended = false;
    uint32_t sent = 0;
    uint32_t marked = 0;  // Sent when the last marks were written.
    std::optional<Outcome> outcome;
    uint32_t delivered = 0;  // Of its final record.
};

class Helper {
public:
    Helper(const std::string& folder, uint64_t seed, const char* mode, const std::string& crash) {
        std::array<int, 2> to{};
        std::array<int, 2> from{};
        REQUIRE(::pipe2(to.data(), O_CLOEXEC) == 0);
        REQUIRE(::pipe2(from.data(), O_CLOEXEC) == 0);
        const UniqueFd child_in(to[0]);
        const UniqueFd child_out(from[1]);
        in_ = UniqueFd(to[1]);
        out_ = UniqueFd(from[0]);
        posix_spawn_file_actions_t actions{};
        ::posix_spawn_file_actions_init(&actions);
        ::posix_spawn_file_actions_adddup2(&actions, child_in.get(), STDIN_FILENO);
        ::posix_spawn_file_actions_adddup2(&actions, child_out.get(), STDOUT_FILENO);
        std::string program = REKINDLE_LEDGER_CRASH_HELPER;
        std::string path = folder;
        std::string seed_text = std::to_string(seed);
        std::string mode_text = mode;
        std::string variable = "REKINDLE_LEDGER_CRASH=" + crash;
        std::array<char*, 5> arguments{program.data(), path.data(), seed_text.data(),
                                       mode_text.data(), nullptr};
        std::array<char*, 2> environment{variable.data(), nullptr};
        REQUIRE(::posix_spawn(&pid_, program.c_str(), &actions, nullptr, arguments.data(),
                              environment.data()) == 0);
        ::posix_spawn_file_actions_destroy(&actions);
    }

    Helper(const Helper&) = delete;
    Helper& operator=(const Helper&) = delete;

    ~Helper() {
        if (pid_ > 0) {
            kill_now();
            end();
        }
    }

    // Nothing at the end of its output; a line cut off by the kill does not count.
    std::optional<std::string> line() {
        size_t newline = buffer_.find('\n');
        while (newline == std::string::npos) {
            std::array<char, 4096> bytes{};
            const ssize_t got = ::read(out_.get(), bytes.data(), bytes.size());
            if (got <= 0) {
                return std::nullopt;
            }
            buffer_.append(bytes.data(), static_cast<size_t>(got));
            newline = buffer_.find('\n');
        }
        std::string line = buffer_.substr(0, newline);
        buffer_.erase(0, newline + 1);
        return line;
    }

    void kill_now() const { ::kill(pid_, SIGKILL); }

    // Waits for its end and says how it was.
    int end() {
        int status = 0;
        in_.reset();
        ::waitpid(std::exchange(pid_, 0), &status, 0);
        return status;
    }

private:
    pid_t pid_ = 0;
    UniqueFd in_;
    UniqueFd out_;
    std::string buffer_;
};

using Story = std::map<uint64_t, Told>;

void note(Story& story, const std::string& line) {
    std::istringstream words(line);
    std::string what;
    uint64_t number = 0;
    words >> what;
    if (what == "marked") {
        for (auto& [key, told] : story) {
            told.marked = told.sent;
        }
        return;
    }
    words >> number;
    Told& told = story[number];
    if (what == "begun") {
        told.begun = true;
    } else if (what == "sent") {
        words >> told.sent;
    } else if (what == "ended") {
        told.ended = true;
    } else {
        int outcome = 0;
        words >> outcome >> told.delivered;
        told.outcome = static_cast<Outcome>(outcome);
    }
}

// Runs the helper until it has told `lines` (then kills it) or dies at its named point.
Story run_and_kill(const std::string& folder, uint64_t seed, const char* mode,
                   const std::string& crash, uint64_t lines) {
    Helper helper(folder, seed, mode, crash);
    Story story;
    uint64_t told = 0;
    while (auto line = helper.line()) {
        note(story, *line);
        if (++told == lines) {
            helper.kill_now();
        }
    }
    const int status = helper.end();
    REQUIRE(WIFSIGNALED(status));
    REQUIRE(WTERMSIG(status) == SIGKILL);
    return story;
}

void check_request(const Ledger& ledger, uint64_t number, const Told& told, bool power) {
    CAPTURE(number);
    const auto found = ledger.find(id_of(number));
    if (told.ended) {  // Acknowledged: as it was, whatever happened since.
        REQUIRE(found.ok());
        REQUIRE(*found == final_of(number, *told.outcome, told.delivered, told.delivered));
        return;
    }
    if (power && !found.ok()) {  // Its begin had not been synced.
        REQUIRE(found.error().code == ErrorCode::kNotFound);
        return;
    }
    REQUIRE(found.ok());
    if (told.outcome && found->outcome == *told.outcome) {  // Durable, though nobody was told.
        REQUIRE(*found == final_of(number, *told.outcome, told.delivered, told.delivered));
        return;
    }
    REQUIRE(found->outcome == Outcome::kCrashed);
    REQUIRE(found->billed_completion <= told.sent);
    REQUIRE((power || found->billed_completion >= told.marked));
    REQUIRE((power || found->billed_completion + 1 >= told.sent));  // One token a step.
}

void check_story(const std::string& folder, const Story& story, bool power) {
    const SystemClock clock;
    const auto ledger = open_or_fail(folder, clock);
    const auto report = ledger->verify();
    REQUIRE(report.ok());
    CAPTURE((report->faults.empty() ? "" : report->faults.front()));
    REQUIRE(report->faults.empty());
    REQUIRE(report->open_requests == 0);
    UsageRow sum;
    for (const auto& [number, told] : story) {
        check_request(*ledger, number, told, power);
        if (const auto found = ledger->find(id_of(number)); found.ok()) {
            sum.requests += 1;
            sum.cost += found->cost;
        }
    }
    // A crash may leave one begin that the helper had not told of; it has cost nothing.
    const auto rows = ledger->usage({});
    REQUIRE(rows.ok());
    REQUIRE((rows->empty() ? PicoAmount{0} : rows->front().cost) == sum.cost);
    REQUIRE((rows->empty() ? 0 : rows->front().requests) >= sum.requests);
    REQUIRE((rows->empty() ? 0 : rows->front().requests) <= sum.requests + kCrashesMax);
}

}  // namespace

TEST_CASE("a kill at any moment loses no acknowledged record, doubles none, overbills none") {
    for (uint64_t round = 0; round < 24; ++round) {
        CAPTURE(round);
        const TempFolder folder;
        const uint64_t lines = 1 + counter_random(1, round, 0) % 1500;

        const Story story = run_and_kill(folder.path(), round, "run", "", lines);

        check_story(folder.path(), story, /*power=*/false);
    }
}

TEST_CASE("a kill at each named point of the ledger thread is recovered from") {
    for (const char* point : {"before_write", "before_sync", "before_done"}) {
        for (const int count : {1, 2, 7, 60}) {
            CAPTURE(point);
            CAPTURE(count);
            const TempFolder folder;

            const Story story = run_and_kill(folder.path(), 5, "run",
                                             fmt::format("{}:{}", point, count), UINT64_MAX);

            check_story(folder.path(), story, /*power=*/false);
        }
    }
}

TEST_CASE("a loss of power keeps every acknowledged record and never bills more than was sent") {
    for (uint64_t round = 0; round < 12; ++round) {
        CAPTURE(round);
        const TempFolder folder;
        const uint64_t lines = 1 + counter_random(2, round, 0) % 1500;

        const Story story = run_and_kill(folder.path(), round, "power", "", lines);

        check_story(folder.path(), story, /*power=*/true);
    }
}

TEST_CASE("one ledger survives many crashes in a row") {
    const TempFolder folder;
    Story all;
    for (uint64_t round = 0; round < 6; ++round) {
        CAPTURE(round);
        all.merge(run_and_kill(folder.path(), round, "run", "", 200 + round * 50));
        check_story(folder.path(), all, /*power=*/false);
    }
    check_story(folder.path(), all, /*power=*/false);  // Recovery is not repeated.
}

TEST_CASE("a ledger that another process has open is refused, and free when that one ends") {
    const TempFolder folder;
    const SystemClock clock;
    {
        Helper helper(folder.path(), 0, "hold", "");
        REQUIRE(helper.line() == "ready");

        const auto second = Ledger::open(folder.path(), clock);

        REQUIRE_FALSE(second.ok());
        CHECK(second.error().code == ErrorCode::kConflict);
    }
    CHECK(Ledger::open(folder.path(), clock).ok());
}

TEST_CASE("a folder that may not be written is refused with its name") {
    const TempFolder folder;
    std::filesystem::permissions(folder.path(), std::filesystem::perms(0555));
    Helper helper(folder.path(), 0, "open", "");

    const auto line = helper.line();

    REQUIRE(line.has_value());
    CHECK(*line == "ledger folder " + folder.path() + ": Permission denied");
    std::filesystem::permissions(folder.path(), std::filesystem::perms(0755));
}
