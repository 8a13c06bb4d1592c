#include "daemon/http_auth.h"

#include "daemon/http_access.h"

#include <array>
#include <string>
#include <utility>

namespace rekindle::daemon {
namespace {

ApiError unauthorized(std::string message) {
    return api_error(Error{ErrorCode::kUnauthorized, std::move(message)});
}

ApiError forbidden(std::string message) {
    return api_error(Error{ErrorCode::kForbidden, std::move(message)});
}

std::string missing_key(Access access) {
    std::string message =
        "You didn't provide an API key: send it as \"Authorization: Bearer KEY\".";
    if (access == Access::kAdmin) {
        message += " Admin routes need an admin key over TCP, and none on the node's admin socket.";
    }
    return message;
}

std::optional<ApiError> check_role(Access access, KeyRole role) {
    if (role == KeyRole::kAdmin || (access == Access::kModel && role == KeyRole::kUser) ||
        (access == Access::kMetrics && role == KeyRole::kMetrics)) {
        return std::nullopt;
    }
    if (access == Access::kModel) {
        return forbidden("this key opens /metrics alone: use a user key");
    }
    return forbidden(access == Access::kAdmin
                         ? "this key is no admin key: admin routes need one over TCP, and none on "
                           "the node's admin socket"
                         : "/metrics needs a key that was made with --metrics or --admin");
}

}  // namespace

std::variant<std::optional<std::string_view>, ApiError> presented_key(const HttpRequest& request) {
    std::optional<std::string_view> key;
    for (const HttpField& field : request.fields) {
        std::optional<std::string_view> found;
        if (field.name == "authorization") {
            found = bearer_token(field.value);
            if (!found) {
                return unauthorized("Authorization: write \"Bearer KEY\"");
            }
        } else if (field.name == "x-api-key" || field.name == "api-key") {
            found = field.value;
        } else {
            continue;
        }
        if (key && *key != *found) {
            return unauthorized("the request has two different API keys: send one");
        }
        key = found;
    }
    return key;
}

std::variant<Caller, ApiError> Doorkeeper::admit(Access access, const HttpRequest& request,
                                                 const ListenerFacts& listener) {
    if (access != Access::kAdmin) {
        if (auto refused = check_origin(request, listener)) {
            return std::move(*refused);
        }
    }
    if (access == Access::kPublic || (listener.unix_socket && access != Access::kModel)) {
        return Caller{};
    }
    if (!keys_.any()) {
        return admit_keyless(access, request, listener);
    }
    if (listener.unix_socket) {  // A key is not needed here, but says who pays.
        const auto presented = presented_key(request);
        const auto* key = std::get_if<std::optional<std::string_view>>(&presented);
        if (key != nullptr && !key->has_value()) {
            return Caller{};
        }
    }
    if (access == Access::kAdmin) {
        if (auto refused = check_admin_origin(request)) {
            return std::move(*refused);
        }
    }
    return admit_keyed(access, request);
}

std::variant<Caller, ApiError> Doorkeeper::admit_keyless(Access access, const HttpRequest& request,
                                                         const ListenerFacts& listener) const {
    if (listener.unix_socket) {
        return Caller{};
    }
    if (!listener.loopback) {
        return unauthorized(
            "On this address the node answers to API keys alone, and it has none yet: its operator "
            "makes one with `rekindle keys create`.");
    }
    auto refused = access == Access::kAdmin ? check_keyless_admin(request) : check_host(request);
    if (refused) {
        return std::move(*refused);
    }
    return Caller{};
}

std::variant<Caller, ApiError> Doorkeeper::admit_keyed(Access access, const HttpRequest& request) {
    auto presented = presented_key(request);
    if (auto* refused = std::get_if<ApiError>(&presented)) {
        return std::move(*refused);
    }
    const auto key = std::get<std::optional<std::string_view>>(presented);
    if (!key) {
        return unauthorized(missing_key(access));
    }
    auto facts = keys_.authenticate(*key);
    if (!facts) {
        return api_error(facts.error());
    }
    if (auto refused = check_role(access, facts->role)) {
        return std::move(*refused);
    }
    return Caller{.organization = std::move(facts->organization),
                  .project = std::move(facts->project),
                  .key = std::move(facts->id)};
}

}  // namespace rekindle::daemon
