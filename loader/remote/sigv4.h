// AWS Signature Version 4 of one request: the Authorization field and those that it covers. Pure.
#pragma once
#include "base/clock.h"
#include "base/result.h"
#include "loader/remote/http_client.h"

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace rekindle::remote {

struct S3Credentials {
    std::string access_key;  // Empty: requests are not signed.
    std::string secret_key;
    std::string session_token;  // Of temporary credentials; empty: none.
};

struct SigningScope {
    std::string region;   // "us-east-1"
    std::string service;  // "s3"
    std::string time;     // "20130524T000000Z"
};

// "20130524T000000Z" of the time since 1970.
std::string amz_time(Nanoseconds wall);

// The fields to add to a request of `method` and `url` (whose path is percent-encoded already) with
// `fields` and `body`; every one of `fields` is signed. S3's own rule: the path is signed as sent.
std::vector<HttpField> sign_request(const S3Credentials& credentials, const SigningScope& scope,
                                    const HttpCall& call);

}  // namespace rekindle::remote
