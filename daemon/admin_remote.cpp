#include "daemon/admin_remote.h"

#include "base/json.h"
#include "daemon/admin_work.h"
#include "daemon/openai_fields.h"

#include <boost/json/array.hpp>

#include <string>
#include <utility>
#include <variant>

namespace rekindle::daemon {
namespace {

enum class Direction { kPush, kPull };

struct Transfer {
    Direction direction = Direction::kPush;
    std::string remote;
    std::string what;    // Of a push the model, of a pull the image's name or digest.
    std::string name;    // Of a push: what the image is called there.
    bool serve = false;  // Of a pull: chunks come behind.
};

// A folder of the daemon's machine is written and read by whoever may open the admin socket, not by
// everybody who has an admin key.
std::optional<ApiError> check_place(const std::string& remote, const HttpExchange& exchange) {
    if (remote.starts_with("file:") && !exchange.listener().unix_socket) {
        return api_error(Error{ErrorCode::kForbidden,
                               "remote: file:// is taken over the node's admin socket alone: use "
                               "--url unix://DIR/admin.sock"});
    }
    return std::nullopt;
}

std::variant<Transfer, ApiError> read_transfer(const json::object& body, Direction direction) {
    const bool push = direction == Direction::kPush;
    const std::string_view what = push ? "model" : "image";
    for (const auto& member : body) {
        const std::string_view key = member.key();
        if (key != "remote" && key != what && key != (push ? "name" : "serve")) {
            return unknown_parameter(std::string(key));
        }
    }
    Transfer transfer{.direction = direction};
    const std::pair<std::string_view, std::string*> texts[] = {
        {"remote", &transfer.remote}, {what, &transfer.what}, {"name", &transfer.name}};
    for (const auto& [key, text] : texts) {
        const json::value* const value = body.if_contains(key);
        if (value != nullptr && !value->is_string()) {
            return invalid_value(std::string(key), std::string(key) + ": must be text");
        }
        if (value != nullptr) {
            *text = value->get_string();
        } else if (key != "name") {
            return invalid_value(std::string(key), std::string(key) + ": is missing");
        }
    }
    const auto serve = get_bool(body, "serve");
    if (!serve) {
        return invalid_value("serve", serve.error().message);
    }
    transfer.serve = serve->value_or(false);
    if (push && transfer.name.empty()) {
        transfer.name = transfer.what;
    }
    return transfer;
}

Task<Result<json::object>> run_transfer(Node* node, Transfer transfer,
                                        std::shared_ptr<std::atomic<bool>> cancelled,
                                        Node::OnProgress on_progress) {
    const bool push = transfer.direction == Direction::kPush;
    TransferSpec spec{.remote = std::move(transfer.remote),
                      .what = std::move(transfer.what),
                      .name = std::move(transfer.name),
                      .serve = transfer.serve,
                      .cancelled = std::move(cancelled)};
    auto running = push ? node->push(std::move(spec), std::move(on_progress))
                        : node->pull(std::move(spec), std::move(on_progress));
    auto info = co_await std::move(running);
    if (!info) {
        co_return std::move(info).error();
    }
    json::object out{{"image", "sha256:" + info->image},
                     {"image_bytes", info->image_bytes},
                     {"chunks", info->chunks},
                     {"chunks_moved", info->chunks_moved},
                     {"bytes_moved", info->bytes_moved}};
    if (push) {
        out["name"] = info->name;
    } else {
        out["arriving"] = info->arriving;
    }
    if (!info->manifest.empty()) {
        out["manifest"] = std::move(info->manifest);
    }
    co_return json::object{{push ? "push" : "pull", std::move(out)}};
}

Task<> transfer_image(HttpExchange& exchange, const AdminServices& services, Direction direction) {
    std::string text;
    auto fault = co_await exchange.read_body(&text);
    if (fault) {
        co_await exchange.reply_error(std::move(*fault));
        co_return;
    }
    const auto body = parse_json(text, JsonLimits{.depth_max = 4});
    auto read = body && body->is_object() ? read_transfer(body->get_object(), direction)
                                          : invalid_value("", "the body must be a JSON object");
    if (auto* refused = std::get_if<ApiError>(&read)) {
        co_await exchange.reply_error(std::move(*refused));
        co_return;
    }
    auto refused = check_place(std::get<Transfer>(read).remote, exchange);
    if (refused) {
        co_await exchange.reply_error(std::move(*refused));
        co_return;
    }
    StartWork start = [node = &services.node, transfer = std::get<Transfer>(std::move(read))](
                          std::shared_ptr<std::atomic<bool>> cancelled,
                          Node::OnProgress on_progress) {
        return run_transfer(node, transfer, std::move(cancelled), std::move(on_progress));
    };
    co_await work_and_tell(exchange, services, direction == Direction::kPush ? "push" : "pull",
                           std::move(start));
}

}  // namespace

void add_remote_routes(const AdminServices& services, std::vector<Route>& routes) {
    const auto add = [&](std::string_view pattern, Direction direction) {
        routes.push_back(Route{
            .method = "POST",
            .pattern = pattern,
            .access = Access::kAdmin,
            .handle = [&services, direction](HttpExchange& exchange, const std::string& /*rest*/) {
                return transfer_image(exchange, services, direction);
            }});
    };
    add("/admin/v1/push", Direction::kPush);
    add("/admin/v1/pull", Direction::kPull);
}

}  // namespace rekindle::daemon
