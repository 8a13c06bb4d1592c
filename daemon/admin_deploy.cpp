#include "daemon/admin_deploy.h"

#include "base/async/event.h"
#include "base/async/spawn.h"
#include "base/decimal.h"
#include "base/units.h"
#include "daemon/api/deploy_types.h"

#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <fcntl.h>
#include <memory>
#include <optional>
#include <span>
#include <sys/stat.h>
#include <utility>

namespace rekindle::daemon {
namespace {

constexpr size_t kUploadPartBytes = 1 * kMiB;
constexpr std::string_view kDescriptorField = "x-rekindle-descriptor";

bool is_plain_name(std::string_view name) noexcept {
    constexpr size_t kNameBytesMax = 63;
    const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
    return !name.empty() && name.size() <= kNameBytesMax && letter(name.front()) &&
           std::all_of(name.begin(), name.end(),
                       [letter](char c) { return letter(c) || c == '.' || c == '_' || c == '-'; });
}

std::optional<ApiError> read_price(const std::string& name, const std::string& value,
                                   std::string& out) {
    const auto price = parse_price_per_million(value);
    if (!price) {
        return invalid_value(name, name + ": " + price.error().message);
    }
    out = value;
    return std::nullopt;
}

std::optional<ApiError> read_parameter(const std::string& name, const std::string& value,
                                       DeploySpec& spec) {
    if (name == "name") {
        spec.name = value;
        if (!is_plain_name(value)) {
            return invalid_value(name, fmt::format("name: \"{}\" must be up to 63 of a-z, 0-9, "
                                                   "'.', '_' and '-', beginning with a letter or "
                                                   "digit",
                                                   value));
        }
        return std::nullopt;
    }
    if (name == "price_input") {
        return read_price(name, value, spec.price_input);
    }
    if (name == "price_output") {
        return read_price(name, value, spec.price_output);
    }
    if (name == "price_cached") {
        return read_price(name, value, spec.price_cached);
    }
    if (name == "currency") {
        spec.currency = value;
        return std::nullopt;
    }
    if (name == "idle") {
        const auto idle = parse_duration(value);
        if (!idle) {
            return invalid_value(name, "idle: " + idle.error().message);
        }
        spec.idle = *idle;
        return std::nullopt;
    }
    if (name == "context") {
        const auto end = value.data() + value.size();
        const auto parsed = std::from_chars(value.data(), end, spec.context);
        if (parsed.ec != std::errc() || parsed.ptr != end) {
            return invalid_value(name, "context: must be a number of tokens");
        }
        return std::nullopt;
    }
    return unknown_parameter(name);
}

// A client's descriptor may be anything: only a file that can be mapped and read is taken.
std::optional<ApiError> check_source(const UniqueFd& source) {
    struct stat facts{};
    const int flags = ::fcntl(source.get(), F_GETFL);
    const bool readable = flags >= 0 && (flags & O_ACCMODE) != O_WRONLY && (flags & O_PATH) == 0;
    if (!readable || ::fstat(source.get(), &facts) != 0 || !S_ISREG(facts.st_mode) ||
        facts.st_size == 0) {
        return invalid_value("", "the descriptor is not a readable file with something in it");
    }
    return std::nullopt;
}

// Runs on a compute thread.
Result<bool> write_part(int fd, const std::string& part) {
    const auto written = write_all(fd, std::as_bytes(std::span(part)));
    if (!written) {
        return written.error().with_context("upload");
    }
    return true;
}

// The body into a file without a name, a part at a time; the io thread never waits for the disk.
Task<std::optional<ApiError>> receive_upload(HttpExchange* exchange, const AdminServices* services,
                                             UniqueFd* source) {
    auto file = services->node.new_upload_file();
    if (!file) {
        co_return api_error(file.error());
    }
    bool any = false;
    while (!exchange->body_done()) {
        std::string part;
        auto fault = co_await exchange->read_part(&part, kUploadPartBytes);
        if (fault) {
            co_return fault;
        }
        any = any || !part.empty();
        auto work = [fd = file->get(), part = std::move(part)] { return write_part(fd, part); };
        auto writing = offload(services->files, std::move(work));
        auto written = co_await std::move(writing);
        if (!written) {
            co_return api_error(written.error());
        }
    }
    if (!any) {
        co_return invalid_value("",
                                "the request has no body: send the model file, or pass its "
                                "descriptor over the admin socket");
    }
    *source = std::move(file).value();
    co_return std::nullopt;
}

// Wherever the file comes from.
Task<std::optional<ApiError>> obtain_source(HttpExchange* exchange, const AdminServices* services,
                                            UniqueFd* source) {
    if (exchange->request().field(kDescriptorField) != "1") {
        auto fault = co_await receive_upload(exchange, services, source);
        co_return fault;
    }
    auto passed = exchange->take_descriptor();
    if (!passed) {
        co_return invalid_value("", "X-Rekindle-Descriptor: no descriptor came with the request");
    }
    auto fault = check_source(*passed);
    *source = std::move(*passed);
    co_return fault;
}

// One deployment that is under way. Shared by the node's work and by the client's answer, because
// either may end first.
struct Deploying {
    explicit Deploying(asio::io_context& context) : changed(context) {}

