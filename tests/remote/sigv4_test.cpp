// The examples of "Signature Calculations for the Authorization Header" in Amazon S3's API
// reference.
#include "loader/remote/sigv4.h"

#include "base/hash.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>

using namespace rekindle;          // NOLINT(google-build-using-namespace): a test.
using namespace rekindle::remote;  // NOLINT(google-build-using-namespace): a test.

namespace {

const S3Credentials kExample{.access_key = "AKIAIOSFODNN7EXAMPLE",
                             .secret_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
                             .session_token = ""};
const SigningScope kScope{.region = "us-east-1", .service = "s3", .time = "20130524T000000Z"};

std::string signature_of(const HttpCall& call) {
    const auto fields = sign_request(kExample, kScope, call);
    const auto at = std::find_if(fields.begin(), fields.end(), [](const HttpField& field) {
        return field.first == "Authorization";
    });
    REQUIRE(at != fields.end());
    return at->second.substr(at->second.find("Signature=") + 10);
}

}  // namespace

TEST_CASE("a GET with a range is signed as Amazon signs it") {
    const HttpCall call{.method = "GET",
                        .url = parse_url("https://examplebucket.s3.amazonaws.com/test.txt").value(),
                        .fields = {{"Range", "bytes=0-9"}}};
    CHECK(signature_of(call) == "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
}

TEST_CASE("a PUT with a body is signed as Amazon signs it") {
    const std::string body = "Welcome to Amazon S3.";
    const HttpCall call{
        .method = "PUT",
        .url = parse_url("https://examplebucket.s3.amazonaws.com/test%24file.text").value(),
        .fields = {{"Date", "Fri, 24 May 2013 00:00:00 GMT"},
                   {"x-amz-storage-class", "REDUCED_REDUNDANCY"}},
        .body = as_bytes(body)};
    CHECK(signature_of(call) == "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
}

TEST_CASE("parameters of a query are signed sorted") {
    const HttpCall lifecycle{
        .method = "GET",
        .url = parse_url("https://examplebucket.s3.amazonaws.com/?lifecycle").value()};
    CHECK(signature_of(lifecycle) ==
          "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
    const HttpCall list{
        .method = "GET",
        .url = parse_url("https://examplebucket.s3.amazonaws.com/?prefix=J&max-keys=2").value()};
    CHECK(signature_of(list) == "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

TEST_CASE("the time of a signature is UTC") {
    CHECK(amz_time(std::chrono::seconds(1'369'353'600)) == "20130524T000000Z");
}

TEST_CASE("a session token is sent and signed") {
    S3Credentials temporary = kExample;
    temporary.session_token = "token";
    const HttpCall call{.url = parse_url("https://examplebucket.s3.amazonaws.com/x").value()};
    const auto fields = sign_request(temporary, kScope, call);
    CHECK(std::any_of(fields.begin(), fields.end(), [](const HttpField& field) {
        return field.first == "x-amz-security-token" && field.second == "token";
    }));
    CHECK(fields.back().second.find("x-amz-security-token,Signature=") != std::string::npos);
}
