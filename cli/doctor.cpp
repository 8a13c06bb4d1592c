#include "cli/api.h"
#include "cli/child_program.h"
#include "cli/doctor_text.h"
#include "cli/exit_code.h"
#include "cli/terminal.h"
#include "cli/verb.h"

#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include <string>
#include <vector>

namespace rekindle::cli {

namespace {

class Doctor final : public Verb {
public:
    explicit Doctor(CLI::App* command) : Verb(command) {
        command
            ->add_option("--data-dir", data_dir_,
                         "The data folder whose disk counts (default: the running daemon's, else "
                         "this folder)")
            ->type_name("DIR");
        command->add_flag("--fix", fix_, "Mend what can be mended; needs root");
        command->footer(
            "Looks at this machine, not at --url's. No daemon need run; one that is busy spoils "
            "the figures.");
    }

    Result<void> run(const VerbContext& context) override {
        std::vector<std::string> arguments{"--offline",          "doctor",      "--data-dir",
                                           data_folder(context), "--log-level", "error"};
        if (fix_) {
            arguments.emplace_back("--fix");
        }
        if (!context.json) {
            write_err("measuring disk, memory and processor …\n");
        }
        const auto end = run_program(program_path("rekindled"), std::move(arguments));
        if (!end) {
            return end.error().with_context("the doctor is a part of rekindled");
        }
        const auto report = parse_object(end->output);
        if (!report) {
            return Error{ErrorCode::kIo,
                         fmt::format("rekindled --offline doctor ended with {}", end->exit_code)};
        }
        auto written =
            write_out(context.json ? json::serialize(*report) + "\n" : doctor_text(*report));
        if (written && end->exit_code != kExitOk) {
            return Error{ErrorCode::kIo, "rekindled can't work like this: see what failed"};
        }
        return written;
    }

private:
    std::string data_folder(const VerbContext& context) const {
        if (!data_dir_.empty()) {
            return data_dir_;
        }
        HttpClient client(context.endpoint, nullptr);
        const auto node = get_json(client, "/admin/v1/node");
        return node && node->contains("data_folder") ? text_member(*node, "data_folder") : ".";
    }

    std::string data_dir_;
    bool fix_ = false;
};

}  // namespace

std::unique_ptr<Verb> make_doctor(CLI::App& app) {
    return std::make_unique<Doctor>(app.add_subcommand(
        "doctor", "Look at this machine: what is in Rekindle's way, and how fast it is"));
}

}  // namespace rekindle::cli
