// The addresses that rekindled fetches from: http and https, nothing else. Strict: what two readers
// could take differently (white space, control characters, a user's name before the host) is
// refused. Pure.
#pragma once
#include "base/result.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace rekindle::remote {

inline constexpr size_t kUrlBytesMax = 8192;  // Signed addresses of object stores take about 2,000.

struct Url {
    bool secure = true;  // https
    std::string host;    // Lower case; an IPv6 address without its brackets.
    uint16_t port = 443;
    std::string target = "/";  // Path and query, as they are sent.

    // Host with the port unless it is the scheme's own: what the Host field says.
    std::string authority() const;
    // Scheme and authority.
    std::string origin() const;
    // For messages and logs: without the query, which may hold a signature.
    std::string shown() const;
    // Without the query.
    std::string_view path() const noexcept;

    bool same_origin(const Url& other) const noexcept {
        return secure == other.secure && host == other.host && port == other.port;
    }
};

// An absolute address without a fragment. kInvalidArgument says what is wrong with it.
Result<Url> parse_url(std::string_view text);
// Where a Location field leads from `from`. kForbidden from https to http.
Result<Url> resolve_redirect(const Url& from, std::string_view location);

// RFC 3986: everything but letters, digits and -._~ as %XX; "/" stays when `keep_slash`.
std::string percent_encode(std::string_view text, bool keep_slash);

}  // namespace rekindle::remote
