#include "daemon/openai_answer.h"

#include "base/log.h"
#include "daemon/sse.h"

#include <fmt/format.h>

#include <chrono>
#include <iterator>
#include <utility>

namespace rekindle::daemon {
namespace {

constexpr size_t kFingerprintDigits = 12;

double milliseconds(std::chrono::nanoseconds time) {
    return std::chrono::duration<double, std::milli>(time).count();
}

// RFC-style Server-Timing; decode is left out while it is not over.
std::string server_timing(const RequestTimes& times, bool with_decode) {
    std::string out = fmt::format(
        "queue;dur={:.3f}, restore;dur={:.3f}, first-layer;dur={:.3f}, prefill;dur={:.3f}",
        milliseconds(times.queue), milliseconds(times.restore), milliseconds(times.first_layer),
        milliseconds(times.prefill));
    if (with_decode) {
        out += fmt::format(", decode;dur={:.3f}", milliseconds(times.decode));
    }
    return out;
}

constexpr std::string_view kTimingField = "Server-Timing";

HttpReply stream_head(const HttpExchange& exchange) {
    HttpReply head;
    head.content_type = kSseContentType;
    head.fields.push_back({"Cache-Control", "no-cache"});
    if (exchange.takes_trailers()) {
        head.fields.push_back({"Trailer", std::string(kTimingField)});
    }
    return head;
}

api::TokenUsage usage_of(const billing::UsageFinal& usage) {
    return {.prompt = usage.facts.prompt_tokens,
            .cached = usage.facts.cached_tokens,
            .completion = usage.completion_tokens};
}

AnswerFacts facts_of(const HttpExchange& exchange, const AnswerRequest& request,
                     const DeploymentInfo& deployment) {
    const std::string id = exchange.id().text();
    const auto now = exchange.clock().wall();
    return {.id_hex = id.substr(id.find('_') + 1),
            .created_unix_s = std::chrono::duration_cast<std::chrono::seconds>(now).count(),
            .model = request.model,
            .fingerprint = "rk_" + deployment.revision.substr(0, kFingerprintDigits),
            .include_usage = request.include_usage,
            .want_logprobs = request.submit.want_logprobs};
}

// A prompt beyond the context is the client's fault, with the code that clients look for.
ApiError answer_error(const Error& error, AnswerKind kind) {
    ApiError api = api_error(error);
    if (error.code == ErrorCode::kTooLarge) {
        api.status = 400;
        api.code = "context_length_exceeded";
        api.param = kind == AnswerKind::kChat ? "messages" : "prompt";
    }
    return api;
}

}  // namespace

Task<> OpenAiAnswer::run(AnswerRequest request) {
    kind_ = request.kind;
    include_usage_ = request.include_usage;
    const auto deployment = node_.deployment(request.model);
    if (!deployment) {
        ApiError missing = deployment.error().code == ErrorCode::kNotFound
                               ? model_not_found(request.model)
                               : api_error(deployment.error());
        co_await exchange_.reply_error(std::move(missing));
        co_return;
    }
    form_ = AnswerForm::make(kind_, facts_of(exchange_, request, *deployment));
    GenerateRequest generate{.id = exchange_.id(),
                             .model = std::move(request.model),
                             .submit = std::move(request.submit),
                             .prompt_bytes = request.prompt_bytes,
                             .streamed = request.stream,
                             .organization = exchange_.caller().organization,
                             .project = exchange_.caller().project,
                             .key = exchange_.caller().key};
    const bool streamed = generate.streamed;
    if (streamed) {
        exchange_.keep_alive(": keep-alive\n\n", stream_head(exchange_));
    }
    auto stream = co_await node_.generate(std::move(generate));
    if (!stream) {
        co_await fail(stream.error());
        co_return;
    }
    stream_ = std::move(stream).value();
    exchange_.on_interrupt([this](Interrupt reason) { on_interrupt(reason); });
    if (streamed) {
        co_await relay();
    } else {
        co_await collect();
    }
}

void OpenAiAnswer::on_interrupt(Interrupt reason) {
    if (reason == Interrupt::kShutdown) {
        stream_->fail();
    } else {
        stream_->cancel();
    }
}

bool OpenAiAnswer::client_gone() const noexcept {
    return exchange_.interrupted() == Interrupt::kClientGone;
}

Task<> OpenAiAnswer::relay() {
    while (true) {
        auto event = co_await stream_->next();
        if (client_gone()) {
            co_return;
        }
        if (!event) {
            co_await fail(event.error());
            co_return;
        }
        auto* delta = std::get_if<Delta>(&*event);
        if (delta == nullptr) {
            continue;
        }
        TokensFrame& tokens = delta->tokens;
        undelivered_ += tokens.sampled;
        std::move(tokens.logprobs.begin(), tokens.logprobs.end(), std::back_inserter(logprobs_));
        const bool last = tokens.finish != Finish::kNone;
        if (!tokens.text.empty() || (last && !logprobs_.empty())) {
            const bool sent = co_await send_text(std::move(tokens.text));
            if (!sent) {
                co_return;
            }
        }
        if (last) {
            co_await settle_and_end(tokens.finish);
            co_return;
        }
    }
}

Task<bool> OpenAiAnswer::send_text(std::string text) {
    begin_if_needed();
    std::string part = opening();
    form_->append_text(part, text, std::exchange(logprobs_, {}));
    const bool sent = co_await exchange_.send_part(part);
    if (!sent || client_gone()) {
        stream_->cancel();
        co_return false;
    }
    stream_->delivered(std::exchange(undelivered_, 0));
    co_return true;
}

void OpenAiAnswer::begin_if_needed() {
    if (exchange_.begun()) {
        return;
    }
    HttpReply head = stream_head(exchange_);
    head.fields.push_back({std::string(kTimingField), server_timing(stream_->times(), false)});
    exchange_.begin_stream(std::move(head));
}

std::string OpenAiAnswer::opening() {
    std::string out;
    if (!std::exchange(opened_, true)) {
        form_->append_opening(out);
    }
    return out;
}

Task<> OpenAiAnswer::settle_and_end(Finish finish) {
    auto usage = co_await stream_->finish();
    if (!usage) {
        co_await fail(usage.error());
        co_return;
    }
    begin_if_needed();
    std::string part = opening();
    form_->append_finish(part, finish);
    if (include_usage_) {
        form_->append_usage(part, usage_of(*usage));
    }
    append_timing(part);
    append_sse_data(part, "[DONE]");
    co_await exchange_.end_stream(part);
}

Task<> OpenAiAnswer::collect() {
    std::string text;
    Finish finish = Finish::kNone;
    while (finish == Finish::kNone) {
        auto event = co_await stream_->next();
        if (client_gone()) {
            co_return;
        }
        if (!event) {
            co_await fail(event.error());
            co_return;
        }
        auto* delta = std::get_if<Delta>(&*event);
        if (delta == nullptr) {
            continue;
        }
        TokensFrame& tokens = delta->tokens;
        text += tokens.text;
        undelivered_ += tokens.sampled;
        std::move(tokens.logprobs.begin(), tokens.logprobs.end(), std::back_inserter(logprobs_));
        finish = tokens.finish;
    }
    stream_->delivered(std::exchange(undelivered_, 0));
    auto usage = co_await stream_->finish();
    if (!usage) {
        co_await fail(usage.error());
        co_return;
    }
    HttpReply reply;
    reply.body = form_->whole(text, logprobs_, finish, usage_of(*usage));
    reply.fields.push_back({std::string(kTimingField), server_timing(stream_->times(), true)});
    co_await exchange_.reply(std::move(reply));
}

// What the stream's head could not know: for clients that read comments, and for those that take
// trailers.
void OpenAiAnswer::append_timing(std::string& part) {
    const std::string timing = server_timing(stream_->times(), true);
    append_sse_comment(part, "server-timing " + timing);
    if (exchange_.takes_trailers()) {
        exchange_.add_trailer(kTimingField, timing);
    }
}

Task<> OpenAiAnswer::fail(Error error) {
    if (exchange_.interrupted() == Interrupt::kShutdown) {
        error = Error{ErrorCode::kUnavailable,
                      "this node is shutting down and could not finish the answer: try again"};
    }
    ApiError api = answer_error(error, kind_);
    constexpr int kFirstServerStatus = 500;
    if (api.status >= kFirstServerStatus) {
        log_warning("answer_failed",
                    {{"request", exchange_.id().text()}, {"reason", error.message}});
    }
    if (!exchange_.begun()) {
        if (stream_ != nullptr) {
            api.timing = server_timing(stream_->times(), true);
        }
        co_await exchange_.reply_error(std::move(api));
        co_return;
    }
    exchange_.close_after();
    std::string part;
    if (stream_ != nullptr) {
        append_timing(part);
    }
    append_sse_data(part, error_json(api));
    co_await exchange_.end_stream(part);
}

}  // namespace rekindle::daemon
