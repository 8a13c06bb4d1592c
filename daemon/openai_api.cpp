#include "daemon/openai_api.h"

#include "base/units.h"
#include "base/version.h"
#include "daemon/api/openai_types.h"
#include "daemon/openai_answer.h"

#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include <span>
#include <utility>
#include <variant>

namespace rekindle::daemon {
namespace {

// JSON parses at some 200 MB/s: up to here the io thread loses less than half a ms.
constexpr size_t kParsedHereBytesMax = 64 * kKiB;

api::Model model_of(const DeploymentInfo& info) {
    return {.id = info.name, .created_unix_s = info.created_unix_s, .context = info.context};
}

}  // namespace

void OpenAiApi::add_routes(std::vector<Route>& routes) {
    const auto add_as = [&routes](Access access, std::string_view method, std::string_view pattern,
                                  auto handle) {
        routes.push_back(Route{
            .method = method, .pattern = pattern, .access = access, .handle = std::move(handle)});
    };
    const auto add_public = [&add_as](std::string_view pattern, auto handle) {
        add_as(Access::kPublic, "GET", pattern, std::move(handle));
    };
    const auto add = [&add_as](std::string_view method, std::string_view pattern, auto handle) {
        add_as(Access::kModel, method, pattern, std::move(handle));
    };
    add_public("/", [this](HttpExchange& exchange, const std::string& /*rest*/) {
        return welcome(exchange);
    });
    add_public("/health", [this](HttpExchange& exchange, const std::string& /*rest*/) {
        return health(exchange);
    });
    add("GET", "/models", [this](HttpExchange& exchange, const std::string& /*rest*/) {
        return list_models(exchange);
    });
    add("GET", "/models/*", [this](HttpExchange& exchange, std::string rest) {
        return show_model(exchange, std::move(rest));
    });
    add("POST", "/chat/completions", [this](HttpExchange& exchange, const std::string& /*rest*/) {
        return answer(exchange, AnswerKind::kChat);
    });
    add("POST", "/completions", [this](HttpExchange& exchange, const std::string& /*rest*/) {
        return answer(exchange, AnswerKind::kCompletion);
    });
}

Task<> OpenAiApi::welcome(HttpExchange& exchange) {
    HttpReply reply;
    reply.content_type = "text/plain; charset=utf-8";
    reply.body = fmt::format(
        "rekindled {}: serverless inference, many models on one node.\n"
        "Point an OpenAI client at this address with /v1 appended; GET /v1/models lists the "
        "models.\n",
        version());
    co_await exchange.reply(std::move(reply));
}

Task<> OpenAiApi::health(HttpExchange& exchange) {
    HttpReply reply;
    reply.body = R"({"status":"ok"})";
    co_await exchange.reply(std::move(reply));
}

Task<> OpenAiApi::list_models(HttpExchange& exchange) {
    json::array data;
    for (const DeploymentInfo& info : node_.deployments()) {
        data.push_back(api::to_json(model_of(info)));
        for (const std::string& alias : info.aliases) {
            api::Model model = model_of(info);
            model.id = alias;
            data.push_back(api::to_json(model));
        }
    }
    json::object list;
    list["object"] = "list";
    list["data"] = std::move(data);
    HttpReply reply;
    reply.body = json::serialize(list);
    co_await exchange.reply(std::move(reply));
}

Task<> OpenAiApi::show_model(HttpExchange& exchange, std::string id) {
    const auto info = node_.deployment(id);
    if (!info) {
        ApiError missing = model_not_found(id);
        co_await exchange.reply_error(std::move(missing));
        co_return;
    }
    api::Model model = model_of(*info);
    model.id = id;  // Its name or an alias.
    HttpReply reply;
    reply.body = json::serialize(api::to_json(model));
    co_await exchange.reply(std::move(reply));
}

Task<> OpenAiApi::answer(HttpExchange& exchange, AnswerKind kind) {
    const auto encoding = exchange.request().field("content-encoding");
    if (encoding && !equal_ignoring_case(*encoding, "identity")) {
        ApiError refused =
            http_error(415, "unsupported_encoding", "Content-Encoding: send the body uncompressed");
        co_await exchange.reply_error(std::move(refused));
        co_return;
    }
    std::string body;
    auto fault = co_await exchange.read_body(&body);
    if (fault) {
        co_await exchange.reply_error(std::move(*fault));
        co_return;
    }
    auto parsed = co_await parse(std::move(body), kind);
    if (auto* refused = std::get_if<ApiError>(&parsed)) {
        co_await exchange.reply_error(std::move(*refused));
        co_return;
    }
    OpenAiAnswer answer(exchange, node_);
    co_await answer.run(std::move(std::get<AnswerRequest>(parsed)));
}

Task<std::variant<AnswerRequest, ApiError>> OpenAiApi::parse(std::string body, AnswerKind kind) {
    uint64_t seed = 0;
    entropy_.fill(std::as_writable_bytes(std::span(&seed, 1)));
    const auto rules = node_.request_rules();
    if (body.size() <= kParsedHereBytesMax) {
        co_return parse_answer_request(body, kind, seed, rules.get());
    }
    auto work = [body = std::move(body), kind, seed, rules] {
        return parse_answer_request(body, kind, seed, rules.get());
    };
    auto parsing = offload(compute_, std::move(work));
    auto parsed = co_await std::move(parsing);
    co_return parsed;
}

}  // namespace rekindle::daemon
