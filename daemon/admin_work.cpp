#include "daemon/admin_work.h"

#include "base/async/event.h"
#include "base/async/spawn.h"

#include <boost/json/serialize.hpp>

#include <optional>
#include <utility>

namespace rekindle::daemon {
namespace {

// Work that is under way. Shared by the node's work and by the client's answer, because either may
// end first.
struct Working {
    explicit Working(asio::io_context& context) : changed(context) {}

    Event changed;
    std::optional<DeployProgress> progress;  // The newest that was not sent.
    std::optional<Result<json::object>> result;
    std::shared_ptr<std::atomic<bool>> cancelled = std::make_shared<std::atomic<bool>>(false);
};

Task<> run_work(std::shared_ptr<Working> state, StartWork start) {
    auto on_progress = [state](DeployProgress progress) {
        state->progress = std::move(progress);
        state->changed.notify();
    };
    auto running = start(state->cancelled, std::move(on_progress));
    auto result = co_await std::move(running);
    state->result.emplace(std::move(result));
    state->changed.notify();
}

std::string progress_line(const DeployProgress& progress) {
    json::object line;
    line["phase"] = progress.phase;
    line["done"] = progress.done;
    line["total"] = progress.total;
    return json::serialize(line) + "\n";
}

std::string last_line(const Result<json::object>& result) {
    return result ? json::serialize(*result) + "\n" : error_json(work_error(result.error())) + "\n";
}

Task<> tell_progress(HttpExchange* exchange, std::shared_ptr<Working> state) {
    while (!exchange->interrupted()) {
        const bool ended = state->result.has_value();
        if (ended && (!state->progress || !*state->result)) {
            co_return;
        }
        if (state->progress) {
            if (!exchange->begun()) {
                exchange->begin_stream(lines_head());
            }
            const std::string line = progress_line(*state->progress);
            state->progress.reset();
            const bool sent = co_await exchange->send_part(line);
            if (!sent) {
                co_return;
            }
            continue;
        }
        co_await state->changed.wait();
    }
}

}  // namespace

ApiError work_error(const Error& error) {
    if (error.code == ErrorCode::kCorrupt || error.code == ErrorCode::kTruncated) {
        return invalid_value("", error.message);
    }
    return api_error(error);
}

Task<> work_and_tell(HttpExchange& exchange, const AdminServices& services, std::string name,
                     StartWork start) {
    auto state = std::make_shared<Working>(services.context);
    auto working = run_work(state, std::move(start));
    if (!spawn(services.context, std::move(name), services.gate, std::move(working))) {
        ApiError error = api_error(Error{ErrorCode::kUnavailable, "this node is shutting down"});
        co_await exchange.reply_error(std::move(error));
        co_return;
    }
    exchange.on_interrupt([state](Interrupt /*reason*/) {
        *state->cancelled = true;
        state->changed.notify();
    });
    co_await tell_progress(&exchange, state);
    if (!state->result) {  // The client left, or the daemon stops.
        *state->cancelled = true;
        co_return;
    }
    if (!exchange.begun() && !*state->result) {
        ApiError error = work_error(state->result->error());
        co_await exchange.reply_error(std::move(error));
        co_return;
    }
    if (!exchange.begun()) {
        exchange.begin_stream(lines_head());
    }
    const std::string line = last_line(*state->result);
    co_await exchange.end_stream(line);
}

}  // namespace rekindle::daemon
