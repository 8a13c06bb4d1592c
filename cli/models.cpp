#include "base/units.h"
#include "cli/api.h"
#include "cli/terminal.h"
#include "cli/text.h"
#include "cli/values.h"
#include "cli/verb.h"

#include <boost/json/serialize.hpp>
#include <fmt/format.h>

namespace rekindle::cli {

namespace {

// "0.05 / 0.2 USD": input / output per million tokens.
std::string price_text(const json::object& deployment) {
    const json::value* price = deployment.if_contains("price");
    if (price == nullptr || !price->is_object()) {
        return "-";
    }
    const json::object& prices = price->get_object();
    return fmt::format("{} / {} {}", text_member(prices, "input"), text_member(prices, "output"),
                       text_member(prices, "currency"));
}

std::vector<std::string> row_of(const json::object& deployment) {
    return {text_member(deployment, "name"),
            text_member(deployment, "architecture"),
            format_bytes(count_member(deployment, "image_bytes")),
            std::to_string(count_member(deployment, "context")),
            price_text(deployment),
            format_moment(static_cast<int64_t>(count_member(deployment, "created")))};
}

class Models final : public Verb {
public:
    explicit Models(CLI::App* command) : Verb(command) {}

    Result<void> run(const VerbContext& context) override {
        HttpClient client(context.endpoint, nullptr);
        const auto answer = get_json(client, "/admin/v1/deployments");
        if (!answer) {
            return answer.error();
        }
        const auto deployments = array_member(*answer, "deployments");
        if (!deployments) {
            return deployments.error();
        }
        if (context.json) {
            return write_out(json::serialize(*answer) + "\n");
        }
        if (deployments->empty()) {
            write_err("no model is deployed: `rekindle deploy FILE` deploys one\n");
            return {};
        }
        std::vector<std::vector<std::string>> rows;
        for (const json::value& deployment : *deployments) {
            rows.push_back(row_of(deployment.get_object()));
        }
        return write_out(format_table({{"NAME"},
                                       {"ARCHITECTURE"},
                                       {"SIZE", true},
                                       {"CONTEXT", true},
                                       {"PRICE PER 1M IN / OUT"},
                                       {"DEPLOYED (UTC)"}},
                                      rows));
    }
};

}  // namespace

std::unique_ptr<Verb> make_models(CLI::App& app) {
    return std::make_unique<Models>(app.add_subcommand("models", "List what is deployed"));
}

}  // namespace rekindle::cli
