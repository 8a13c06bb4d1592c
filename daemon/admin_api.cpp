#include "daemon/admin_api.h"

#include "base/decimal.h"
#include "base/version.h"
#include "billing/usage_event.h"
#include "daemon/admin_bench.h"
#include "daemon/admin_deploy.h"
#include "daemon/admin_remote.h"
#include "daemon/admin_revisions.h"
#include "daemon/api/usage_types.h"

#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include <charconv>
#include <utility>
#include <variant>

namespace rekindle::daemon {
namespace {

HttpReply json_reply(const json::object& object) {
    HttpReply reply;
    reply.body = json::serialize(object);
    return reply;
}

std::vector<std::string> split_columns(std::string_view text) {
    std::vector<std::string> columns;
    while (!text.empty()) {
        const std::string_view column = text.substr(0, text.find(','));
        columns.emplace_back(column);
        text.remove_prefix(std::min(text.size(), column.size() + 1));
    }
    return columns;
}

std::optional<int64_t> parse_time(std::string_view text) {
    int64_t value = 0;
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
    const bool whole = parsed.ec == std::errc() && parsed.ptr == text.data() + text.size();
    return whole && value >= 0 ? std::optional(value) : std::nullopt;
}

std::variant<billing::UsageQuery, ApiError> read_usage_query(std::string_view query) {
    const auto parameters = parse_query(query);
    if (!parameters) {
        return invalid_value("", "the query is malformed");
    }
    billing::UsageQuery out;
    for (const auto& [name, value] : *parameters) {
        if (name == "by") {
            out.by = split_columns(value);
            continue;
        }
        if (name != "since" && name != "until") {
            return unknown_parameter(name);
        }
        const auto time = parse_time(value);
        if (!time) {
            return invalid_value(name, name + ": must be Unix time in milliseconds");
        }
        (name == "since" ? out.since_unix_ms : out.until_unix_ms) = *time;
    }
    return out;
}

api::UsageReport report_of(const std::vector<std::string>& by,
                           const std::vector<billing::UsageRow>& rows) {
    api::UsageReport report{.by = by};
    for (const billing::UsageRow& row : rows) {
        api::UsageRow out{.requests = row.requests,
                          .prompt_tokens = row.prompt_tokens,
                          .cached_tokens = row.cached_tokens,
                          .completion_tokens = row.completion_tokens,
                          .forgiven_tokens = row.forgiven_tokens,
                          .cost = format_amount(row.cost),
                          .currency = row.currency};
        for (size_t i = 0; i < by.size() && i < row.group.size(); ++i) {
            out.group.emplace_back(by[i], row.group[i]);
        }
        report.rows.push_back(std::move(out));
    }
    return report;
}

// The bill of one request: what was counted, what of it is charged, at which prices.
json::object bill_of(const billing::UsageFinal& usage) {
    const billing::RequestFacts& facts = usage.facts;
    json::object out;
    out["id"] = facts.id.text();
    out["outcome"] = billing::outcome_name(usage.outcome);
    out["organization"] = facts.organization;
    out["project"] = facts.project;
    out["key"] = facts.key;
    out["model"] = facts.model;
    out["revision"] = facts.revision;
    out["streamed"] = facts.streamed;
    out["prompt_tokens"] = facts.prompt_tokens;
    out["cached_tokens"] = facts.cached_tokens;
    out["completion_tokens"] = usage.completion_tokens;
    out["delivered_tokens"] = usage.delivered_tokens;
    out["forgiven_tokens"] = usage.forgiven_tokens;
    out["billed"] = json::object{{"prompt_tokens", usage.billed_prompt},
                                 {"cached_tokens", usage.billed_cached},
                                 {"completion_tokens", usage.billed_completion}};
    out["price"] = json::object{{"input", format_price_per_million(facts.price_input)},
                                {"output", format_price_per_million(facts.price_output)},
                                {"cached", format_price_per_million(facts.price_cached)},
                                {"currency", facts.currency}};
    out["cost"] = format_amount(usage.cost);
    out["currency"] = facts.currency;
    out["started"] = facts.started_unix_ms;
    out["finished"] = usage.finished_unix_ms;
    out["restore_ms"] = usage.restore_ms;
    return out;
}

}  // namespace

api::Deployment wire_form(const DeploymentInfo& info) {
    api::Deployment out{.name = info.name,
                        .revision = info.revision,
                        .image = info.image,
                        .architecture = info.architecture,
                        .image_bytes = info.image_bytes,
                        .context = info.context,
                        .kv_type = info.kv_type,
                        .created_unix_s = info.created_unix_s,
                        .price = {.input = info.price_input,
                                  .output = info.price_output,
                                  .cached = info.price_cached,
                                  .currency = info.currency},
                        .tier = info.tier,
                        .resident_bytes = info.resident_bytes,
                        .active_requests = info.active_requests,
                        .worker_pid = info.worker_pid,
                        .restoring = info.restoring,
                        .guesses = {.computed = info.guesses.computed,
                                    .right = info.guesses.right,
                                    .of_draft = info.guesses.of_draft,
                                    .of_draft_right = info.guesses.of_draft_right},
                        .draft_image = info.draft_image,
                        .draft_state = info.draft_state};
    out.aliases = info.aliases;
    if (info.idle_for) {
        out.idle_ms = info.idle_for->count();
    }
    if (info.arriving) {
        out.arriving = api::Deployment::Arriving{.bytes_here = info.arriving->bytes_here,
                                                 .bytes = info.arriving->bytes,
                                                 .remote = info.arriving->remote,
                                                 .problem = info.arriving->problem};
    }
    return out;
}

void AdminApi::add_routes(std::vector<Route>& routes) {
    add_revision_routes(services_.node, routes);
    add_bench_route(services_.node, routes);
    add_remote_routes(services_, routes);
    const auto add = [&routes](std::string_view method, std::string_view pattern, auto handle) {
        routes.push_back(Route{.method = method,
                               .pattern = pattern,
                               .access = Access::kAdmin,
                               .handle = std::move(handle)});
    };
    add("GET", "/admin/v1/node", [this](HttpExchange& exchange, const std::string& /*rest*/) {
        return show_node(exchange);
    });
    add("POST", "/admin/v1/deployments",
        [this](HttpExchange& exchange, const std::string& /*rest*/) {
            return deploy_from(exchange, services_);
        });
    add("GET", "/admin/v1/deployments",
        [this](HttpExchange& exchange, const std::string& /*rest*/) {
            return list_deployments(exchange);
        });
    add("DELETE", "/admin/v1/deployments/*", [this](HttpExchange& exchange, std::string rest) {
        return undeploy(exchange, std::move(rest));
    });
    add("GET", "/admin/v1/usage",
        [this](HttpExchange& exchange, const std::string& /*rest*/) { return usage(exchange); });
    add("GET", "/admin/v1/requests/*", [this](HttpExchange& exchange, std::string rest) {
        return show_request(exchange, std::move(rest));
    });
}

Task<> AdminApi::show_node(HttpExchange& exchange) {
    json::object node;
    node["version"] = version();
    node["data_folder"] = services_.node.data_folder();
    node["admin_socket"] = services_.admin_socket;
    node["draining"] = services_.node.draining();
    auto reply = json_reply(node);
    co_await exchange.reply(std::move(reply));
}

Task<> AdminApi::list_deployments(HttpExchange& exchange) {
    json::array list;
    for (const DeploymentInfo& info : services_.node.deployments()) {
        list.push_back(api::to_json(wire_form(info)));
    }
    json::object out;
    out["deployments"] = std::move(list);
    out["ready_bytes"] = services_.node.ready_bytes();
    auto reply = json_reply(out);
    co_await exchange.reply(std::move(reply));
}

Task<> AdminApi::undeploy(HttpExchange& exchange, std::string name) {
    const auto removed = co_await services_.node.undeploy(std::move(name));
    if (!removed) {
        ApiError error = api_error(removed.error());
        co_await exchange.reply_error(std::move(error));
        co_return;
    }
    HttpReply reply;
    reply.status = 204;
    co_await exchange.reply(std::move(reply));
}

Task<> AdminApi::usage(HttpExchange& exchange) {
    auto parsed = read_usage_query(exchange.request().query);
    if (auto* refused = std::get_if<ApiError>(&parsed)) {
        co_await exchange.reply_error(std::move(*refused));
        co_return;
    }
    auto query = std::move(std::get<billing::UsageQuery>(parsed));
    const std::vector<std::string> by = query.by;
    auto rows = co_await services_.node.usage(std::move(query));
    if (!rows) {
        ApiError error = api_error(rows.error());
        co_await exchange.reply_error(std::move(error));
        co_return;
    }
    auto reply = json_reply(api::to_json(report_of(by, *rows)));
    co_await exchange.reply(std::move(reply));
}

Task<> AdminApi::show_request(HttpExchange& exchange, std::string id) {
    const auto parsed = billing::RequestId::parse(id);
    if (!parsed) {
        ApiError error = api_error(parsed.error());
        co_await exchange.reply_error(std::move(error));
        co_return;
    }
    auto found = co_await services_.node.find_request(*parsed);
    if (!found) {
        ApiError error = api_error(found.error());
        co_await exchange.reply_error(std::move(error));
        co_return;
    }
    auto reply = json_reply(bill_of(*found));
    co_await exchange.reply(std::move(reply));
}

}  // namespace rekindle::daemon
