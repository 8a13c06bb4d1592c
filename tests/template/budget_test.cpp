// A template is untrusted: whatever it does, it ends soon, within its memory, with one clear error.
#include "tests/template/support.h"

#include <doctest/doctest.h>

namespace rekindle::test {

using runtime::TemplateLimits;

namespace {

void check_stops(std::string_view source, std::string_view message) {
    const Result<std::string> result = render(source, "{}", TemplateLimits{});
    REQUIRE_FALSE(result.ok());
    CHECK(result.error().code == ErrorCode::kTooLarge);
    CHECK_MESSAGE(result.error().message.find(message) != std::string::npos,
                  result.error().message);
}

std::string repeated(std::string_view text, size_t times) {
    std::string out;
    for (size_t i = 0; i < times; ++i) {
        out += text;
    }
    return out;
}

}  // namespace

TEST_CASE("a loop over a thousand million numbers ends by its steps") {
    check_stops("{% for i in range(1000000000) %}x{% endfor %}", "steps");
    check_stops("{% set x = range(9000000000000000000) | list %}", "steps");
    check_stops(
        "{% for a in range(900) %}{% for b in range(900) %}{% for c in range(900) %}"
        "{% endfor %}{% endfor %}{% endfor %}",
        "steps");
}

TEST_CASE("a run may take as many steps as the limit, and no more") {
    const std::string_view source = "{% for i in range(10) %}{{ i * i }}{% endfor %}";
    TemplateLimits limits;
    limits.steps_max = 1;
    while (!render(source, "{}", limits)) {
        ++limits.steps_max;
        REQUIRE(limits.steps_max < 1000);
    }
    CHECK(render(source, "{}", limits).value() == "0149162536496481");
    --limits.steps_max;
    CHECK(render(source, "{}", limits).error().code == ErrorCode::kTooLarge);
    CHECK(limits.steps_max > 30);  // At least the loop's turn, the output and the product.
}

TEST_CASE("brackets nest a hundred deep when a template is compiled, and no deeper") {
    const auto compiles = [](size_t depth) {
        return runtime::compile_template("{{ " + repeated("(", depth) + "1" + repeated(")", depth) +
                                         " }}")
            .ok();
    };
    size_t deepest = 1;
    while (compiles(deepest + 1)) {
        ++deepest;
        REQUIRE(deepest < 1000);
    }
    CHECK(deepest >= 30);
    CHECK(deepest <= 100);
}

TEST_CASE("a macro that calls itself ends by its depth") {
    check_stops("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "nested deeper than 64");
    check_stops("{% macro m(a) %}{{ m([a]) ~ m([a]) }}{% endmacro %}{{ m(1) }}", "nested deeper");
}

TEST_CASE("a macro may call itself as often as the depth allows, and no more") {
    const std::string source =
        "{% macro m(n) %}{% if n > 1 %}{{ m(n - 1) }}{% endif %}x{% endmacro %}{{ m(count) }}";
    TemplateLimits limits;
    limits.depth_max = 20;

    CHECK(render(source, R"({"count": 20})", limits).value() == repeated("x", 20));
    CHECK(render(source, R"({"count": 21})", limits).error().code == ErrorCode::kTooLarge);
}

TEST_CASE("output stops at its limit, whichever way it is made") {
    TemplateLimits limits;
    limits.output_bytes_max = 1000;

    CHECK(render("{{ 'x' * 1000 }}", "{}", limits).value().size() == 1000);
    CHECK(render("{{ 'x' * 1001 }}", "{}", limits).error().code == ErrorCode::kTooLarge);
    CHECK(render("{{ 'x' * 600 }}{{ 'x' * 401 }}", "{}", limits).error().code ==
          ErrorCode::kTooLarge);
    CHECK(render("{% set a %}{% for i in range(1001) %}x{% endfor %}{% endset %}", "{}", limits)
              .error()
              .code == ErrorCode::kTooLarge);
}

TEST_CASE("texts and lists that double do not fill the memory") {
    check_stops(
        "{% set ns = namespace(s='xxxxxxxx') %}{% for i in range(100) %}"
        "{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
        "");
    check_stops(
        "{% set ns = namespace(l=[1, 2, 3, 4]) %}{% for i in range(100) %}"
        "{% set ns.l = ns.l + ns.l %}{% endfor %}",
        "");
    check_stops("{{ ('x' * 2000000) | replace('', 'y' * 2000000) }}", "");
    check_stops("{{ [1] * 100000000000 }}", "");
}

TEST_CASE("a value nested without end is not followed without end") {
    const std::string nest =
        "{% set ns = namespace(l=[]) %}{% for i in range(5000) %}"
        "{% set ns.l = [ns.l] %}{% endfor %}";
    check_stops(nest + "{{ ns.l }}", "nested deeper than 200");
    check_stops(nest + "{{ ns.l | tojson }}", "nested deeper than 200");
    check_stops(nest + "{{ ns.l == [ns.l] }}", "nested deeper than 200");
}

TEST_CASE("deep brackets and blocks are refused when the template is compiled") {
    const std::array<std::pair<std::string, std::string>, 4> nests{{
        {"(", ")"},
        {"[", "]"},
        {"not ", ""},
        {"-", ""},
    }};
    for (const auto& [open, close] : nests) {
        const auto table = runtime::compile_template("{{ " + repeated(open, 5000) + "1" +
                                                     repeated(close, 5000) + " }}");
        REQUIRE_FALSE(table.ok());
        CHECK(table.error().message ==
              "template line 1: nesting deeper than 100 levels is not supported");
    }
    CHECK_FALSE(runtime::compile_template(repeated("{% if a %}", 5000)).ok());
    CHECK_FALSE(runtime::compile_template("{{ " + repeated("a if a else ", 5000) + "1 }}").ok());
}

TEST_CASE("long chains without nesting are no depth") {
    CHECK(render("{{ 1" + repeated(" + 1", 3000) + " }}", "{}", {}).value() == "3001");
    CHECK(render("{{ 'a'" + repeated(" ~ 'a'", 3000) + " }}", "{}", {}).value().size() == 3001);
    CHECK(render("{{ 0" + repeated(" or 0", 3000) + " }}", "{}", {}).value() == "0");
    const std::string elifs = repeated("{% elif 0 %}x", 3000);
    CHECK(render("{% if 0 %}x" + elifs + "{% else %}y{% endif %}", "{}", {}).value() == "y");
}

TEST_CASE("a chain that must nest is evaluated to the depth's limit") {
    CHECK(render("{{ 0" + repeated(" - 1", 300) + " }}", "{}", {}).value() == "-300");
    check_stops("{{ 0" + repeated(" - 1", 3000) + " }}", "nested deeper");
    check_stops("{{ a" + repeated(" | default(1)", 3000) + " }}", "nested deeper");
}

TEST_CASE("a template beyond a mebibyte is refused") {
    CHECK(runtime::compile_template(std::string(1U << 20, 'x')).ok());
    const auto table = runtime::compile_template(std::string((1U << 20) + 1, 'x'));
    REQUIRE_FALSE(table.ok());
    CHECK(table.error().code == ErrorCode::kTooLarge);
}

}  // namespace rekindle::test
