#include "daemon/admin_deploy.h"

#include "base/decimal.h"
#include "base/units.h"
#include "daemon/admin_revisions.h"
#include "daemon/admin_work.h"
#include "daemon/api/deploy_types.h"
#include "daemon/api/manifest.h"

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
constexpr std::string_view kManifestBytesField = "x-rekindle-manifest-bytes";

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

ApiError manifest_error(const Error& error) {
    ApiError api = api_error(error);
    if (error.code == ErrorCode::kInvalidArgument) {
        api.code = "invalid_manifest";
    }
    return api;
}

// Runs on a compute thread.
Result<bool> write_part(int fd, const std::string& part) {
    const auto written = write_all(fd, std::as_bytes(std::span(part)));
    if (!written) {
        return written.error().with_context("upload");
    }
    return true;
}

// How a deployment's body is cut: the manifest, then the model file if there is one.
struct BodyPlan {
    bool model_follows = false;
    size_t manifest_bytes = 0;  // When a model follows.
};

std::variant<BodyPlan, ApiError> body_plan(const HttpRequest& request) {
    const auto field = request.field(kManifestBytesField);
    if (!field) {
        return BodyPlan{};
    }
    size_t bytes = 0;
    const auto parsed = std::from_chars(field->data(), field->data() + field->size(), bytes);
    const bool whole =
        parsed.ec == std::errc() && parsed.ptr == field->data() + field->size() && bytes > 0;
    if (!whole || bytes > api::kManifestBytesMax) {
        return invalid_value("", fmt::format("X-Rekindle-Manifest-Bytes: must be the manifest's "
                                             "length, 1 to {}",
                                             api::kManifestBytesMax));
    }
    return BodyPlan{.model_follows = true, .manifest_bytes = bytes};
}

// The manifest's text; what was read beyond it is the beginning of the model file.
Task<std::optional<ApiError>> receive_manifest(HttpExchange* exchange, BodyPlan plan,
                                               std::string* manifest, std::string* rest) {
    const size_t wanted = plan.model_follows ? plan.manifest_bytes : api::kManifestBytesMax + 1;
    while (manifest->size() < wanted && !exchange->body_done()) {
        auto fault = co_await exchange->read_part(manifest, wanted - manifest->size());
        if (fault) {
            co_return fault;
        }
    }
    if (plan.model_follows && manifest->size() < wanted) {
        co_return invalid_value("", "the body is shorter than X-Rekindle-Manifest-Bytes says");
    }
    if (plan.model_follows) {
        *rest = manifest->substr(wanted);
        manifest->resize(wanted);
    } else if (manifest->size() > api::kManifestBytesMax) {
        co_return http_error(413, "too_large",
                             fmt::format("the manifest is longer than {} bytes; a model file that "
                                         "follows it needs X-Rekindle-Manifest-Bytes",
                                         api::kManifestBytesMax));
    }
    co_return std::nullopt;
}

// The body into a file without a name, a part at a time; the io thread never waits for the disk.
Task<std::optional<ApiError>> receive_upload(HttpExchange* exchange, const AdminServices* services,
                                             std::string part, UniqueFd* source) {
    auto file = services->node.new_upload_file();
    if (!file) {
        co_return api_error(file.error());
    }
    bool any = false;
    while (!part.empty() || !exchange->body_done()) {
        if (part.empty()) {
            auto fault = co_await exchange->read_part(&part, kUploadPartBytes);
            if (fault) {
                co_return fault;
            }
        }
        any = any || !part.empty();
        auto work = [fd = file->get(), part = std::exchange(part, {})] {
            return write_part(fd, part);
        };
        auto writing = offload(services->files, std::move(work));
        auto written = co_await std::move(writing);
        if (!written) {
            co_return api_error(written.error());
        }
    }
    if (!any) {
        co_return invalid_value("", "the model file that follows the manifest has no bytes");
    }
    *source = std::move(file).value();
    co_return std::nullopt;
}

// What a client sent: a manifest, and a model file unless the manifest names an image.
struct DeployInput {
    api::Manifest manifest;
    UniqueFd source;
};

