// The admin routes (docs/admin-api.md).
// Threading: the io thread. Ownership: everything it is given outlives it; the gate is closed
// before it goes away.
#pragma once
#include "base/async/gate.h"
#include "base/async/offload.h"
#include "daemon/api/deploy_types.h"
#include "daemon/http_exchange.h"
#include "daemon/http_router.h"
#include "daemon/node.h"

#include <string>
#include <vector>

namespace rekindle::daemon {

struct AdminServices {
    asio::io_context& context;
    Node& node;
    Gate& gate;          // For deployments, which may end later than their client.
    ComputePool& files;  // Writes uploads.
    std::string admin_socket;
};

class AdminApi {
public:
    explicit AdminApi(AdminServices services) : services_(std::move(services)) {}

    void add_routes(std::vector<Route>& routes);

private:
    Task<> show_node(HttpExchange& exchange);
    Task<> list_deployments(HttpExchange& exchange);
    Task<> undeploy(HttpExchange& exchange, std::string name);
    Task<> usage(HttpExchange& exchange);
    Task<> show_request(HttpExchange& exchange, std::string id);

    const AdminServices services_;
};

api::Deployment wire_form(const DeploymentInfo& info);

}  // namespace rekindle::daemon
