#include "cli/endpoint.h"

#include <fmt/format.h>

#include <curl/curl.h>
#include <memory>
#include <utility>

namespace rekindle::cli {

namespace {

constexpr std::string_view kUnixScheme = "unix://";

struct FreeUrl {
    void operator()(CURLU* url) const noexcept { curl_url_cleanup(url); }
};

std::string url_part(CURLU* url, CURLUPart part) {
    char* text = nullptr;
    if (curl_url_get(url, part, &text, 0) != CURLUE_OK) {
        return {};
    }
    std::string out(text);
    curl_free(text);
    return out;
}

bool is_loopback(std::string_view host) {
    return host == "localhost" || host == "[::1]" || host.starts_with("127.");
}

Error not_an_address(std::string_view url) {
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("'{}' is not a daemon's address: give http://HOST:PORT or "
                             "unix:///path/to/admin.sock",
                             url)};
}

}  // namespace

Endpoint unix_endpoint(std::string path) {
    Endpoint endpoint;
    endpoint.shown = std::string(kUnixScheme) + path;
    endpoint.base_url = "http://localhost";  // Only the Host header shows it.
    endpoint.unix_socket = std::move(path);
    endpoint.same_host = true;
    return endpoint;
}

Result<Endpoint> parse_endpoint(std::string_view url) {
    if (url.starts_with(kUnixScheme)) {
        const std::string_view path = url.substr(kUnixScheme.size());
        if (!path.starts_with('/')) {
            return not_an_address(url);
        }
        return unix_endpoint(std::string(path));
    }
    const std::unique_ptr<CURLU, FreeUrl> parsed(curl_url());
    const std::string text(url);
    if (curl_url_set(parsed.get(), CURLUPART_URL, text.c_str(), 0) != CURLUE_OK) {
        return not_an_address(url);
    }
    const std::string scheme = url_part(parsed.get(), CURLUPART_SCHEME);
    const std::string host = url_part(parsed.get(), CURLUPART_HOST);
    if ((scheme != "http" && scheme != "https") || host.empty() ||
        !url_part(parsed.get(), CURLUPART_QUERY).empty() ||
        !url_part(parsed.get(), CURLUPART_FRAGMENT).empty()) {
        return not_an_address(url);
    }
    Endpoint endpoint;
    endpoint.base_url = text.substr(0, text.find_last_not_of('/') + 1);
    endpoint.shown = endpoint.base_url;
    endpoint.same_host = is_loopback(host);
    return endpoint;
}

}  // namespace rekindle::cli
