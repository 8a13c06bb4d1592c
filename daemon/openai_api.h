// OpenAI's routes and those by which others see that the node lives.
// Threading: the io thread; large bodies are parsed on a compute thread. Ownership: what it is
// given outlives it.
#pragma once
#include "base/async/offload.h"
#include "base/random.h"
#include "daemon/http_exchange.h"
#include "daemon/http_router.h"
#include "daemon/node.h"
#include "daemon/openai_request.h"

#include <string>
#include <variant>
#include <vector>

namespace rekindle::daemon {

class OpenAiApi {
public:
    OpenAiApi(Node& node, Entropy& entropy, ComputePool& compute)
        : node_(node), entropy_(entropy), compute_(compute) {}

    void add_routes(std::vector<Route>& routes);

private:
    Task<> welcome(HttpExchange& exchange);
    Task<> health(HttpExchange& exchange);
    Task<> list_models(HttpExchange& exchange);
    Task<> show_model(HttpExchange& exchange, std::string id);
    Task<> answer(HttpExchange& exchange, AnswerKind kind);
    Task<std::variant<AnswerRequest, ApiError>> parse(std::string body, AnswerKind kind);

    Node& node_;
    Entropy& entropy_;
    ComputePool& compute_;
};

}  // namespace rekindle::daemon
