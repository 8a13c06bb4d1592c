// One generation from request to last byte: asks the node, relays its events as an event stream or
// collects them into one body, and keeps the order that the bill depends on: delivered() after each
// write, finish() before the last event.
// Threading: the io thread. Ownership: lives in its handler's coroutine.
#pragma once
#include "daemon/http_exchange.h"
#include "daemon/node.h"
#include "daemon/openai_forms.h"
#include "daemon/openai_request.h"

#include <memory>
#include <string>
#include <vector>

namespace rekindle::daemon {

class OpenAiAnswer {
public:
    OpenAiAnswer(HttpExchange& exchange, Node& node) : exchange_(exchange), node_(node) {}

    OpenAiAnswer(const OpenAiAnswer&) = delete;
    OpenAiAnswer& operator=(const OpenAiAnswer&) = delete;

    Task<> run(AnswerRequest request);

private:
    Task<> relay();
    Task<> collect();
    // Sends what the stream has for the client; false when nothing more can be sent.
    Task<bool> send_text(std::string text);
    Task<> settle_and_end(Finish finish);
    // As a status, or as an error event once the stream has begun.
    Task<> fail(Error error);
    void begin_if_needed();
    // The events up to now go first when they were not sent.
    std::string opening();
    void append_timing(std::string& part);
    bool client_gone() const noexcept;
    void on_interrupt(Interrupt reason);

    HttpExchange& exchange_;
    Node& node_;
    AnswerKind kind_ = AnswerKind::kChat;
    bool include_usage_ = false;
    std::unique_ptr<GenerateStream> stream_;
    std::unique_ptr<AnswerForm> form_;
    std::vector<LogprobItem> logprobs_;  // Of tokens that were not sent yet.
    uint32_t undelivered_ = 0;           // Tokens sampled, not yet sent.
    bool opened_ = false;
};

}  // namespace rekindle::daemon
