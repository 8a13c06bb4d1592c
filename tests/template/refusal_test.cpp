// What the compiler does not know it names, with its line; a template's own errors pass unchanged.
#include "tests/template/support.h"

#include <doctest/doctest.h>

#include <cstring>

namespace rekindle::test {
namespace {

void check_unsupported(std::string_view source, std::string_view message) {
    const auto table = runtime::compile_template(source);
    REQUIRE_FALSE(table.ok());
    CHECK(table.error().code == ErrorCode::kUnsupported);
    CHECK(table.error().message == message);
}

void check_syntax_error(std::string_view source, std::string_view message) {
    const auto table = runtime::compile_template(source);
    REQUIRE_FALSE(table.ok());
    CHECK(table.error().code == ErrorCode::kInvalidArgument);
    CHECK(table.error().message == message);
}

}  // namespace

TEST_CASE("an unknown construct is refused by name and line") {
    check_unsupported("a\nb\n{% include 'x' %}",
                      "template line 3: the statement {% include %} is not supported");
    check_unsupported("{{ a }}\n{{ a | wordwrap }}",
                      "template line 2: the filter |wordwrap is not supported");
    check_unsupported("{{ a is escaped }}",
                      "template line 1: the test \"is escaped\" is not supported");
    check_unsupported("\n\n\n{{ a.format(1) }}",
                      "template line 4: the method .format() is not supported");
    check_unsupported("{{ f(*a) }}", "template line 1: unpacking of arguments is not supported");
    check_unsupported("{% for a in b recursive %}{% endfor %}",
                      "template line 1: {% for … recursive %} is not supported");
    check_unsupported("\n{{ 'a' | safe + b }}",
                      "template line 2: the filter |safe in a sum is not supported");
    check_unsupported("{{ a + (b | safe) }}",
                      "template line 1: the filter |safe in a sum is not supported");
    check_unsupported("{% set a = {'b': 1,\n2: 3} %}",
                      "template line 2: a mapping whose keys are not texts is not supported");
    check_unsupported("{% call m() %}{% endcall %}",
                      "template line 1: the statement {% call %} is not supported");
}

TEST_CASE("|safe is taken where the text is printed, or joined by ~") {
    CHECK(render("{{ a | tojson | safe }}|{{ (a | safe) ~ a }}", R"({"a": "<"})", {}).value() ==
          "\"<\"|<<");
}

TEST_CASE("choosing from nothing gives nothing, as in Python") {
    CHECK(render("{{ none | selectattr('a') | list }}{{ none | map('upper') | list }}"
                 "{{ b | rejectattr('a') | list }}",
                 "{}", {})
              .value() == "[][][]");
}

TEST_CASE("a syntax error says what was expected, and where") {
    check_syntax_error("{% if a %}\n\nx", "template line 3: {% endif %} is missing");
    check_syntax_error("a\n{{ 1 + }}", "template line 2: a value is expected here");
    check_syntax_error("{{ a b }}", "template line 1: }} is expected, not 'b'");
    check_syntax_error("{% for a b %}", "template line 1: 'in' is expected, not 'b'");
    check_syntax_error("\n{{ 'a }}", "template line 2: a string is not closed");
    check_syntax_error("{{ a", "template line 1: {{ is not closed");
    check_syntax_error("{{ a ? b }}", "template line 1: the character '?' has no meaning here");
    check_syntax_error("{% endfor %}", "template line 1: {% endfor %} closes nothing");
    check_syntax_error("{{ 99999999999999999999 }}",
                       "template line 1: the number 99999999999999999999 is out of range");
}

TEST_CASE("raise_exception reaches the caller in the template's own words") {
    const auto result =
        render("{{ raise_exception('Roles must alternate: ' ~ role) }}", R"({"role": "x"})", {});
    REQUIRE_FALSE(result.ok());
    CHECK(result.error().code == ErrorCode::kInvalidArgument);
    CHECK(result.error().message == "Roles must alternate: x");
}

TEST_CASE("an undefined value prints as nothing, but has no attributes") {
    CHECK(render("[{{ a }}]", "{}", {}).value() == "[]");
    const auto result = render("x\n{{ a.b }}", "{}", {});
    REQUIRE_FALSE(result.ok());
    CHECK(result.error().message == "chat template line 2: 'a' is undefined");
}

TEST_CASE("strftime_now exists only when the caller gives the time") {
    const std::string source = "{{ strftime_now('%Y') if strftime_now is defined else 'never' }}";
    runtime::TemplateLimits limits;
    CHECK(render(source, "{}", limits).value() == "never");
    limits.now_unix_s = 0;
    CHECK(render(source, "{}", limits).value() == "1970");
}

TEST_CASE("a table that was cut or altered is refused or harmless, never followed out of bounds") {
    const auto compiled = runtime::compile_template(
        "{% macro m(a, b=1) %}{{ a ~ b }}{% endmacro %}{% for x in y if x %}{{ m(x, b=2) | trim }}"
        "{% endfor %}{% if a is defined and b[1:2] == {'k': 1.5} %}{% set c.d = -1 %}{% endif %}");
    REQUIRE(compiled.ok());
    const json::object variables{{"y", {1, 2, "three"}}, {"a", "x"}, {"b", {1, 2}}};
    for (size_t cut = 0; cut < compiled->size(); ++cut) {
        const std::vector<std::byte> table(compiled->begin(),
                                           compiled->begin() + static_cast<std::ptrdiff_t>(cut));
        CHECK_FALSE(runtime::ChatTemplate::open(table).ok());
    }
    for (size_t at = 0; at < compiled->size(); ++at) {
        for (const unsigned flip : {0x01U, 0x80U, 0xFFU}) {
            std::vector<std::byte> table = *compiled;
            table[at] ^= std::byte{static_cast<uint8_t>(flip)};
            const auto opened = runtime::ChatTemplate::open(table);
            if (opened) {
                const auto result = opened->render(variables, {});
                CHECK((result.ok() || !result.error().message.empty()));
            }
        }
    }
}

TEST_CASE("a template and its rendering share nothing, so one table serves many threads") {
    const auto table = runtime::compile_template("{% set n = n + 1 %}{{ n }}");
    REQUIRE(table.ok());
    const auto opened = runtime::ChatTemplate::open(*table);
    REQUIRE(opened.ok());
    CHECK(opened->render({{"n", 1}}, {}).value() == "2");
    CHECK(opened->render({{"n", 1}}, {}).value() == "2");
}

}  // namespace rekindle::test
