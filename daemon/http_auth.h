// Who may use which route: decided by the door a request came through, its route's class and its
// key. A route that names no class is an admin route.
//   Unix socket: everything, without a key (the socket's mode is its lock).
//   TCP while no key exists: on loopback, to this machine's names; elsewhere nothing but kPublic.
//   TCP once a key exists: by the key's role.
// Threading: the io thread. Ownership: the key store outlives it.
#pragma once
#include "daemon/http_exchange.h"
#include "daemon/key_store.h"
#include "daemon/openai_errors.h"

#include <optional>
#include <string_view>
#include <variant>

namespace rekindle::daemon {

enum class Access {
    kAdmin,
    kMetrics,
    kModel,
    kPublic,  // Says that the node lives; nothing about what it serves or to whom.
};

class Doorkeeper {
public:
    explicit Doorkeeper(KeyStore& keys) : keys_(keys) {}

    // Whom the request is billed to, or 401 or 403.
    std::variant<Caller, ApiError> admit(Access access, const HttpRequest& request,
                                         const ListenerFacts& listener);

private:
    std::variant<Caller, ApiError> admit_keyless(Access access, const HttpRequest& request,
                                                 const ListenerFacts& listener) const;
    std::variant<Caller, ApiError> admit_keyed(Access access, const HttpRequest& request);

    KeyStore& keys_;
};

// The key of `Authorization: Bearer`, `X-Api-Key` or `api-key`: nothing without any, 401 when they
// disagree or Authorization has another form.
std::variant<std::optional<std::string_view>, ApiError> presented_key(const HttpRequest& request);

}  // namespace rekindle::daemon