// The model file, wherever it comes from.
Task<std::optional<ApiError>> obtain_source(HttpExchange* exchange, const AdminServices* services,
                                            std::optional<std::string> uploaded,
                                            DeployInput* input) {
    const bool passed = exchange->request().field(kDescriptorField) == "1";
    const bool stored = !input->manifest.image().empty() || !input->manifest.address().empty();
    if (stored && (passed || uploaded)) {
        co_return invalid_value("model",
                                "model: the manifest names an image or an address, and a model "
                                "file came with it");
    }
    if (stored) {
        co_return std::nullopt;
    }
    if (passed) {
        auto descriptor = exchange->take_descriptor();
        if (!descriptor) {
            co_return invalid_value("",
                                    "X-Rekindle-Descriptor: no descriptor came with the request");
        }
        auto fault = check_source(*descriptor);
        input->source = std::move(*descriptor);
        co_return fault;
    }
    if (!uploaded) {
        co_return invalid_value("model",
                                "model: the manifest names a file, and none came with the request: "
                                "send it after the manifest, or its descriptor over the admin "
                                "socket");
    }
    auto fault = co_await receive_upload(exchange, services, std::move(*uploaded), &input->source);
    co_return fault;
}

Task<std::optional<ApiError>> receive_input(HttpExchange* exchange, const AdminServices* services,
                                            DeployInput* input) {
    auto cut = body_plan(exchange->request());
    if (auto* refused = std::get_if<ApiError>(&cut)) {
        co_return std::move(*refused);
    }
    const BodyPlan plan = std::get<BodyPlan>(cut);
    std::string text;
    std::string rest;
    auto fault = co_await receive_manifest(exchange, plan, &text, &rest);
    if (fault) {
        co_return fault;
    }
    auto manifest = api::parse_manifest(text);
    if (!manifest) {
        co_return manifest_error(manifest.error());
    }
    input->manifest = std::move(manifest).value();
    auto uploaded = plan.model_follows ? std::optional(std::move(rest)) : std::nullopt;
    fault = co_await obtain_source(exchange, services, std::move(uploaded), input);
    co_return fault;
}

Task<Result<json::object>> run_deployment(Node* node, DeploySpec spec, UniqueFd source,
                                          Node::OnProgress on_progress) {
    auto info = co_await node->deploy(std::move(spec), std::move(source), std::move(on_progress));
    if (!info) {
        co_return std::move(info).error();
    }
    co_return json::object{{"deployment", api::to_json(wire_form(*info))}};
}

Task<> deploy_and_tell(HttpExchange& exchange, const AdminServices& services, DeploySpec spec,
                       UniqueFd source) {
    auto held = std::make_shared<UniqueFd>(std::move(source));  // A std::function is copied.
    StartWork start = [node = &services.node, spec = std::move(spec), held](
                          std::shared_ptr<std::atomic<bool>> cancelled,
                          Node::OnProgress on_progress) mutable {
        spec.cancelled = std::move(cancelled);
        return run_deployment(node, std::move(spec), std::move(*held), std::move(on_progress));
    };
    return work_and_tell(exchange, services, "deploy", std::move(start));
}

std::variant<bool, ApiError> read_deploy_query(std::string_view query) {
    const auto parameters = parse_query(query);
    if (!parameters) {
        return invalid_value("", "the query is malformed");
    }
    bool dry_run = false;
    for (const auto& [name, value] : *parameters) {
        if (name != "dry_run") {
            return unknown_parameter(name);
        }
        if (value != "0" && value != "1") {
            return invalid_value(name, "dry_run: must be 0 or 1");
        }
        dry_run = value == "1";
    }
    return dry_run;
}

Task<> reply_plan(HttpExchange& exchange, Node& node, DeploySpec spec, UniqueFd source) {
    auto plan = co_await node.plan(std::move(spec), std::move(source));
    if (!plan) {
        ApiError error = work_error(plan.error());
        co_await exchange.reply_error(std::move(error));
        co_return;
    }
    HttpReply reply;
    reply.body = json::serialize(json::object{{"plan", plan_json(*plan)}});
    co_await exchange.reply(std::move(reply));
}

}  // namespace

Task<> deploy_from(HttpExchange& exchange, const AdminServices& services) {
    const auto parsed = read_deploy_query(exchange.request().query);
    if (const auto* refused = std::get_if<ApiError>(&parsed)) {
        ApiError error = *refused;
        co_await exchange.reply_error(std::move(error));
        co_return;
    }
    if (services.node.draining()) {
        ApiError error = api_error(Error{ErrorCode::kUnavailable, "this node is shutting down"});
        co_await exchange.reply_error(std::move(error));
        co_return;
    }
    DeployInput input;
    auto fault = co_await receive_input(&exchange, &services, &input);
    if (fault) {
        co_await exchange.reply_error(std::move(*fault));
        co_return;
    }
    DeploySpec spec{.manifest = std::move(input.manifest), .cancelled = nullptr};
    if (std::get<bool>(parsed)) {
        co_await reply_plan(exchange, services.node, std::move(spec), std::move(input.source));
        co_return;
    }
    co_await deploy_and_tell(exchange, services, std::move(spec), std::move(input.source));
}

}  // namespace rekindle::daemon
