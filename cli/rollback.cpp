#include "cli/api.h"
#include "cli/terminal.h"
#include "cli/values.h"
#include "cli/verb.h"

#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include <string>

namespace rekindle::cli {

namespace {

class Rollback final : public Verb {
public:
    explicit Rollback(CLI::App* command) : Verb(command) {
        command->add_option("model", model_, "Model name")->required();
        command
            ->add_option("--to", to_,
                         "Beginning of the revision to go back to (default: the one before)")
            ->type_name("REVISION");
        command->footer("Running answers end on the revision that they began with.");
    }

    Result<void> run(const VerbContext& context) override {
        if (auto checked = check_model_name(model_); !checked) {
            return checked;
        }
        HttpClient client(context.endpoint, nullptr);
        HttpRequest request;
        request.method = "POST";
        request.target = "/admin/v1/rollback/" + url_encode(model_);
        if (!to_.empty()) {
            request.target += "?to=" + url_encode(to_);
        }
        const auto response = send_checked(client, request);
        if (!response) {
            return response.error();
        }
        const auto answer = parse_object(response->body);
        const json::value* deployment = answer ? answer->if_contains("deployment") : nullptr;
        if (deployment == nullptr || !deployment->is_object()) {
            return Error{ErrorCode::kInternal, "the daemon's answer holds no deployment"};
        }
        if (context.json) {
            return write_out(json::serialize(*deployment) + "\n");
        }
        return write_out(fmt::format("{} is at revision {}\n", model_,
                                     text_member(deployment->get_object(), "revision")));
    }

private:
    std::string model_;
    std::string to_;
};

}  // namespace

std::unique_ptr<Verb> make_rollback(CLI::App& app) {
    return std::make_unique<Rollback>(
        app.add_subcommand("rollback", "Go back to an earlier revision of a deployment"));
}

}  // namespace rekindle::cli
