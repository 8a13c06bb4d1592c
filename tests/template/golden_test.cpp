// Renderings against Python's jinja2: tests/golden/template/make_templates.py wrote what it gives.
#include "tests/template/support.h"

#include <doctest/doctest.h>

#include <fstream>
#include <sstream>

namespace rekindle::test {
namespace {

using runtime::TemplateLimits;

const std::string kGoldenFolder = std::string(REKINDLE_TEST_DATA) + "/golden/template/";
constexpr int64_t kGoldenTime = 1'721'984'703;  // 2024-07-26 09:05:03 UTC, as in make_templates.py.

std::string read_file(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    REQUIRE(file.good());
    std::ostringstream out;
    out << file.rdbuf();
    return std::move(out).str();
}

TemplateLimits golden_limits() {
    TemplateLimits limits;
    limits.now_unix_s = kGoldenTime;
    return limits;
}

// What is refused here though Python can do it; each is refused by name, never done wrongly.
bool is_refusal(const Result<std::string>& result) {
    return !result && result.error().code == ErrorCode::kUnsupported;
}

struct Tally {
    size_t equal = 0;
    size_t failing = 0;
    size_t refused = 0;
};

void check_record(const json::object& record, const json::object& variables, Tally& tally) {
    const json::value* name = record.if_contains("template");
    const std::string source =
        name != nullptr ? read_file(kGoldenFolder + "templates/" + std::string(name->as_string()))
                        : std::string(record.at("source").as_string());
    const std::string label = name != nullptr ? std::string(name->as_string()) + " " +
                                                    std::string(record.at("case").as_string())
                                              : source;
    const Result<std::string> result = render(source, variables, golden_limits());
    if (record.contains("error")) {
        CHECK_MESSAGE(!result.ok(), label, std::string(" must fail: "),
                      std::string(record.at("error").as_string()));
        ++tally.failing;
        return;
    }
    if (is_refusal(result) && name == nullptr) {
        ++tally.refused;
        return;
    }
    const std::string expected(record.at("output").as_string());
    CHECK_MESSAGE(result.ok(), label, std::string(": "), result ? "" : result.error().message);
    if (result) {
        CHECK_MESSAGE(*result == expected, label);
        tally.equal += *result == expected ? 1U : 0U;
    }
}

}  // namespace

TEST_CASE("templates and snippets render as Python's jinja2 renders them") {
    std::istringstream lines(read_file(kGoldenFolder + "renderings.jsonl"));
    Tally tally;
    json::object cases;
    for (std::string line; std::getline(lines, line);) {
        const Result<json::value> record = parse_json(line, JsonLimits{});
        REQUIRE(record.ok());
        const json::object& object = record->as_object();
        if (const json::value* name = object.if_contains("define")) {
            cases[name->as_string()] = object.at("variables");
            continue;
        }
        check_record(object, cases.at(object.at("case").as_string()).as_object(), tally);
    }
    MESSAGE("equal ", tally.equal, ", failing alike ", tally.failing, ", refused ", tally.refused);
    CHECK(tally.equal >= 860);
    CHECK(tally.refused <= 12);
}

}  // namespace rekindle::test
