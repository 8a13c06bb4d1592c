#include "daemon/http_parser.h"

#include <doctest/doctest.h>

#include <string>

using namespace rekindle;          // NOLINT(google-build-using-namespace): test file.
using namespace rekindle::daemon;  // NOLINT(google-build-using-namespace): test file.

namespace {

// Status of the refusal, 0 when the head is accepted.
int refusal_of(const std::string& fields, const std::string& line = "POST /v1/x HTTP/1.1") {
    HttpParser parser{HttpLimits{}};
    const auto refused = parser.parse_head(line + "\r\nHost: a\r\n" + fields + "\r\n");
    return refused ? refused->status : 0;
}

HttpRequest parsed(const std::string& head) {
    HttpParser parser{HttpLimits{}};
    const auto refused = parser.parse_head(head);
    REQUIRE_FALSE(refused.has_value());
    return parser.request();
}

HttpRequest with_target(const std::string& target) {
    return parsed("GET " + target + " HTTP/1.1\r\nHost: a\r\n\r\n");
}

}  // namespace

TEST_CASE("the end of a head is found wherever the bytes are cut") {
    const std::string head = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    for (size_t cut = 0; cut < head.size(); ++cut) {
        HeadFinder finder;
        CHECK(finder.find(head.substr(0, cut)) == 0);
        CHECK(finder.find(head + "body") == head.size());
        CHECK_FALSE(finder.broken());
    }
}

TEST_CASE("a line that ends without a carriage return breaks a head") {
    HeadFinder finder;
    CHECK(finder.find("GET / HTTP/1.1\nHost: a\r\n\r\n") == 0);
    CHECK(finder.broken());
}

TEST_CASE("a NUL breaks a head") {
    HeadFinder finder;
    const std::string head("GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n", 29);
    CHECK(finder.find(head) == 0);
    CHECK(finder.broken());
}

TEST_CASE("one Content-Length of digits is accepted") {
    CHECK(refusal_of("Content-Length: 5\r\n") == 0);
}

TEST_CASE("Content-Length that stands twice is refused even when both say the same") {
    CHECK(refusal_of("Content-Length: 5\r\nContent-Length: 5\r\n") == 400);
    CHECK(refusal_of("Content-Length: 5\r\nContent-Length: 6\r\n") == 400);
}

TEST_CASE("Content-Length that is not one decimal number is refused") {
    for (const char* value : {"5, 5", "+5", "-1", "5x", "0x5", "", "99999999999999999999999"}) {
        CAPTURE(value);
        CHECK(refusal_of(std::string("Content-Length: ") + value + "\r\n") == 400);
    }
}

TEST_CASE("Transfer-Encoding is exactly chunked, in any case of letters") {
    CHECK(refusal_of("Transfer-Encoding: chunked\r\n") == 0);
    CHECK(refusal_of("Transfer-Encoding: CHUNKED\r\n") == 0);
    for (const char* value : {"gzip", "gzip, chunked", "chunked, gzip", "chunked, chunked",
                              "identity", "xchunked", "\"chunked\"", ""}) {
        CAPTURE(value);
        CHECK(refusal_of(std::string("Transfer-Encoding: ") + value + "\r\n") == 400);
    }
}

TEST_CASE("Transfer-Encoding that stands twice is refused") {
    CHECK(refusal_of("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n") == 400);
}

TEST_CASE("Transfer-Encoding and Content-Length together are refused in either order") {
    CHECK(refusal_of("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n") == 400);
    CHECK(refusal_of("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n") == 400);
    CHECK(refusal_of("Content-Length: 5\r\nTransfer-Encoding: identity\r\n") == 400);
}

TEST_CASE("Transfer-Encoding in HTTP/1.0 is refused") {
    CHECK(refusal_of("Transfer-Encoding: chunked\r\n", "POST / HTTP/1.0") == 400);
}

TEST_CASE("a field that goes on in the next line is refused") {
    CHECK(refusal_of("X: a\r\n b\r\n") == 400);
    CHECK(refusal_of("X: a\r\n\tb\r\n") == 400);
}

TEST_CASE("white space before a field's colon is refused") {
    CHECK(refusal_of("Content-Length : 5\r\n") == 400);
}

TEST_CASE("an HTTP/1.1 request without exactly one Host is refused, HTTP/1.0 needs none") {
    HttpParser none{HttpLimits{}};
    CHECK(none.parse_head("GET / HTTP/1.1\r\n\r\n").has_value());
    CHECK(refusal_of("Host: b\r\n") == 400);
    HttpParser old{HttpLimits{}};
    CHECK_FALSE(old.parse_head("GET / HTTP/1.0\r\n\r\n").has_value());
}

