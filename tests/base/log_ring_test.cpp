#include "base/log_ring.h"

#include <doctest/doctest.h>

#include <array>
#include <string>

using namespace rekindle;

namespace {

struct Fixture {
    ManualClock clock;
    LogRing ring{clock};

    void add(LogLevel level, const std::string& model) {
        const std::array fields{LogField("model", model)};
        ring.add(level, "event", fields);
    }

    LogRing::Batch all(const LogFilter& filter) const { return ring.read(0, 100'000, filter); }
};

}  // namespace

TEST_CASE_FIXTURE(Fixture, "lines come back in order, with their time and fields") {
    add(LogLevel::kInfo, "a");
    clock.advance(std::chrono::milliseconds(5));
    add(LogLevel::kError, "b");
    const auto batch = all({});
    REQUIRE(batch.lines.size() == 2);
    CHECK(batch.lines[0].field("model") == "a");
    CHECK(batch.lines[1].field("model") == "b");
    CHECK(batch.lines[1].field("pid").empty());
    CHECK(batch.lines[1].unix_ms == batch.lines[0].unix_ms + 5);
    CHECK(batch.next == 2);
    CHECK(ring.read(batch.next, 10, {}).lines.empty());
}

TEST_CASE_FIXTURE(Fixture, "debug lines are not kept") {
    add(LogLevel::kDebug, "a");
    CHECK(ring.lines() == 0);
}

TEST_CASE_FIXTURE(Fixture, "a filter takes by level, model and time") {
    add(LogLevel::kInfo, "a");
    add(LogLevel::kWarning, "b");
    clock.advance(std::chrono::seconds(1));
    add(LogLevel::kError, "a");
    CHECK(all({.level = LogLevel::kWarning}).lines.size() == 2);
    CHECK(all({.model = "a"}).lines.size() == 2);
    CHECK(all({.level = LogLevel::kWarning, .model = "a"}).lines.size() == 1);
    const int64_t later = all({}).lines[2].unix_ms;
    CHECK(all({.since_unix_ms = later}).lines.size() == 1);
    CHECK(all({.since_unix_ms = later + 1}).lines.empty());
}

TEST_CASE_FIXTURE(Fixture,
                  "the ring keeps so many lines, and a late reader learns what it missed") {
    for (size_t i = 0; i < kLogLinesMax; ++i) {
        add(LogLevel::kInfo, "a");
    }
    CHECK(ring.lines() == kLogLinesMax);
    CHECK(ring.first() == 0);
    CHECK(all({}).missed == 0);
    add(LogLevel::kInfo, "a");
    CHECK(ring.lines() == kLogLinesMax);
    CHECK(ring.first() == 1);
    CHECK(all({}).missed == 1);
}

TEST_CASE_FIXTURE(Fixture, "large lines are cut, and never hold more than the ring's bytes") {
    const std::string value(kLogValueBytesMax + 1, 'x');
    add(LogLevel::kInfo, value);
    CHECK(all({}).lines[0].field("model").size() == kLogValueBytesMax);
    const size_t line_bytes = ring.bytes();
    const size_t fit = kLogRingBytesMax / line_bytes;
    REQUIRE(fit < kLogLinesMax);
    for (size_t i = 1; i < fit; ++i) {
        add(LogLevel::kInfo, value);
    }
    CHECK(ring.lines() == fit);
    CHECK(ring.first() == 0);
    add(LogLevel::kInfo, value);
    CHECK(ring.first() == 1);
    CHECK(ring.bytes() <= kLogRingBytesMax);
}

TEST_CASE_FIXTURE(Fixture, "a reader takes a bounded number of lines at a time") {
    for (int i = 0; i < 5; ++i) {
        add(LogLevel::kInfo, "a");
    }
    const auto first = ring.read(0, 3, {});
    CHECK(first.lines.size() == 3);
    CHECK(ring.read(first.next, 3, {}).lines.size() == 2);
}

TEST_CASE_FIXTURE(Fixture, "a watcher hears of every line until it leaves") {
    int heard = 0;
    const uint64_t watcher = ring.watch([&heard] { ++heard; });
    add(LogLevel::kInfo, "a");
    CHECK(heard == 1);
    ring.unwatch(watcher);
    add(LogLevel::kInfo, "a");
    CHECK(heard == 1);
}

TEST_CASE_FIXTURE(Fixture, "an attached ring gets the process's lines, also those not printed") {
    set_log_level(LogLevel::kError);
    ring.attach();
    log_info("kept_line", {{"model", "a"}, {"n", 7}});
    ring.detach();
    log_info("not_kept", {});
    set_log_level(LogLevel::kInfo);
    REQUIRE(ring.lines() == 1);
    CHECK(all({}).lines[0].event == "kept_line");
    CHECK(all({}).lines[0].field("n") == "7");
}
