// Where the daemon listens, from --url or REKINDLE_URL: http://HOST:PORT, https://HOST:PORT or
// unix:///path/admin.sock. Plain values; threading: none.
#pragma once
#include "base/result.h"

#include <string>
#include <string_view>

namespace rekindle::cli {

inline constexpr const char* kDefaultUrl = "http://127.0.0.1:8080";

struct Endpoint {
    std::string shown;        // As the person wrote it, for messages.
    std::string base_url;     // Scheme and authority for requests, without a slash at the end.
    std::string unix_socket;  // Path; empty for TCP.
    bool same_host = false;   // Unix socket or loopback address.
    std::string key;          // API key to send; empty: none. Never shown.
};

// kInvalidArgument says what an address looks like.
Result<Endpoint> parse_endpoint(std::string_view url);

// By its Unix socket, which needs no key.
Endpoint unix_endpoint(std::string path);

}  // namespace rekindle::cli
