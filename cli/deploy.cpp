#include "base/units.h"
#include "cli/api.h"
#include "cli/deploy_input.h"
#include "cli/interrupts.h"
#include "cli/line_stream.h"
#include "cli/plan_text.h"
#include "cli/progress.h"
#include "cli/terminal.h"
#include "cli/values.h"
#include "cli/verb.h"
#include "daemon/api/canonical_json.h"

#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include <optional>
#include <unistd.h>
#include <utility>

namespace rekindle::cli {

namespace {

constexpr const char* kNodeRoute = "/admin/v1/node";
constexpr const char* kDeployRoute = "/admin/v1/deployments";

// The daemon's Unix socket, when a descriptor can be passed there. A loopback port may be forwarded
// from another machine: only a socket that gives the same account of itself is the same daemon.
Result<std::optional<Endpoint>> local_socket(HttpClient& client) {
    const auto node = get_json(client, kNodeRoute);
    if (!node) {
        return node.error();
    }
    if (!client.endpoint().unix_socket.empty()) {
        return std::optional(client.endpoint());
    }
    const std::string path = text_member(*node, "admin_socket");
    if (!client.endpoint().same_host || !path.starts_with('/') ||
        access(path.c_str(), R_OK | W_OK) != 0) {
        return std::optional<Endpoint>();
    }
    HttpClient socket_client(unix_endpoint(path), client.interrupts());
    const auto same = get_json(socket_client, kNodeRoute);
    if (!same || *same != *node) {
        return std::optional<Endpoint>();
    }
    return std::optional(socket_client.endpoint());
}

// What the daemon says line by line while it works.
class DeployReader {
public:
    explicit DeployReader(Progress& progress) : progress_(progress) {}

    Result<void> take_line(std::string_view line) {
        if (line.empty()) {
            return {};
        }
        auto object = parse_object(line);
        if (!object) {
            return object.error();
        }
        if (const json::value* error = object->if_contains("error")) {
            return error_of_object(*error);
        }
        if (const json::value* deployment = object->if_contains("deployment");
            deployment != nullptr && deployment->is_object()) {
            deployment_ = deployment->get_object();
            return {};
        }
        progress_.update(text_member(*object, "phase"), count_member(*object, "done"),
                         count_member(*object, "total"));
        return {};
    }

