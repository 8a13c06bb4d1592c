#include "cli/remote.h"

#include "base/units.h"
#include "cli/api.h"
#include "cli/interrupts.h"
#include "cli/local_socket.h"
#include "cli/progress.h"
#include "cli/terminal.h"
#include "cli/values.h"
#include "cli/verb.h"
#include "cli/work.h"

#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include <filesystem>
#include <string>
#include <system_error>

namespace rekindle::cli {

namespace {

constexpr const char* kPlaces =
    "s3://BUCKET/PREFIX, file:///FOLDER or a folder of the daemon's machine";

// "./models" is a folder, too; the daemon knows no working folder.
Result<std::string> place_of(const std::string& text) {
    if (text.find("://") != std::string::npos) {
        return text;
    }
    std::error_code ec;
    const auto path = std::filesystem::absolute(text, ec);
    if (ec || text.empty()) {
        return Error{ErrorCode::kInvalidArgument, "remote: it must be " + std::string(kPlaces)};
    }
    return "file://" + path.lexically_normal().string();
}

// The daemon's admin socket for folders of its machine, which are taken there alone.
Result<HttpClient> client_for(const VerbContext& context, Interrupts& interrupts,
                              const std::string& place) {
    HttpClient client(context.endpoint, &interrupts);
    if (!place.starts_with("file:")) {
        return client;
    }
    auto socket = local_socket(client);
    if (!socket) {
        return std::move(socket).error();
    }
    return socket->has_value() ? HttpClient(**socket, &interrupts) : client;
}

Result<json::object> transfer(HttpClient& client, const char* verb, const json::object& body,
                              bool progress_shown) {
    const HttpRequest request{.method = "POST",
                              .target = fmt::format("/admin/v1/{}", verb),
                              .json = json::serialize(body)};
    Progress progress(progress_shown);
    return send_work(client, request, verb, progress);
}

std::string moved_text(const json::object& report) {
    return fmt::format("{}, {} of {} chunks moved ({})",
                       format_bytes(count_member(report, "image_bytes")),
                       count_member(report, "chunks_moved"), count_member(report, "chunks"),
                       format_bytes(count_member(report, "bytes_moved")));
}

class Push final : public Verb {
public:
    explicit Push(CLI::App* command) : Verb(command) {
        command->add_option("model", model_, "Model name")->required();
        command->add_option("remote", remote_, std::string("Where to: ") + kPlaces)->required();
        command->add_option("--as", name_, "Its name there (default: the model's)");
        command->footer("Moves the chunks that are not there yet; run it again to go on.");
    }

    Result<void> run(const VerbContext& context) override {
        if (auto checked = check_model_name(model_); !checked) {
            return checked;
        }
        const auto place = place_of(remote_);
        if (!place) {
            return place.error();
        }
        auto interrupts = Interrupts::open();
        if (!interrupts) {
            return interrupts.error();
        }
        auto client = client_for(context, *interrupts, *place);
        if (!client) {
            return client.error();
        }
        json::object body{{"model", model_}, {"remote", *place}};
        if (!name_.empty()) {
            body["name"] = name_;
        }
        const auto report = transfer(*client, "push", body, !context.json);
        if (!report) {
            return report.error();
        }
        return write_out(context.json
                             ? json::serialize(*report) + "\n"
                             : fmt::format("pushed {} as {}: {}\n", model_,
                                           text_member(*report, "name"), moved_text(*report)));
    }

private:
    std::string model_;
    std::string remote_;
    std::string name_;
};

class Pull final : public Verb {
public:
    explicit Pull(CLI::App* command) : Verb(command) {
        command
            ->add_option("remote", remote_,
                         std::string("Where from: ") + kPlaces + ", or http(s)://HOST/PATH")
            ->required();
        command->add_option("image", image_, "Its name there, or sha256:DIGEST")->required();
        command->add_option("--as", name_, "Deploy it under this name (default: as it was)");
        auto* const no_deploy =
            command->add_flag("--no-deploy", no_deploy_, "Bring the image alone");
        command
            ->add_flag("--serve", serve_,
                       "Deploy at once: requests fetch the chunks that they need, the rest comes "
                       "behind")
            ->excludes(no_deploy);
        command->footer(
            "Moves the chunks that are not here yet; run it again to go on. What was "
            "pushed with its manifest is deployed with it.");
    }

    Result<void> run(const VerbContext& context) override {
        const auto place = place_of(remote_);
        if (!place) {
            return place.error();
        }
        auto interrupts = Interrupts::open();
        if (!interrupts) {
            return interrupts.error();
        }
        auto client = client_for(context, *interrupts, *place);
        if (!client) {
            return client.error();
        }
        const json::object order{{"remote", *place}, {"image", image_}, {"serve", serve_}};
        auto report = transfer(*client, "pull", order, !context.json);
        if (!report) {
            return report.error();
        }
        const auto deployed = deploy(*client, *report, !context.json);
        if (!deployed) {
            return deployed.error().with_context("the image " + text_member(*report, "image") +
                                                 " is here, but not deployed");
        }
        if (context.json) {
            return write_out(json::serialize(*report) + "\n");
        }
        return write_out(text_of(*report));
    }

private:
    std::string text_of(const json::object& report) const {
        const bool live = report.contains("deployment");
        const json::value* const arriving = report.if_contains("arriving");
        if (arriving != nullptr && arriving->is_bool() && arriving->get_bool()) {
            return fmt::format("{}: {} on their way{}\n", image_,
                               format_bytes(count_member(report, "image_bytes")),
                               live ? ", deployed: `rekindle ps --all` shows how much is here"
                                    : ", " + text_member(report, "image"));
        }
        return fmt::format("pulled {}: {}{}\n", image_, moved_text(report),
                           live ? ", deployed" : ", " + text_member(report, "image"));
    }

    // With the manifest that came with it; adds "deployment" to the report.
    Result<void> deploy(HttpClient& client, json::object& report, bool progress_shown) const {
        const json::value* const came = report.if_contains("manifest");
        if (no_deploy_ || came == nullptr || !came->is_object()) {
            return {};
        }
        json::object manifest = came->get_object();
        manifest["rekindle"] = 1;
        manifest["model"] = "rekindle://" + text_member(report, "image");
        if (!name_.empty()) {
            manifest["name"] = name_;
            manifest.erase("aliases");  // They belong to the name that it had.
        }
        const HttpRequest request{
            .method = "POST", .target = "/admin/v1/deployments", .json = json::serialize(manifest)};
        Progress progress(progress_shown);
        auto deployment = send_work(client, request, "deployment", progress);
        if (!deployment) {
            return std::move(deployment).error();
        }
        report["deployment"] = std::move(deployment).value();
        return {};
    }

    std::string remote_;
    std::string image_;
    std::string name_;
    bool no_deploy_ = false;
    bool serve_ = false;
};

}  // namespace

std::unique_ptr<Verb> make_push(CLI::App& app) {
    return std::make_unique<Push>(
        app.add_subcommand("push", "Copy a model's image to a bucket or a folder"));
}

std::unique_ptr<Verb> make_pull(CLI::App& app) {
    return std::make_unique<Pull>(
        app.add_subcommand("pull", "Bring an image from a bucket, a folder or a web server"));
}

}  // namespace rekindle::cli
