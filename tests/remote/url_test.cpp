#include "loader/remote/url.h"

#include <doctest/doctest.h>

using namespace rekindle;          // NOLINT(google-build-using-namespace): a test.
using namespace rekindle::remote;  // NOLINT(google-build-using-namespace): a test.

TEST_CASE("an address has scheme, host, port and target") {
    const auto url = parse_url("https://Models.example.org:8443/a/b.gguf?sig=secret").value();
    CHECK(url.secure);
    CHECK(url.host == "models.example.org");
    CHECK(url.port == 8443);
    CHECK(url.target == "/a/b.gguf?sig=secret");
    CHECK(url.authority() == "models.example.org:8443");
    CHECK(parse_url("http://h").value().target == "/");
    CHECK(parse_url("http://h").value().authority() == "h");
    CHECK(parse_url("http://[::1]:80/x").value().origin() == "http://[::1]");
}

TEST_CASE("what is shown of an address holds no query") {
    CHECK(parse_url("https://h/a?X-Amz-Signature=s").value().shown() == "https://h/a");
}

TEST_CASE("addresses that could be read in two ways are refused") {
    for (const char* text : {"", "ftp://h/", "https://", "https:///a", "https://user:password@h/",
                             "https://h:0/", "https://h:65536/", "https://h:8x/", "https://h/a b",
                             "https://h/a\r\nX: y", "https://h/#f", "https://[::1/",
                             "https://h\\evil/", "https://h/\xC3\xA4", "HTTPS//h", "//h/a"}) {
        CAPTURE(text);
        CHECK_FALSE(parse_url(text).ok());
    }
}

TEST_CASE("an address at the limit is taken, one byte more is not") {
    const std::string start = "https://h/";
    CHECK(parse_url(start + std::string(kUrlBytesMax - start.size(), 'a')).ok());
    CHECK_FALSE(parse_url(start + std::string(kUrlBytesMax - start.size() + 1, 'a')).ok());
}

TEST_CASE("a redirect leads to another host, path or file, and never from https to http") {
    const Url from = parse_url("https://h/a/b?q=1").value();
    CHECK(resolve_redirect(from, "https://cdn/x?s=2#f").value().target == "/x?s=2");
    CHECK(resolve_redirect(from, "//cdn/x").value().origin() == "https://cdn");
    CHECK(resolve_redirect(from, "/x").value().shown() == "https://h/x");
    CHECK(resolve_redirect(from, "c").value().shown() == "https://h/a/c");
    const auto downgraded = resolve_redirect(from, "http://h/a/b");
    REQUIRE_FALSE(downgraded.ok());
    CHECK(downgraded.error().code == ErrorCode::kForbidden);
    CHECK(resolve_redirect(parse_url("http://h/").value(), "https://h/").ok());
}

TEST_CASE("percent-encoding leaves what RFC 3986 calls unreserved") {
    CHECK(percent_encode("a-b.c_d~e", false) == "a-b.c_d~e");
    CHECK(percent_encode("a/b c+\xC3\xA4", true) == "a/b%20c%2B%C3%A4");
    CHECK(percent_encode("a/b", false) == "a%2Fb");
}