    Event changed;
    std::optional<DeployProgress> progress;  // The newest that was not sent.
    std::optional<Result<DeploymentInfo>> result;
    std::shared_ptr<std::atomic<bool>> cancelled = std::make_shared<std::atomic<bool>>(false);
};

Task<> run_deployment(std::shared_ptr<Deploying> state, Node* node, DeploySpec spec,
                      UniqueFd source) {
    auto on_progress = [state](DeployProgress progress) {
        state->progress = std::move(progress);
        state->changed.notify();
    };
    auto result = co_await node->deploy(std::move(spec), std::move(source), std::move(on_progress));
    state->result.emplace(std::move(result));
    state->changed.notify();
}

// A broken model file is the sender's fault, whatever part of it was found out.
ApiError deploy_error(const Error& error) {
    if (error.code == ErrorCode::kCorrupt || error.code == ErrorCode::kTruncated) {
        return invalid_value("", error.message);
    }
    return api_error(error);
}

std::string progress_line(const DeployProgress& progress) {
    json::object line;
    line["phase"] = progress.phase;
    line["done"] = progress.done;
    line["total"] = progress.total;
    return json::serialize(line) + "\n";
}

std::string last_line(const Result<DeploymentInfo>& result) {
    if (!result) {
        return error_json(deploy_error(result.error())) + "\n";
    }
    json::object line;
    line["deployment"] = api::to_json(wire_form(*result));
    return json::serialize(line) + "\n";
}

HttpReply lines_head() {
    HttpReply head;
    head.content_type = "application/x-ndjson";
    head.fields.push_back({"Cache-Control", "no-cache"});
    return head;
}

Task<> tell_progress(HttpExchange* exchange, std::shared_ptr<Deploying> state) {
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

std::variant<DeploySpec, ApiError> read_deploy_query(std::string_view query) {
    const auto parameters = parse_query(query);
    if (!parameters) {
        return invalid_value("", "the query is malformed");
    }
    DeploySpec spec;
    for (const auto& [name, value] : *parameters) {
        auto fault = read_parameter(name, value, spec);
        if (fault) {
            return std::move(*fault);
        }
    }
    if (spec.name.empty()) {
        return missing_parameter("name");
    }
    return spec;
}

Task<> deploy_from(HttpExchange& exchange, const AdminServices& services) {
    auto parsed = read_deploy_query(exchange.request().query);
    if (auto* refused = std::get_if<ApiError>(&parsed)) {
        co_await exchange.reply_error(std::move(*refused));
        co_return;
    }
    if (services.node.draining()) {
        ApiError error = api_error(Error{ErrorCode::kUnavailable, "this node is shutting down"});
        co_await exchange.reply_error(std::move(error));
        co_return;
    }
    UniqueFd source;
    auto fault = co_await obtain_source(&exchange, &services, &source);
    if (fault) {
        co_await exchange.reply_error(std::move(*fault));
        co_return;
    }
    auto state = std::make_shared<Deploying>(services.context);
    DeploySpec spec = std::move(std::get<DeploySpec>(parsed));
    spec.cancelled = state->cancelled;
    auto deploying = run_deployment(state, &services.node, std::move(spec), std::move(source));
    if (!spawn(services.context, "deploy", services.gate, std::move(deploying))) {
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
        ApiError error = deploy_error(state->result->error());
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
