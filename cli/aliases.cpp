#include "cli/api.h"
#include "cli/terminal.h"
#include "cli/text.h"
#include "cli/values.h"
#include "cli/verb.h"

#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include <string>
#include <vector>

namespace rekindle::cli {

namespace {

constexpr const char* kRoute = "/admin/v1/aliases";

class Aliases final : public Verb {
public:
    explicit Aliases(CLI::App* command)
        : Verb(command),
          set_(command->add_subcommand("set", "Let an alias stand for a deployment")),
          remove_(command->add_subcommand("rm", "Remove an alias that was set by hand")) {
        command->add_subcommand("list", "List all aliases (the default)");
        command->require_subcommand(0, 1);
        set_->add_option("alias", alias_, "The further name")->required();
        set_->add_option("model", model_, "Name of the deployment")->required();
        remove_->add_option("alias", alias_, "The further name")->required();
    }

    Result<void> run(const VerbContext& context) override {
        HttpClient client(context.endpoint, nullptr);
        if (set_->parsed()) {
            return set(client, context.json);
        }
        return remove_->parsed() ? remove(client, context.json) : list(client, context.json);
    }

private:
    Result<void> set(HttpClient& client, bool as_json) const {
        for (const std::string* name : {&alias_, &model_}) {
            if (auto checked = check_model_name(*name); !checked) {
                return checked;
            }
        }
        HttpRequest request;
        request.method = "PUT";
        request.json = json::serialize(json::object{{"name", model_}});
        return send(client, std::move(request),
                    as_json ? json::serialize(json::object{{"alias", alias_}, {"name", model_}})
                            : fmt::format("{} stands for {}", alias_, model_));
    }

    Result<void> remove(HttpClient& client, bool as_json) const {
        if (auto checked = check_model_name(alias_); !checked) {
            return checked;
        }
        HttpRequest request;
        request.method = "DELETE";
        return send(
            client, std::move(request),
            as_json ? json::serialize(json::object{{"removed", alias_}}) : "removed " + alias_);
    }

    Result<void> send(HttpClient& client, HttpRequest request, const std::string& said) const {
        request.target = fmt::format("{}/{}", kRoute, url_encode(alias_));
        const auto response = send_checked(client, request);
        if (!response) {
            return response.error();
        }
        return write_out(said + "\n");
    }

    static Result<void> list(HttpClient& client, bool as_json) {
        const auto answer = get_json(client, kRoute);
        if (!answer) {
            return answer.error();
        }
        const auto aliases = array_member(*answer, "aliases");
        if (!aliases) {
            return aliases.error();
        }
        if (as_json) {
            return write_out(json::serialize(*answer) + "\n");
        }
        if (aliases->empty()) {
            write_err("no alias is set: `rekindle aliases set ALIAS NAME` sets one\n");
            return {};
        }
        std::vector<std::vector<std::string>> rows;
        for (const json::value& element : *aliases) {
            const json::object& alias = element.get_object();
            rows.push_back({text_member(alias, "alias"), text_member(alias, "name"),
                            text_member(alias, "set_by")});
        }
        return write_out(format_table({{"ALIAS"}, {"MODEL"}, {"SET BY"}}, rows));
    }

    CLI::App* set_;
    CLI::App* remove_;
    std::string alias_;
    std::string model_;
};

}  // namespace

std::unique_ptr<Verb> make_aliases(CLI::App& app) {
    return std::make_unique<Aliases>(
        app.add_subcommand("aliases", "List, set and remove further names of deployments"));
}

}  // namespace rekindle::cli
