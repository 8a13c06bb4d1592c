#include "cli/usage_report.h"

#include <doctest/doctest.h>

#include <string_view>

namespace rekindle::cli {

namespace {

constexpr std::string_view kUsage = R"({"by":["project","model"],"rows":[
    {"project":"default","model":"a","requests":2,"prompt_tokens":10,"cached_tokens":0,
     "completion_tokens":7,"forgiven_tokens":0,"cost":"0.0000019","currency":"USD"},
    {"project":"x,y","model":"b","requests":1,"prompt_tokens":1,"cached_tokens":1,
     "completion_tokens":0,"forgiven_tokens":3,"cost":"0.000000000001","currency":"USD"},
    {"project":"default","model":"c","requests":1,"prompt_tokens":4,"cached_tokens":0,
     "completion_tokens":5,"forgiven_tokens":0,"cost":"2","currency":"EUR"}]})";

json::object parsed(std::string_view text) {
    return parse_json(text, JsonLimits{}).value().as_object();
}

}  // namespace

TEST_CASE("the usage table has one total for each currency") {
    const auto table = usage_table(parsed(kUsage));
    REQUIRE(table);
    CHECK(
        *table ==
        "PROJECT  MODEL  REQUESTS  PROMPT  CACHED  COMPLETION  FORGIVEN            COST  CURRENCY\n"
        "default  a             2      10       0           7         0       0.0000019  USD\n"
        "x,y      b             1       1       1           0         3  0.000000000001  USD\n"
        "default  c             1       4       0           5         0               2  EUR\n"
        "total                  1       4       0           5         0               2  EUR\n"
        "total                  3      11       1           7         3  0.000001900001  USD\n");
}

TEST_CASE("usage as CSV has the members' names, exact costs and no totals") {
    const auto csv = usage_csv(parsed(kUsage));
    REQUIRE(csv);
    CHECK(*csv ==
          "project,model,requests,prompt_tokens,cached_tokens,completion_tokens,forgiven_tokens,"
          "cost,currency\n"
          "default,a,2,10,0,7,0,0.0000019,USD\n"
          "\"x,y\",b,1,1,1,0,3,0.000000000001,USD\n"
          "default,c,1,4,0,5,0,2,EUR\n");
}

TEST_CASE("no usage is a table of titles") {
    const auto table = usage_table(parsed(R"({"by":["model"],"rows":[]})"));
    REQUIRE(table);
    CHECK(*table == "MODEL  REQUESTS  PROMPT  CACHED  COMPLETION  FORGIVEN  COST  CURRENCY\n");
}

TEST_CASE("a usage document of another shape is an error") {
    CHECK_FALSE(usage_table(parsed(R"({})")));
    CHECK_FALSE(usage_table(parsed(R"({"by":[1],"rows":[]})")));
    CHECK_FALSE(usage_csv(parsed(R"({"by":[],"rows":[1]})")));
    CHECK_FALSE(usage_table(parsed(R"({"by":["model"],"rows":[{"model":"a","cost":"x"}]})")));
}

}  // namespace rekindle::cli
