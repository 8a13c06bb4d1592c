#include "cli/bench_text.h"

#include <doctest/doctest.h>

#include <string>
#include <string_view>

namespace rekindle::cli {

namespace {

json::object parsed(std::string_view text) {
    return parse_json(text, JsonLimits{}).value().as_object();
}

constexpr std::string_view kBench = R"({"model":"m","kernels":"avx2","kv_type":"q8_0","threads":2,
    "memory_bytes_per_second":12340000000,"int8_per_second":801000000000,
    "rows":[{"batch":1,"prompt":512,"answer":0,"tokens_per_second":1203.44,
             "best_tokens_per_second":1210,"memory_share":0.0199,"int8_share":0.42,"ops":[]},
            {"batch":8,"prompt":128,"answer":64,"tokens_per_second":250,
             "best_tokens_per_second":251.06,"memory_share":0.75,"int8_share":0.1,
             "ops":[{"name":"down","nanoseconds":3000000,"calls":2},
                    {"name":"head","nanoseconds":1000000,"calls":1}]}],
    "disturbed_by":[]})";

}  // namespace

TEST_CASE("a bench is a table of cases, the limits, and the operations of profiled cases") {
    CHECK(bench_text(parsed(kBench)) ==
          "CASE                  TOK/S    BEST  OF MEMORY  OF INT8\n"
          "prefill 512          1203.4  1210.0      2.0 %   42.0 %\n"
          "decode 8 x 128 + 64   250.0   251.1     75.0 %   10.0 %\n"
          "\n"
          "limits    memory 12.3 GB/s, int8 801 Gop/s, measured in this run on 2 threads\n"
          "kernels   avx2, KV cache q8_0\n"
          "\n"
          "decode 8 x 128 + 64\n"
          "OPERATION   MS   SHARE  CALLS  US EACH\n"
          "down       3.0  75.0 %      2   1500.0\n"
          "head       1.0  25.0 %      1   1000.0\n");
}

TEST_CASE("a bench tells how often guesses of requests were right, and those of a draft model") {
    json::object bench = parsed(kBench);
    bench["rows"] = json::array();
    const auto told = [&bench](uint64_t of_draft) {
        bench["guesses"] = json::object{
            {"computed", 90}, {"right", 60}, {"of_draft", of_draft}, {"of_draft_right", 11}};
        return bench_text(bench);
    };
    CHECK(told(0).find("guesses   60 of 90 were right in requests so far\n") != std::string::npos);
    CHECK(told(20).find("so far; the draft model's 11 of 20\n") != std::string::npos);
    bench["guesses"] = json::object{{"computed", 0}};
    CHECK(bench_text(bench).find("guesses") == std::string::npos);
}

TEST_CASE("a bench says what disturbed it, and which limit is not known") {
    json::object bench = parsed(kBench);
    bench["rows"] = json::array();
    bench["int8_per_second"] = 0;
    bench["disturbed_by"] = json::array{"model other", "a deployment"};
    CHECK(bench_text(bench) ==
          "CASE  TOK/S  BEST  OF MEMORY  OF INT8\n"
          "\n"
          "limits    memory 12.3 GB/s, int8 not known for these kernels, measured in this run on "
          "2 threads\n"
          "kernels   avx2, KV cache q8_0\n"
          "\n"
          "disturbed by model other, a deployment: measure again on an idle node\n");
}

TEST_CASE("a case without an int8 limit has no share of it") {
    json::object bench = parsed(kBench);
    bench["rows"].as_array()[0].as_object()["int8_share"] = nullptr;
    CHECK(bench_text(bench).find("2.0 %        -\n") != std::string::npos);
}

TEST_CASE("a bench's progress is a line for each case that was measured") {
    CHECK(bench_progress_text(parsed(
              R"({"done":3,"total":12,"run":{"batch":8,"prompt":16,"answer":4,)"
              R"("tokens_per_second":250.06}})")) == "3/12  decode 8 x 16 + 4: 250.1 tok/s\n");
    CHECK(bench_progress_text(parsed(R"({"done":0,"total":12})")).empty());
}

}  // namespace rekindle::cli
