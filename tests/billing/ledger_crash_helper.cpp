// A daemon's use of the ledger, made to be killed: streams begin, deliver tokens step by step, mark
// them and end, and every fact is told to the parent (one line on stdout) before or after it
// happens. Arguments: FOLDER SEED MODE.
//   run    until killed; "power": what was not synced dies with the process
//   hold   opens the ledger and waits for its stdin to end
//   open   gives up root's rights, tries to open, prints the error
// REKINDLE_LEDGER_CRASH=POINT:N ends it at the N-th time of before_write, before_sync, before_done.
#include "base/random.h"
#include "tests/billing/billing_facts.h"
#include "tests/billing/fault_file_system.h"

#include <fmt/format.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <grp.h>
#include <signal.h>
#include <string>
#include <string_view>
#include <thread>
#include <unistd.h>
#include <vector>

namespace rekindle::billing {
namespace {

constexpr size_t kStreams = 8;

void tell(const std::string& line) {
    if (::write(STDOUT_FILENO, line.data(), line.size()) < 0) {
        ::_exit(1);  // The parent is gone.
    }
}

// Counts down to the place where the environment wants the end.
class Bomb {
public:
    explicit Bomb(std::string_view point) {
        const char* wanted = std::getenv("REKINDLE_LEDGER_CRASH");
        const std::string_view text = wanted == nullptr ? "" : wanted;
        const size_t colon = text.find(':');
        if (colon != std::string_view::npos && text.substr(0, colon) == point) {
            left_ = std::atoi(text.data() + colon + 1);
        }
    }

    void pass() {
        if (left_ > 0 && --left_ == 0) {
            ::kill(::getpid(), SIGKILL);
        }
    }

private:
    int left_ = 0;
};

struct Stream {
    uint64_t number = 0;
    uint32_t delivered = 0;
    uint32_t length = 0;
};

class Driver {
public:
    Driver(Ledger& ledger, uint64_t seed)
        : ledger_(ledger), seed_(seed), next_(1 + seed * 1'000'000) {}

    void run() {
        std::vector<Stream> streams(kStreams);
        while (true) {
            std::vector<ProgressMark> marks;
            for (Stream& stream : streams) {
                advance(stream, marks);
            }
            std::promise<void> written;
            ledger_.mark(std::move(marks), [&written] { written.set_value(); });
            written.get_future().wait();
            tell("marked\n");
        }
    }

private:
    uint32_t random(uint32_t below) {
        return static_cast<uint32_t>(counter_random(seed_, 0, ++draws_) % below);
    }

    void advance(Stream& stream, std::vector<ProgressMark>& marks) {
        if (stream.number == 0) {
            stream = {.number = next_++, .length = 1 + random(12)};
            std::promise<bool> done;
            ledger_.begin(facts_of(stream.number),
                          [&done](const Result<void>& result) { done.set_value(result.ok()); });
            if (!done.get_future().get()) {
                ::_exit(2);
            }
            tell(fmt::format("begun {}\n", stream.number));
            return;
        }
        if (stream.delivered < stream.length) {
            stream.delivered += 1;
            tell(fmt::format("sent {} {}\n", stream.number, stream.delivered));
            marks.push_back({id_of(stream.number), stream.delivered});
            return;
        }
        end(stream);
        stream = {};
    }

    void end(const Stream& stream) {
        const auto outcome = static_cast<Outcome>(1 + random(3));
        tell(fmt::format("ends {} {} {}\n", stream.number, static_cast<int>(outcome),
                         stream.delivered));
        ledger_.finish(final_of(stream.number, outcome, stream.delivered, stream.delivered),
                       [number = stream.number](const Result<void>& result) {
                           if (!result.ok()) {
                               ::_exit(3);
                           }
                           tell(fmt::format("ended {}\n", number));
                       });
    }

    Ledger& ledger_;
    const uint64_t seed_;
    uint64_t draws_ = 0;
    uint64_t next_;
};

int run(const std::string& folder, uint64_t seed, bool power) {
    const SystemClock clock;
    Bomb before_write("before_write");
    Bomb before_sync("before_sync");
    Bomb before_done("before_done");
    LogFaults faults;
    faults.hold_unsynced = power;
    faults.at_sync = [&before_sync] {
        before_sync.pass();
        return rocksdb::IOStatus::OK();
    };
    const auto env = make_faulty_env(std::move(faults));
    JournalOptions options;
    options.env = env.get();
    options.at_point = [&](CrashPoint point) {
        (point == CrashPoint::kBeforeWrite ? before_write : before_done).pass();
    };
    auto ledger = open_ledger(folder, clock, std::move(options));
    if (!ledger) {
        std::fprintf(stderr, "%s\n", ledger.error().message.c_str());
        return 4;
    }
    Driver(**ledger, seed).run();
    return 0;
}

int hold(const std::string& folder) {
    const SystemClock clock;
    const auto ledger = Ledger::open(folder, clock);
    tell(ledger ? "ready\n" : ledger.error().message + "\n");
    char byte = 0;
    return ::read(STDIN_FILENO, &byte, 1) == 0 ? 0 : 1;
}

int open_without_rights(const std::string& folder) {
    constexpr uid_t kNobody = 65534;
    if (::geteuid() == 0 &&
        (::setgroups(0, nullptr) != 0 || ::setresuid(kNobody, kNobody, kNobody) != 0)) {
        return 1;
    }
    const SystemClock clock;
    const auto ledger = Ledger::open(folder, clock);
    tell(ledger ? "opened\n" : ledger.error().message + "\n");
    return 0;
}

}  // namespace
}  // namespace rekindle::billing

int main(int argc, char** argv) {
    if (argc != 4) {
        std::fprintf(stderr, "usage: ledger_crash_helper FOLDER SEED run|power|hold|open\n");
        return 1;
    }
    const std::string folder = argv[1];
    const std::string_view mode = argv[3];
    if (mode == "hold") {
        return rekindle::billing::hold(folder);
    }
    if (mode == "open") {
        return rekindle::billing::open_without_rights(folder);
    }
    const uint64_t seed = std::strtoull(argv[2], nullptr, 10);
    return rekindle::billing::run(folder, seed, mode == "power");
}
