#include "base/decimal.h"
#include "base/units.h"
#include "cli/api.h"
#include "cli/interrupts.h"
#include "cli/line_stream.h"
#include "cli/model_file.h"
#include "cli/progress.h"
#include "cli/terminal.h"
#include "cli/values.h"
#include "cli/verb.h"

#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include <optional>
#include <unistd.h>
#include <utility>

namespace rekindle::cli {

namespace {

constexpr long kFirstErrorStatus = 300;
constexpr const char* kNodeRoute = "/admin/v1/node";

struct DeployOptions {
    std::string file;
    std::string name;
    std::string price_input;
    std::string price_output;
    std::string price_cached;
    std::string currency;
    std::string idle;
    std::optional<uint32_t> context;
};

// Wrong values end here, with the option's name, before the daemon is asked anything.
Result<void> check_options(const DeployOptions& options) {
    const std::pair<const char*, const std::string&> prices[] = {
        {"--price-input", options.price_input},
        {"--price-output", options.price_output},
        {"--price-cached", options.price_cached}};
    for (const auto& [option, text] : prices) {
        if (text.empty()) {
            continue;
        }
        if (const auto price = parse_price_per_million(text); !price) {
            return Error{ErrorCode::kInvalidArgument, price.error().message}.with_context(option);
        }
    }
    if (!options.idle.empty()) {
        if (const auto idle = parse_duration(options.idle); !idle) {
            return Error{ErrorCode::kInvalidArgument, idle.error().message}.with_context("--idle");
        }
    }
    return check_model_name(options.name);
}

std::string target_of(const DeployOptions& options) {
    std::string target = "/admin/v1/deployments?name=" + url_encode(options.name);
    const std::pair<const char*, const std::string&> texts[] = {
        {"price_input", options.price_input},
        {"price_output", options.price_output},
        {"price_cached", options.price_cached},
        {"currency", options.currency},
        {"idle", options.idle},
    };
    for (const auto& [key, text] : texts) {
        if (!text.empty()) {
            target += fmt::format("&{}={}", key, url_encode(text));
        }
    }
    if (options.context) {
        target += fmt::format("&context={}", *options.context);
    }
    return target;
}

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

HttpRequest request_of(const DeployOptions& options, const ModelFile& file, bool by_descriptor,
                       Progress& progress) {
    HttpRequest request;
    request.method = "POST";
    request.target = target_of(options);
    if (by_descriptor) {
        request.descriptor = file.fd.get();
        return request;
    }
    const uint64_t total = file.bytes;
    request.file = FileBody{file.fd.get(), total, [&progress, total](uint64_t sent) {
                                progress.update("upload", sent, total);
                            }};
    return request;
}

Result<json::object> deploy_file(HttpClient& client, const DeployOptions& options,
                                 const ModelFile& file, bool progress_shown) {
    const auto socket = local_socket(client);
    if (!socket) {
        return socket.error();
    }
    const bool by_descriptor = socket->has_value();
    HttpClient uploader(by_descriptor ? **socket : client.endpoint(), client.interrupts());
    Progress progress(progress_shown);
    DeployReader reader(progress);
    LineSplitter lines;
    const LineSplitter::OnLine on_line = [&](std::string_view line) {
        return reader.take_line(line);
    };
    const auto response =
        uploader.send(request_of(options, file, by_descriptor, progress),
                      [&](std::string_view bytes) { return lines.feed(bytes, on_line); });
    progress.finish();
    if (!response) {
        return response.error();
    }
    if (response->status >= kFirstErrorStatus) {
        return error_of_answer(*response);
    }
    if (!reader.deployment()) {
        return Error{ErrorCode::kIo,
                     "the daemon stopped before the deployment was complete: try again"};
    }
    return *reader.deployment();
}

class Deploy final : public Verb {
public:
    explicit Deploy(CLI::App* command) : Verb(command) {
        command->add_option("file", options_.file, "Model file (GGUF)")->required();
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
        command->footer(
            "Example: rekindle deploy model.gguf --name small --price-input 0.05 "
            "--price-output 0.20 --idle 5m");
    }

    Result<void> run(const VerbContext& context) override {
        if (options_.name.empty()) {
            auto name = derive_model_name(options_.file);
            if (!name) {
                return name.error();
            }
            options_.name = *std::move(name);
        }
        if (auto checked = check_options(options_); !checked) {
            return checked;
        }
        const auto file = open_model_file(options_.file);
        if (!file) {
            return file.error();
        }
        auto interrupts = Interrupts::open();
        if (!interrupts) {
            return interrupts.error();
        }
        HttpClient client(context.endpoint, &*interrupts);
        const auto deployment = deploy_file(client, options_, *file, !context.json);
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

    DeployOptions options_;
};

}  // namespace

std::unique_ptr<Verb> make_deploy(CLI::App& app) {
    return std::make_unique<Deploy>(app.add_subcommand("deploy", "Deploy a model file"));
}

}  // namespace rekindle::cli
