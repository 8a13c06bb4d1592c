#include "base/units.h"
#include "cli/api.h"
#include "cli/terminal.h"
#include "cli/text_list.h"
#include "cli/verb.h"

#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include <string>
#include <vector>

namespace rekindle::cli {

namespace {

std::string gc_text(const json::object& report, bool dry_run) {
    const std::vector<std::string> images = text_list(report, "images");
    std::string text;
    for (const std::string& image : images) {
        text += fmt::format("{} sha256:{}\n", dry_run ? "would remove" : "removed", image);
    }
    for (const std::string& image : text_list(report, "kept")) {
        text += fmt::format(
            "kept sha256:{}: it was pulled and waits for its deployment (--pulled "
            "removes it)\n",
            image);
    }
    return text + fmt::format("{} {} no deployment names, {} {}; {} kept\n", images.size(),
                              images.size() == 1 ? "image that" : "images that",
                              format_bytes(count_member(report, "bytes_freed")),
                              dry_run ? "would be given back" : "given back",
                              format_bytes(count_member(report, "bytes_kept")));
}

class Gc final : public Verb {
public:
    explicit Gc(CLI::App* command) : Verb(command) {
        command->add_flag("--dry-run", dry_run_, "Only tell what would be removed");
        command->add_flag("--pulled", pulled_, "Also images that were pulled and never deployed");
        command->footer(
            "Images that a crash left behind are named by no revision of a deployment, and go. One "
            "that was pulled within the last seven days stays until it is deployed. What "
            "deployments need is never touched.");
    }

    Result<void> run(const VerbContext& context) override {
        HttpClient client(context.endpoint, nullptr);
        const HttpRequest request{
            .method = "POST",
            .target = fmt::format("/admin/v1/gc?dry_run={}&pulled={}", dry_run_, pulled_)};
        const auto answer = send_for_json(client, request);
        if (!answer) {
            return answer.error();
        }
        const json::value* report = answer->if_contains("gc");
        if (report == nullptr || !report->is_object()) {
            return Error{ErrorCode::kInternal, "the daemon's answer has no report"};
        }
        return write_out(context.json ? json::serialize(*report) + "\n"
                                      : gc_text(report->get_object(), dry_run_));
    }

private:
    bool dry_run_ = false;
    bool pulled_ = false;
};

}  // namespace

std::unique_ptr<Verb> make_gc(CLI::App& app) {
    return std::make_unique<Gc>(
        app.add_subcommand("gc", "Give back the space of what no deployment needs"));
}

}  // namespace rekindle::cli
