#include "cli/trace_report.h"

#include <doctest/doctest.h>

#include <sstream>
#include <string>
#include <string_view>

namespace rekindle::cli {

namespace {

json::object parsed(std::string_view text) {
    return parse_json(text, JsonLimits{}).value().as_object();
}

constexpr std::string_view kTrace = R"({"id":"req_1","source":"memory","state":"settled",
    "model":"m","revision":"0123456789abcdef","project":"default","started":1700000000123,
    "tier":"disk","restore_bytes":1048576,"weights_wait_ms":12.5,"prompt_tokens":7,
    "cached_tokens":2,"completion_tokens":4,"outcome":"completed","cost":"0.000001",
    "currency":"USD","forgiven_tokens":0,"billed":{"prompt_tokens":7,"completion_tokens":4},
    "phases":[{"phase":"gate 1","start_ms":0,"end_ms":0.01},
              {"phase":"restore","start_ms":0,"end_ms":50},
              {"phase":"decode","start_ms":50,"end_ms":100}]})";

}  // namespace

TEST_CASE("a trace is a head, and a waterfall as wide as the terminal") {
    CHECK(trace_text(parsed(kTrace), {.columns = 60}) ==
          "request   req_1\n"
          "model     m, revision 0123456789ab\n"
          "project   default\n"
          "accepted  2023-11-14T22:13:20.123Z\n"
          "state     settled, completed\n"
          "tier      disk, 1.0 MiB read, 12.5 ms waiting for weights\n"
          "tokens    7 prompt (2 cached), 4 completion; billed 7 + 4\n"
          "cost      0.000001 USD\n"
          "\n"
          "PHASE        START       TIME\n"
          "gate 1     0.00 ms    0.01 ms  |#                          |\n"
          "restore    0.00 ms   50.00 ms  |#############              |\n"
          "decode    50.00 ms   50.00 ms  |             ##############|\n");
}

TEST_CASE("a narrow terminal gets the numbers without bars") {
    const std::string text = trace_text(parsed(kTrace), {.columns = 42});
    CHECK(text.find('|') == std::string::npos);
    CHECK(text.find("restore    0.00 ms   50.00 ms\n") != std::string::npos);
    CHECK(trace_text(parsed(kTrace), {.columns = 0}) == text);
    CHECK(trace_text(parsed(kTrace), {.columns = 43}).find('|') != std::string::npos);
}

TEST_CASE("no line of the waterfall is wider than the terminal") {
    for (size_t columns = 43; columns < 200; columns += 13) {
        std::istringstream text(trace_text(parsed(kTrace), {.columns = columns}));
        std::string line;
        while (std::getline(text, line)) {
            if (line.ends_with('|')) {
                CHECK(line.size() == columns);
            }
        }
    }
}

TEST_CASE("a trace from the ledger says that its phases are gone") {
    auto trace = parsed(kTrace);
    trace["source"] = "ledger";
    trace["restore_ms"] = 31;
    trace.erase("phases");
    const std::string text = trace_text(trace, {});
    CHECK(text.find("restore   31 ms\n") != std::string::npos);
    CHECK(text.find("no longer keeps") != std::string::npos);
    CHECK(text.find("PHASE") == std::string::npos);
}

TEST_CASE("a log line shows its fields, quoted where needed") {
    CHECK(*log_text(parsed(R"({"time":1700000000001,"level":"warning","event":"worker_died",
                "fields":{"model":"m","reason":"it \"ended\"","empty":""}})")) ==
          "2023-11-14T22:13:20.001Z warning worker_died model=m reason=\"it \\\"ended\\\"\" "
          "empty=\"\"\n");
    CHECK(*log_text(parsed(R"({"missed":3})")) == "... 3 lines were missed\n");
    CHECK_FALSE(log_text(parsed(R"({"time":1})")).ok());
}

TEST_CASE("a log line cannot steer a terminal") {
    const auto text = log_text(parsed(
        "{\"time\":1,\"level\":\"info\",\"event\":\"e\",\"fields\":{\"a\":\"\\u001b[2J\"}}"));
    CHECK(text->find('\x1b') == std::string::npos);
}

}  // namespace rekindle::cli
