#include "cli/endpoint.h"

#include "cli/exit_code.h"

#include <doctest/doctest.h>

namespace rekindle::cli {

TEST_CASE("addresses are HTTP URLs or Unix sockets") {
    const auto tcp = parse_endpoint("http://127.0.0.1:8080/");
    REQUIRE(tcp);
    CHECK(tcp->base_url == "http://127.0.0.1:8080");
    CHECK(tcp->unix_socket.empty());

    const auto unix_socket = parse_endpoint("unix:///run/rekindle/admin.sock");
    REQUIRE(unix_socket);
    CHECK(unix_socket->unix_socket == "/run/rekindle/admin.sock");
    CHECK(unix_socket->shown == "unix:///run/rekindle/admin.sock");
}

TEST_CASE("only loopback addresses and Unix sockets are this machine") {
    CHECK(parse_endpoint("http://localhost:1")->same_host);
    CHECK(parse_endpoint("http://[::1]:8080")->same_host);
    CHECK(parse_endpoint("http://127.8.8.8")->same_host);
    CHECK(parse_endpoint("unix:///x")->same_host);
    CHECK_FALSE(parse_endpoint("http://10.0.0.1:8080")->same_host);
    CHECK_FALSE(parse_endpoint("https://models.example.com")->same_host);
}

TEST_CASE("what is no address is refused") {
    for (const char* url : {"", "8080", "ftp://x", "unix://relative/admin.sock", "http://",
                            "http://a b", "http://h/?q=1", "http://h:99999"}) {
        CAPTURE(url);
        const auto endpoint = parse_endpoint(url);
        REQUIRE_FALSE(endpoint);
        CHECK(endpoint.error().code == ErrorCode::kInvalidArgument);
    }
}

TEST_CASE("each kind of failure has its exit code") {
    CHECK(exit_code_of(ErrorCode::kInvalidArgument) == 2);
    CHECK(exit_code_of(error_code_of_status(404)) == 3);
    CHECK(exit_code_of(ErrorCode::kUnavailable) == 4);
    CHECK(exit_code_of(error_code_of_status(400)) == 5);
    CHECK(exit_code_of(error_code_of_status(409)) == 5);
    CHECK(exit_code_of(error_code_of_status(429)) == 5);
    CHECK(exit_code_of(error_code_of_status(503)) == 5);
    CHECK(exit_code_of(error_code_of_status(500)) == 1);
    CHECK(exit_code_of(error_code_of_status(507)) == 1);
    CHECK(exit_code_of(ErrorCode::kIo) == 1);
    CHECK(exit_code_of(ErrorCode::kCancelled) == 130);
}

TEST_CASE("a failure has the same exit code before and after progress began") {
    const auto code = [](std::string_view type, std::string_view name) {
        return exit_code_of(error_code_of_event(type, name));
    };
    CHECK(code("invalid_request_error", "not_found") == 3);
    CHECK(code("invalid_request_error", "model_not_found") == 3);
    CHECK(code("invalid_request_error", "conflict") == 5);
    CHECK(code("permission_error", "forbidden") == 5);
    CHECK(code("insufficient_quota", "insufficient_quota") == 5);
    CHECK(code("server_error", "overloaded") == 5);
    CHECK(code("server_error", "resource_exhausted") == 5);
    CHECK(code("server_error", "unavailable") == 1);  // It was tried, and broke off.
    CHECK(code("server_error", "corrupt") == 1);
    CHECK(code("server_error", "no_space") == 1);
}

}  // namespace rekindle::cli
