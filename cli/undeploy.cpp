#include "cli/api.h"
#include "cli/terminal.h"
#include "cli/values.h"
#include "cli/verb.h"

#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include <string>

namespace rekindle::cli {

namespace {

class Undeploy final : public Verb {
public:
    explicit Undeploy(CLI::App* command) : Verb(command) {
        command->add_option("model", model_, "Model name")->required();
        command->footer("Running answers end first. What was billed stays in the ledger.");
    }

    Result<void> run(const VerbContext& context) override {
        if (auto checked = check_model_name(model_); !checked) {
            return checked;
        }
        HttpClient client(context.endpoint, nullptr);
        HttpRequest request;
        request.method = "DELETE";
        request.target = "/admin/v1/deployments/" + url_encode(model_);
        const auto response = send_checked(client, request);
        if (!response) {
            return response.error();
        }
        if (context.json) {
            return write_out(json::serialize(json::object{{"undeployed", model_}}) + "\n");
        }
        return write_out(fmt::format("undeployed {}\n", model_));
    }

private:
    std::string model_;
};

}  // namespace

std::unique_ptr<Verb> make_undeploy(CLI::App& app) {
    return std::make_unique<Undeploy>(app.add_subcommand("undeploy", "Take a model off the node"));
}

}  // namespace rekindle::cli