TEST_CASE("another version of HTTP is 505") {
    CHECK(refusal_of("", "GET / HTTP/2.0") == 505);
    CHECK(refusal_of("", "GET / HTTP/1.2") == 505);
}

TEST_CASE("as many fields as the limit are accepted, one more is 431") {
    HttpLimits limits;
    limits.fields = 3;
    HttpParser at_limit(limits);
    CHECK_FALSE(at_limit.parse_head("GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 2\r\n\r\n"));
    HttpParser beyond(limits);
    const auto refused =
        beyond.parse_head("GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n");
    REQUIRE(refused);
    CHECK(refused->status == 431);
}

TEST_CASE("an expectation other than 100-continue is 417") {
    CHECK(refusal_of("Expect: 100-continue\r\n") == 0);
    CHECK(refusal_of("Expect: 200-ok\r\n") == 417);
}

TEST_CASE("a path loses doubled and trailing slashes and its escapes") {
    CHECK(with_target("/v1//models/").path == "/v1/models");
    CHECK(with_target("///").path == "/");
    CHECK(with_target("/a%20b?x=1&y").path == "/a b");
    CHECK(with_target("/a?x=1&y").query == "x=1&y");
    CHECK(with_target("http://host:80/v1/models?x").path == "/v1/models");
    CHECK(with_target("http://host").path == "/");
}

TEST_CASE("a target that is no path is refused") {
    CHECK(refusal_of("", "GET v1/models HTTP/1.1") == 400);
    CHECK(refusal_of("", "CONNECT host:80 HTTP/1.1") == 400);
    CHECK(refusal_of("", "GET /%zz HTTP/1.1") == 400);
    CHECK(refusal_of("", "GET /%00 HTTP/1.1") == 400);
    CHECK(refusal_of("", "GET /%4 HTTP/1.1") == 400);
}

TEST_CASE("a connection is kept by default in HTTP/1.1 and closed in HTTP/1.0") {
    CHECK(parsed("GET / HTTP/1.1\r\nHost: a\r\n\r\n").keep_alive);
    CHECK_FALSE(parsed("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").keep_alive);
    CHECK_FALSE(parsed("GET / HTTP/1.0\r\n\r\n").keep_alive);
    CHECK(parsed("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").keep_alive);
}

TEST_CASE("a chunked body is joined wherever its bytes are cut, and what follows is left") {
    const std::string body = "5;ext=1\r\nhello\r\n6\r\n world\r\n0\r\nX-Trailer: 1\r\n\r\n";
    for (size_t cut = 0; cut <= body.size(); ++cut) {
        CAPTURE(cut);
        HttpParser parser{HttpLimits{}};
        REQUIRE_FALSE(
            parser.parse_head("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"));
        std::string joined;
        const auto first = parser.feed(body.substr(0, cut), joined);
        REQUIRE(first);
        const std::string rest = body.substr(*first) + "GET /next";
        const auto second = parser.feed(rest, joined);
        REQUIRE(second);
        CHECK(parser.body_done());
        CHECK(joined == "hello world");
        CHECK(rest.substr(*second) == "GET /next");
        CHECK_FALSE(parser.request().field("x-trailer"));
    }
}

TEST_CASE("a chunk whose size lies about its bytes is refused") {
    for (const char* body : {"5\r\nhelloX\r\n0\r\n\r\n", "z\r\n", "5 \r\nhello\r\n0\r\n\r\n",
                             "-1\r\n", "fffffffffffffffff\r\n", "5\nhello\r\n"}) {
        CAPTURE(body);
        HttpParser parser{HttpLimits{}};
        REQUIRE_FALSE(
            parser.parse_head("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"));
        std::string joined;
        CHECK_FALSE(parser.feed(body, joined));
    }
}

TEST_CASE("a query's names and values are decoded, and a name may stand once") {
    const auto parameters = parse_query("name=a%20b&idle=5m&flag&x=1+2");
    REQUIRE(parameters);
    CHECK(*parameters ==
          QueryParameters{{"name", "a b"}, {"idle", "5m"}, {"flag", ""}, {"x", "1 2"}});
    CHECK_FALSE(parse_query("a=1&a=2"));
    CHECK_FALSE(parse_query("a=%g1"));
}

TEST_CASE("a query has at most as many parameters as the limit") {
    std::string query;
    for (size_t i = 0; i < kQueryParametersMax; ++i) {
        query += "p" + std::to_string(i) + "&";
    }
    CHECK(parse_query(query));
    CHECK_FALSE(parse_query(query + "one_more"));
}
