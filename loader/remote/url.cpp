#include "loader/remote/url.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace rekindle::remote {
namespace {

constexpr size_t kHostBytesMax = 253;  // RFC 1035.
constexpr uint16_t kHttpPort = 80;
constexpr uint16_t kHttpsPort = 443;

Error bad(std::string_view reason) {
    return Error{ErrorCode::kInvalidArgument, fmt::format("address: {}", reason)};
}

bool is_alphanumeric(char c) noexcept {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool is_host(std::string_view text, bool numeric_v6) noexcept {
    return !text.empty() && text.size() <= kHostBytesMax &&
           std::all_of(text.begin(), text.end(), [numeric_v6](char c) {
               return is_alphanumeric(c) || c == '.' ||
                      (numeric_v6 ? c == ':' : c == '-' || c == '_');
           });
}

bool is_target(std::string_view text) noexcept {
    constexpr std::string_view kRefused = "\"<>\\^`{|}#";
    return std::all_of(text.begin(), text.end(), [kRefused](char c) {
        return c > 0x20 && c < 0x7F && kRefused.find(c) == std::string_view::npos;
    });
}

Result<void> read_authority(std::string_view text, Url& url) {
    if (text.find('@') != std::string_view::npos) {
        return bad("it must not hold a user's name or password: give a token by the options");
    }
    const bool v6 = text.starts_with('[');
    const size_t end = v6 ? text.find(']') : text.find(':');
    if (v6 && end == std::string_view::npos) {
        return bad("a bracket is missing after the host");
    }
    const std::string_view host = v6 ? text.substr(1, end - 1) : text.substr(0, end);
    if (!is_host(host, v6)) {
        return bad("its host must be a name or an IP address");
    }
    url.host = host;
    std::transform(url.host.begin(), url.host.end(), url.host.begin(), [](char c) {
        return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    });
    const std::string_view rest =
        end == std::string_view::npos ? std::string_view() : text.substr(v6 ? end + 1 : end);
    if (rest.empty()) {
        return {};
    }
    const std::string_view digits = rest.substr(1);
    const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), url.port);
    if (rest.front() != ':' || read.ec != std::errc() ||
        read.ptr != digits.data() + digits.size() || url.port == 0) {
        return bad("its port must be a number from 1 to 65535");
    }
    return {};
}

}  // namespace

std::string Url::authority() const {
    const std::string name = host.find(':') == std::string::npos ? host : "[" + host + "]";
    return port == (secure ? kHttpsPort : kHttpPort) ? name : fmt::format("{}:{}", name, port);
}

std::string Url::origin() const {
    return (secure ? "https://" : "http://") + authority();
}

std::string_view Url::path() const noexcept {
    const std::string_view text = target;
    return text.substr(0, text.find('?'));
}

std::string Url::shown() const {
    return origin() + std::string(path());
}

Result<Url> parse_url(std::string_view text) {
    if (text.size() > kUrlBytesMax) {
        return bad(
            fmt::format("{} bytes are too long, the limit is {}", text.size(), kUrlBytesMax));
    }
    Url url;
    if (text.starts_with("https://")) {
        text.remove_prefix(8);
    } else if (text.starts_with("http://")) {
        text.remove_prefix(7);
        url.secure = false;
        url.port = kHttpPort;
    } else {
        return bad("it must begin with https:// or http://");
    }
    const size_t end = std::min(text.find_first_of("/?#"), text.size());
    if (auto read = read_authority(text.substr(0, end), url); !read) {
        return std::move(read).error();
    }
    const std::string_view target = text.substr(end);
    if (!is_target(target)) {
        return bad("its path must have no spaces, no fragment (#) and only ASCII; write %XX");
    }
    url.target = target.starts_with('/') ? std::string(target) : "/" + std::string(target);
    return url;
}

Result<Url> resolve_redirect(const Url& from, std::string_view location) {
    location = location.substr(0, location.find('#'));
    std::string absolute;
    if (location.starts_with("http://") || location.starts_with("https://")) {
        absolute = location;
    } else if (location.starts_with("//")) {
        absolute = (from.secure ? "https:" : "http:") + std::string(location);
    } else if (location.starts_with('/')) {
        absolute = from.origin() + std::string(location);
    } else {
        const std::string_view path = from.path();
        absolute =
            fmt::format("{}{}{}", from.origin(), path.substr(0, path.rfind('/') + 1), location);
    }
    auto url = parse_url(absolute);
    if (!url) {
        return std::move(url).with_context("redirect from " + from.shown());
    }
    if (from.secure && !url->secure) {
        return Error{ErrorCode::kForbidden,
                     fmt::format("{} redirects from https to http ({}): that is never followed",
                                 from.shown(), url->origin())};
    }
    return url;
}

std::string percent_encode(std::string_view text, bool keep_slash) {
    std::string out;
    out.reserve(text.size());
    for (const char c : text) {
        const bool plain = is_alphanumeric(c) || c == '-' || c == '.' || c == '_' || c == '~';
        if (plain || (keep_slash && c == '/')) {
            out.push_back(c);
        } else {
            fmt::format_to(std::back_inserter(out), "%{:02X}", static_cast<unsigned char>(c));
        }
    }
    return out;
}

}  // namespace rekindle::remote
