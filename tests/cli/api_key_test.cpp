#include "cli/api_key.h"

#include <doctest/doctest.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

using namespace rekindle;       // NOLINT(google-build-using-namespace): test file.
using namespace rekindle::cli;  // NOLINT(google-build-using-namespace): test file.

TEST_CASE("a key is one line, without the white space around it") {
    CHECK(clean_key("abc", "here").value() == "abc");
    CHECK(clean_key(" \tabc\r\n", "here").value() == "abc");
    CHECK(clean_key(std::string(512, 'k'), "here"));
    CHECK_FALSE(clean_key(std::string(513, 'k'), "here"));
    CHECK_FALSE(clean_key("", "here"));
    CHECK_FALSE(clean_key("\n", "here"));
    CHECK_FALSE(clean_key("a\nb", "here"));
    CHECK_FALSE(clean_key("a\r\nX-Other: b", "here"));
    CHECK_FALSE(clean_key("kl\xc3\xbc", "here"));
}

TEST_CASE("a refused key is not shown, where it stands is") {
    const auto refused = clean_key("sec ret", "FILE");
    REQUIRE_FALSE(refused);
    CHECK(refused.error().message.find("sec") == std::string::npos);
    CHECK(refused.error().message.find("FILE") != std::string::npos);
}

TEST_CASE("a key file counts before the environment, which counts before nothing") {
    ::unsetenv(kKeyVariable);
    CHECK(find_api_key("").value().empty());
    ::setenv(kKeyVariable, "of-environment", 1);
    CHECK(find_api_key("").value() == "of-environment");
    char name[] = "/tmp/rekindle_key_XXXXXX";
    const int fd = ::mkstemp(name);
    REQUIRE(fd >= 0);
    std::ofstream(name) << "of-file\n";
    CHECK(find_api_key(name).value() == "of-file");
    std::remove(name);
    CHECK(find_api_key(name).error().code == ErrorCode::kNotFound);
    ::unsetenv(kKeyVariable);
}
