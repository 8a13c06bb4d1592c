#include "cli/local_socket.h"

#include "cli/api.h"

#include <string>
#include <unistd.h>

namespace rekindle::cli {

namespace {

constexpr const char* kNodeRoute = "/admin/v1/node";

}  // namespace

// A loopback port may be forwarded from another machine: only a socket that gives the same account
// of itself is the same daemon.
Result<std::optional<Endpoint>> local_socket(HttpClient& client) {
    const auto node = get_json(client, kNodeRoute);
    if (!node) {
        return node.error();
    }
    if (!client.endpoint().unix_socket.empty()) {
        return std::optional(client.endpoint());
    }
    const std::string path = text_member(*node, "admin_socket");
    if (!client.endpoint().same_host || !path.starts_with('/') ||
        access(path.c_str(), R_OK | W_OK) != 0) {
        return std::optional<Endpoint>();
    }
    HttpClient socket_client(unix_endpoint(path), client.interrupts());
    const auto same = get_json(socket_client, kNodeRoute);
    if (!same || *same != *node) {
        return std::optional<Endpoint>();
    }
    return std::optional(socket_client.endpoint());
}

}  // namespace rekindle::cli
