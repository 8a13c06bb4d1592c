// `warm` and `cool`: a model moved by hand.
#include "base/units.h"
#include "cli/api.h"
#include "cli/interrupts.h"
#include "cli/terminal.h"
#include "cli/values.h"
#include "cli/verb.h"

#include <CLI/Validators.hpp>
#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include <string>

namespace rekindle::cli {

namespace {

std::string where_it_is(const json::object& deployment) {
    const std::string tier = text_member(deployment, "tier");
    const json::value* restoring = deployment.if_contains("restoring");
    const bool arriving = restoring != nullptr && restoring->is_bool() && restoring->get_bool();
    if (arriving) {
        return "on its way into memory";
    }
    if (tier == "worker") {
        return fmt::format("warm: worker {} serves it from {} of memory",
                           count_member(deployment, "worker_pid"),
                           format_bytes(count_member(deployment, "resident_bytes")));
    }
    return tier == "memory" ? fmt::format("in memory, {}, without a worker",
                                          format_bytes(count_member(deployment, "resident_bytes")))
                            : "on disk alone";
}

// Sends a move and says where the model is then.
Result<void> move_model(const VerbContext& context, const std::string& target) {
    auto interrupts = Interrupts::open();
    if (!interrupts) {
        return interrupts.error();
    }
    HttpClient client(context.endpoint, &*interrupts);
    const auto answer = send_for_json(client, HttpRequest{.method = "POST", .target = target});
    if (!answer) {
        return answer.error();
    }
    const json::value* deployment = answer->if_contains("deployment");
    if (deployment == nullptr || !deployment->is_object()) {
        return Error{ErrorCode::kInternal, "the daemon's answer has no deployment"};
    }
    if (context.json) {
        return write_out(json::serialize(*deployment) + "\n");
    }
    const json::object& moved = deployment->get_object();
    return write_out(fmt::format("{} is {}\n", text_member(moved, "name"), where_it_is(moved)));
}

class Warm final : public Verb {
public:
    explicit Warm(CLI::App* command) : Verb(command) {
        command->add_option("model", model_, "Model name")->required();
        command->add_flag("--no-wait", no_wait_, "Only begin: do not wait until it is ready");
        command->footer("Its keep-alive time begins anew. Requests need no warming: they wake it.");
    }

    Result<void> run(const VerbContext& context) override {
        if (auto checked = check_model_name(model_); !checked) {
            return checked;
        }
        return move_model(context,
                          fmt::format("/admin/v1/warm/{}?wait={}", url_encode(model_), !no_wait_));
    }

private:
    std::string model_;
    bool no_wait_ = false;
};

class Cool final : public Verb {
public:
    explicit Cool(CLI::App* command) : Verb(command) {
        command->add_option("model", model_, "Model name")->required();
        command
            ->add_option("--to", to_,
                         "host: its weights stay in memory, without a worker; disk: nothing stays")
            ->capture_default_str()
            ->check(CLI::IsMember({"host", "disk"}));
        command->add_option("--wait", wait_, "How long running answers may take (default: refuse)")
            ->type_name("DURATION");
        command->footer("An answer that is running is never cut off.");
    }

    Result<void> run(const VerbContext& context) override {
        if (auto checked = check_model_name(model_); !checked) {
            return checked;
        }
        int64_t wait_ms = 0;
        if (!wait_.empty()) {
            const auto wait = parse_duration(wait_);
            if (!wait) {
                return wait.error().with_context("--wait");
            }
            wait_ms = wait->count();
        }
        return move_model(context, fmt::format("/admin/v1/cool/{}?to={}&wait_ms={}",
                                               url_encode(model_), to_, wait_ms));
    }

private:
    std::string model_;
    std::string to_ = "host";
    std::string wait_;
};

}  // namespace

std::unique_ptr<Verb> make_warm(CLI::App& app) {
    return std::make_unique<Warm>(
        app.add_subcommand("warm", "Bring a model into memory and give it a worker"));
}

std::unique_ptr<Verb> make_cool(CLI::App& app) {
    return std::make_unique<Cool>(
        app.add_subcommand("cool", "Take a model's worker away, or its memory, too"));
}

}  // namespace rekindle::cli
