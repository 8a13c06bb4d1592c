#include "base/units.h"
#include "cli/api.h"
#include "cli/deploy_input.h"
#include "cli/interrupts.h"
#include "cli/local_socket.h"
#include "cli/plan_text.h"
#include "cli/progress.h"
#include "cli/terminal.h"
#include "cli/values.h"
#include "cli/verb.h"
#include "cli/work.h"
#include "daemon/api/canonical_json.h"

#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include <optional>
#include <utility>

namespace rekindle::cli {

namespace {

constexpr const char* kDeployRoute = "/admin/v1/deployments";

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
    return send_work(uploader, request_of(input, destination->by_descriptor, progress),
                     "deployment", progress);
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
                         "Manifest (.yaml, .yml, .json), or model file (GGUF): a path, https://…, "
                         "hf://OWNER/NAME[@REV]/FILE or s3://BUCKET/KEY, with #sha256=DIGEST to "
                         "be sure")
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
            const bool address = daemon::api::is_file_address(options_.file);
            const size_t end = address ? options_.file.find_first_of("?#") : std::string::npos;
            auto name = derive_model_name(options_.file.substr(0, end));
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
