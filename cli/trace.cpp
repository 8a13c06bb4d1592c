#include "cli/api.h"
#include "cli/terminal.h"
#include "cli/trace_report.h"
#include "cli/verb.h"

#include <boost/json/serialize.hpp>

#include <string>
#include <unistd.h>

namespace rekindle::cli {

namespace {

class Trace final : public Verb {
public:
    explicit Trace(CLI::App* command) : Verb(command) {
        command->add_option("request", id_, "Its id: the answer's x-request-id header")->required();
    }

    Result<void> run(const VerbContext& context) override {
        HttpClient client(context.endpoint, nullptr);
        const auto trace = get_json(client, "/admin/v1/traces/" + url_encode(id_));
        if (!trace) {
            return trace.error();
        }
        if (context.json) {
            return write_out(json::serialize(*trace) + "\n");
        }
        return write_out(trace_text(*trace, terminal_columns(STDOUT_FILENO)));
    }

private:
    std::string id_;
};

}  // namespace

std::unique_ptr<Verb> make_trace(CLI::App& app) {
    return std::make_unique<Trace>(
        app.add_subcommand("trace", "Show where a request's time and money went"));
}

}  // namespace rekindle::cli
