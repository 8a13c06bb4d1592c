#include "daemon/api/deploy_types.h"
#include "daemon/api/json_text.h"
#include "daemon/api/usage_types.h"

#include <boost/json/parse.hpp>
#include <doctest/doctest.h>

#include <string>

using namespace rekindle;               // NOLINT(google-build-using-namespace): test file.
using namespace rekindle::daemon::api;  // NOLINT(google-build-using-namespace): test file.

namespace {

Deployment deployment() {
    return {.name = "a",
            .revision = "r",
            .image = "i",
            .architecture = "llama",
            .image_bytes = 1ULL << 40,
            .context = 7,
            .created_unix_s = 8,
            .price = {"0.1", "0.2", "0.3", "USD"},
            .aliases = {"a", "b"},
            .tier = "worker",
            .resident_bytes = 9,
            .active_requests = 1,
            .worker_pid = 10};
}

}  // namespace

TEST_CASE("a deployment comes back from its JSON as it was") {
    Deployment busy = deployment();
    const auto parsed = parse_deployment(to_json(busy));
    REQUIRE(parsed);
    CHECK(*parsed == busy);
    busy.idle_ms = 5;
    CHECK(*parse_deployment(to_json(busy)) == busy);
}

TEST_CASE("a deployment that lacks a member or has one of another type is refused by name") {
    json::object object = to_json(deployment());
    object.erase("tier");
    CHECK(parse_deployment(object).error().message == "deployment: tier must be a string");
    object = to_json(deployment());
    object["context"] = "large";
    CHECK(parse_deployment(object).error().message == "deployment: context must be a whole number");
    CHECK_FALSE(parse_deployment(json::value(7)));
}

TEST_CASE("a usage report comes back from its JSON as it was") {
    const UsageReport report{.by = {"project", "model"},
                             .rows = {UsageRow{.group = {{"project", "p"}, {"model", "m"}},
                                               .requests = 1,
                                               .prompt_tokens = 2,
                                               .cached_tokens = 3,
                                               .completion_tokens = 4,
                                               .forgiven_tokens = 5,
                                               .cost = "0.000000650001",
                                               .currency = "USD"}}};
    const auto parsed = parse_usage_report(to_json(report));
    REQUIRE(parsed);
    CHECK(*parsed == report);
    CHECK_FALSE(parse_usage_report(json::parse(R"({"by":["model"],"rows":[{}]})")));
    CHECK_FALSE(parse_usage_report(json::parse(R"({"by":[7],"rows":[]})")));
    CHECK_FALSE(parse_usage_report(json::parse("{}")));
}

TEST_CASE("text that is written as JSON is read back the same") {
    std::string text = "plain \xc3\xa9 \"quotes\" \\ \b\f\n\r\t/";
    for (char c = 1; c < 0x20; ++c) {
        text += c;
    }
    std::string out;
    append_json_string(out, text);
    CHECK(json::parse(out).as_string() == json::string_view(text));
}
