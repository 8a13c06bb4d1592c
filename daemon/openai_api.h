// OpenAI's routes and those by which others see that the node lives.
// Threading: the io thread. Ownership: the node and entropy outlive it.
#pragma once
#include "base/random.h"
#include "daemon/http_exchange.h"
#include "daemon/http_router.h"
#include "daemon/node.h"
#include "daemon/openai_fields.h"

#include <string>
#include <vector>

namespace rekindle::daemon {

class OpenAiApi {
public:
    OpenAiApi(Node& node, Entropy& entropy) : node_(node), entropy_(entropy) {}

    void add_routes(std::vector<Route>& routes);

private:
    Task<> welcome(HttpExchange& exchange);
    Task<> health(HttpExchange& exchange);
    Task<> ready(HttpExchange& exchange);
    Task<> list_models(HttpExchange& exchange);
    Task<> show_model(HttpExchange& exchange, std::string id);
    Task<> answer(HttpExchange& exchange, AnswerKind kind);

    Node& node_;
    Entropy& entropy_;
};

}  // namespace rekindle::daemon
