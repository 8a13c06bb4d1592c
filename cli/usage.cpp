#include "base/clock.h"
#include "cli/api.h"
#include "cli/terminal.h"
#include "cli/usage_report.h"
#include "cli/values.h"
#include "cli/verb.h"

#include <CLI/Validators.hpp>
#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include <chrono>
#include <string>

namespace rekindle::cli {

namespace {

int64_t now_unix_ms() {
    const SystemClock clock;
    return std::chrono::duration_cast<std::chrono::milliseconds>(clock.wall()).count();
}

class Usage final : public Verb {
public:
    explicit Usage(CLI::App* command) : Verb(command) {
        command->add_option("--since", since_, "Begin: 24h, 7d, 2025-01-31, 2025-01-31T12:00:00Z")
            ->capture_default_str()
            ->type_name("TIME");
        command->add_option("--until", until_, "End, written in the same way (default: now)")
            ->type_name("TIME");
        command
            ->add_option("--by", by_,
                         "Group by organization, project, key, model, revision, outcome, hour "
                         "or day; several with commas")
            ->capture_default_str()
            ->type_name("NAMES");
        command->add_option("--format", format_, "table, csv or json")
            ->capture_default_str()
            ->check(CLI::IsMember({"table", "csv", "json"}))
            ->type_name("FORMAT");
        command->footer("Days and hours are in UTC. Costs are exact, not rounded.");
    }

    Result<void> run(const VerbContext& context) override {
        const int64_t now = now_unix_ms();
        const auto since = parse_moment(since_, now);
        if (!since) {
            return since.error().with_context("--since");
        }
        std::string target = fmt::format("/admin/v1/usage?since={}&by={}", *since, url_encode(by_));
        if (!until_.empty()) {
            const auto until = parse_moment(until_, now);
            if (!until) {
                return until.error().with_context("--until");
            }
            target += fmt::format("&until={}", *until);
        }
        HttpClient client(context.endpoint, nullptr);
        const auto usage = get_json(client, target);
        if (!usage) {
            return usage.error();
        }
        return print(*usage, context.json ? "json" : format_);
    }

private:
    static Result<void> print(const json::object& usage, const std::string& format) {
        if (format == "json") {
            return write_out(json::serialize(usage) + "\n");
        }
        const auto text = format == "csv" ? usage_csv(usage) : usage_table(usage);
        if (!text) {
            return text.error();
        }
        return write_out(*text);
    }

    std::string since_ = "24h";
    std::string until_;
    std::string by_ = "project,model";
    std::string format_ = "table";
};

}  // namespace

std::unique_ptr<Verb> make_usage(CLI::App& app) {
    return std::make_unique<Usage>(app.add_subcommand("usage", "Show what was used and its cost"));
}

}  // namespace rekindle::cli
