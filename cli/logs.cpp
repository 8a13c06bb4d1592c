#include "base/clock.h"
#include "cli/api.h"
#include "cli/interrupts.h"
#include "cli/line_stream.h"
#include "cli/terminal.h"
#include "cli/trace_report.h"
#include "cli/values.h"
#include "cli/verb.h"

#include <CLI/Validators.hpp>
#include <fmt/format.h>

#include <chrono>
#include <string>

namespace rekindle::cli {

namespace {

class Logs final : public Verb {
public:
    explicit Logs(CLI::App* command) : Verb(command) {
        command->add_option("model", model_, "Only lines about this model");
        command->add_flag("-f,--follow", follow_, "Go on with new lines until Ctrl-C");
        command->add_option("--since", since_, "Begin: 10m, 24h, 2025-01-31, 2025-01-31T12:00:00Z")
            ->type_name("TIME");
        command->add_option("--level", level_, "info, warning or error: this and above")
            ->capture_default_str()
            ->check(CLI::IsMember({"info", "warning", "error"}))
            ->type_name("LEVEL");
        command->footer("The daemon keeps its last lines in memory, since its start.");
    }

    Result<void> run(const VerbContext& context) override {
        const auto target = target_of_options();
        if (!target) {
            return target.error();
        }
        auto interrupts = Interrupts::open();
        if (!interrupts) {
            return interrupts.error();
        }
        HttpClient client(context.endpoint, &*interrupts);
        return print(client, *target, context.json);
    }

private:
    Result<std::string> target_of_options() const {
        std::string target = fmt::format("/admin/v1/logs?level={}&follow={}", level_, follow_);
        if (!model_.empty()) {
            if (const auto checked = check_model_name(model_); !checked) {
                return checked.error();
            }
            target += "&model=" + url_encode(model_);
        }
        if (!since_.empty()) {
            const SystemClock clock;
            const auto now =
                std::chrono::duration_cast<std::chrono::milliseconds>(clock.wall()).count();
            const auto since = parse_moment(since_, now);
            if (!since) {
                return since.error().with_context("--since");
            }
            target += fmt::format("&since={}", *since);
        }
        return target;
    }

    Result<void> print(HttpClient& client, const std::string& target, bool as_json) const {
        LineSplitter lines;
        const LineSplitter::OnLine on_line = [as_json](std::string_view line) -> Result<void> {
            if (line.empty()) {
                return {};  // A sign of life.
            }
            if (as_json) {
                return write_out(fmt::format("{}\n", line));
            }
            const auto object = parse_object(line);
            if (!object) {
                return object.error();
            }
            const auto text = log_text(*object);
            return text ? write_out(*text) : Result<void>(text.error());
        };
        const auto response =
            client.send({.method = "GET", .target = target},
                        [&](std::string_view bytes) { return lines.feed(bytes, on_line); });
        if (!response) {
            // Ctrl-C is how one leaves.
            const bool left = follow_ && response.error().code == ErrorCode::kCancelled;
            return left ? Result<void>() : response.error();
        }
        if (response->failed()) {
            return error_of_answer(*response);
        }
        if (follow_) {
            write_err("the daemon has ended the log\n");
        }
        return {};
    }

    std::string model_;
    bool follow_ = false;
    std::string since_;
    std::string level_ = "info";
};

}  // namespace

std::unique_ptr<Verb> make_logs(CLI::App& app) {
    return std::make_unique<Logs>(app.add_subcommand("logs", "Show what the daemon logged"));
}

}  // namespace rekindle::cli