    const std::optional<json::object>& deployment() const noexcept { return deployment_; }

private:
    Progress& progress_;
    std::optional<json::object> deployment_;
};

HttpRequest request_of(const DeployInput& input, bool by_descriptor, Progress& progress) {
    HttpRequest request;
    request.method = "POST";
    request.target = kDeployRoute;
    request.json = daemon::api::canonical_json(input.manifest.fields);
    if (!input.model) {
        return request;
    }
    if (by_descriptor) {
        request.descriptor = input.model->fd.get();
        return request;
    }
    const uint64_t total = input.model->bytes;
    request.fields.push_back(fmt::format("X-Rekindle-Manifest-Bytes: {}", request.json->size()));
    request.file =
        FileBody{*std::exchange(request.json, std::nullopt), input.model->fd.get(), total,
                 [&progress, total](uint64_t sent) { progress.update("upload", sent, total); }};
    return request;
}

// Where the model file goes: the daemon's socket when it can be passed there.
struct Destination {
    Endpoint endpoint;
    bool by_descriptor = false;
};

Result<Destination> destination_of(HttpClient& client) {
    const auto socket = local_socket(client);
    if (!socket) {
        return socket.error();
    }
    return socket->has_value() ? Destination{**socket, true}
                               : Destination{client.endpoint(), false};
}

Result<json::object> deploy_input(HttpClient& client, const DeployInput& input,
                                  bool progress_shown) {
    const auto destination = destination_of(client);
    if (!destination) {
        return destination.error();
    }
    HttpClient uploader(destination->endpoint, client.interrupts());
    Progress progress(progress_shown);
    DeployReader reader(progress);
    LineSplitter lines;
    const LineSplitter::OnLine on_line = [&](std::string_view line) {
        return reader.take_line(line);
    };
    const auto response =
        send_checked(uploader, request_of(input, destination->by_descriptor, progress),
                     [&](std::string_view bytes) { return lines.feed(bytes, on_line); });
    progress.finish();
    if (!response) {
        return response.error();
    }
    if (!reader.deployment()) {
        return Error{ErrorCode::kIo,
                     "the daemon stopped before the deployment was complete: try again"};
    }
    return *reader.deployment();
}

Result<json::object> plan_of(HttpClient& client, const DeployInput& input, bool progress_shown) {
    const auto destination = destination_of(client);
    if (!destination) {
        return destination.error();
    }
    HttpClient uploader(destination->endpoint, client.interrupts());
    Progress progress(progress_shown);
    HttpRequest request = request_of(input, destination->by_descriptor, progress);
    request.target += "?dry_run=1";
    const auto response = send_checked(uploader, request);
    progress.finish();
    if (!response) {
        return response.error();
    }
    const auto answer = parse_object(response->body);
    const json::value* plan = answer ? answer->if_contains("plan") : nullptr;
    if (plan == nullptr || !plan->is_object()) {
        return Error{ErrorCode::kInternal, "the daemon's answer holds no plan"};
    }
    return plan->get_object();
}

class Deploy final : public Verb {
public:
    explicit Deploy(CLI::App* command) : Verb(command) {
        command
            ->add_option("file", options_.file,
                         "Manifest (.yaml, .yml, .json) or model file (GGUF)")
            ->required();
        command->add_option("--name", options_.name,
                            "Model name for clients (default: from the file's name)");
        command->add_option("--price-input", options_.price_input,
                            "Price of a million prompt tokens, such as 0.05 (default 0)");
        command->add_option("--price-output", options_.price_output,
                            "Price of a million answer tokens (default 0)");
        command->add_option("--price-cached", options_.price_cached,
                            "Price of a million prompt tokens that were cached");
        command->add_option("--currency", options_.currency, "Currency of the prices")
            ->type_name("USD");
        command->add_option("--idle", options_.idle,
                            "Scale to zero after this time without a request, such as 5m");
        command->add_option("--context", options_.context,
                            "Longest prompt and answer in tokens (default: the model's own)");
        command->add_flag("--dry-run", dry_run_,
                          "Check everything, tell memory, restore time and price; change nothing");
        command->footer(
            "Examples:\n  rekindle deploy small.yaml --dry-run\n"
            "  rekindle deploy model.gguf --name small --price-input 0.05 --price-output 0.20 "
            "--idle 5m\nThe other options describe a model file; a manifest says everything "
            "itself.");
    }

    Result<void> run(const VerbContext& context) override {
        if (options_.name.empty() && !is_manifest_path(options_.file)) {
            auto name = derive_model_name(options_.file);
            if (!name) {
                return name.error();
            }
            options_.name = *std::move(name);
        }
        const auto input = read_deploy_input(options_);
        if (!input) {
            return input.error();
        }
        auto interrupts = Interrupts::open();
        if (!interrupts) {
            return interrupts.error();
        }
        HttpClient client(context.endpoint, &*interrupts);
        if (dry_run_) {
            const auto plan = plan_of(client, *input, !context.json);
            return plan ? print_plan(*plan, context.json) : plan.error();
        }
        const auto deployment = deploy_input(client, *input, !context.json);
        if (!deployment) {
            return deployment.error();
        }
        return print(*deployment, context.json);
    }

private:
    static Result<void> print(const json::object& deployment, bool as_json) {
        if (as_json) {
            return write_out(json::serialize(deployment) + "\n");
        }
        return write_out(fmt::format("deployed {}: {}, {}, context {}\n",
                                     text_member(deployment, "name"),
                                     text_member(deployment, "architecture"),
                                     format_bytes(count_member(deployment, "image_bytes")),
                                     count_member(deployment, "context")));
    }

    static Result<void> print_plan(const json::object& plan, bool as_json) {
        return write_out(as_json ? json::serialize(plan) + "\n" : plan_text(plan));
    }

    DeployFlags options_;
    bool dry_run_ = false;
};

}  // namespace

std::unique_ptr<Verb> make_deploy(CLI::App& app) {
    return std::make_unique<Deploy>(
        app.add_subcommand("deploy", "Deploy a manifest or a model file"));
}

}  // namespace rekindle::cli
