#include "cli/child_program.h"

#include <doctest/doctest.h>

using namespace rekindle;       // NOLINT(google-build-using-namespace): a test.
using namespace rekindle::cli;  // NOLINT(google-build-using-namespace): a test.

TEST_CASE("a program's output and exit code come back") {
    const auto end = run_program("sh", {"-c", "echo one; exit 3"});
    REQUIRE(end.ok());
    CHECK(end->output == "one\n");
    CHECK(end->exit_code == 3);
}

TEST_CASE("a program that a signal ends has the exit code that a shell gives") {
    const auto end = run_program("sh", {"-c", "kill -9 $$"});
    REQUIRE(end.ok());
    CHECK(end->exit_code == 137);
}

TEST_CASE("a program that does not exist is named") {
    const auto end = run_program("/no/such/program", {});
    REQUIRE_FALSE(end.ok());
    CHECK(end.error().code == ErrorCode::kNotFound);
    CHECK(end.error().message.find("/no/such/program") != std::string::npos);
}

TEST_CASE("output is bounded") {
    const auto just = run_program("sh", {"-c", "head -c 1048576 /dev/zero"});
    REQUIRE(just.ok());
    CHECK(just->output.size() == 1048576);
    const auto more = run_program("sh", {"-c", "head -c 1048577 /dev/zero"});
    REQUIRE_FALSE(more.ok());
    CHECK(more.error().code == ErrorCode::kTooLarge);
}

TEST_CASE("a program beside this one is found, others are looked up in PATH") {
    CHECK(program_path("no-such-program") == "no-such-program");
    CHECK(program_path("cli_test").ends_with("/cli_test"));
}
