#include "base/units.h"
#include "cli/api.h"
#include "cli/interrupts.h"
#include "cli/progress.h"
#include "cli/terminal.h"
#include "cli/text_list.h"
#include "cli/values.h"
#include "cli/verb.h"

#include <CLI/Validators.hpp>
#include <boost/json/serialize.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstdint>
#include <optional>
#include <string>

namespace rekindle::cli {

namespace {

constexpr uint32_t kShareMax = 100;

std::string fault_text(const json::object& fault) {
    const std::string names = fmt::format("{}", fmt::join(text_list(fault, "models"), ", "));
    const std::string what = names.empty() ? "an image of no deployment" : "model " + names;
    const std::string remedy =
        names.empty() ? "`rekindle gc` removes it"
                      : "`rekindle deploy` of its model file, or `rekindle pull`, repairs it";
    return fmt::format("{}: chunk {} of sha256:{}: {}; {}\n", what, count_member(fault, "chunk"),
                       text_member(fault, "image"), text_member(fault, "reason"), remedy);
}

// What the daemon says line by line while it reads.
class VerifyReader {
public:
    explicit VerifyReader(bool progress_shown) : progress_(progress_shown) {}

    Result<void> take_line(std::string_view line) {
        if (line.empty()) {
            return {};  // A sign of life.
        }
        auto object = parse_object(line);
        if (!object) {
            return object.error();
        }
        if (const json::value* error = object->if_contains("error")) {
            return error_of_object(*error);
        }
        if (json::value* report = object->if_contains("verify");
            report != nullptr && report->is_object()) {
            progress_.finish();
            report_ = std::move(report->get_object());
        } else {
            progress_.update("verify", count_member(*object, "done"),
                             count_member(*object, "total"));
        }
        return {};
    }

    const std::optional<json::object>& report() const noexcept { return report_; }

private:
    Progress progress_;
    std::optional<json::object> report_;
};

class Verify final : public Verb {
public:
    explicit Verify(CLI::App* command) : Verb(command) {
        command->add_option("model", model_, "Model name (default: everything that is stored)");
        command->add_option("--share", share_, "How much of the time the disk may be read, percent")
            ->capture_default_str()
            ->check(CLI::Range(1U, kShareMax))
            ->type_name("PERCENT");
        command->footer(
            "Reads every chunk again and compares it with its SHA-256. A damaged one is never "
            "served: deploying its model again stores it anew.");
    }

    Result<void> run(const VerbContext& context) override {
        if (auto checked = model_.empty() ? Result<void>() : check_model_name(model_); !checked) {
            return checked;
        }
        auto interrupts = Interrupts::open();
        if (!interrupts) {
            return interrupts.error();
        }
        HttpClient client(context.endpoint, &*interrupts);
        VerifyReader reader(!context.json);
        const auto response = send_for_lines(
            client, request(), [&reader](std::string_view line) { return reader.take_line(line); });
        if (!response) {
            return response.error();
        }
        if (!reader.report()) {
            return Error{ErrorCode::kIo, "the daemon stopped before all was read: try again"};
        }
        return tell(*reader.report(), context.json);
    }

private:
    HttpRequest request() const {
        std::string target = fmt::format("/admin/v1/verify?share={}", share_);
        if (!model_.empty()) {
            target += "&model=" + url_encode(model_);
        }
        return HttpRequest{.method = "POST", .target = std::move(target)};
    }

    static Result<void> tell(const json::object& report, bool as_json) {
        const auto faults = array_member(report, "faults");
        if (!faults) {
            return faults.error();
        }
        std::string text;
        if (as_json) {
            text = json::serialize(report) + "\n";
        } else {
            for (const json::value& fault : *faults) {
                text += fault_text(fault.get_object());
            }
            text += fmt::format("{} images, {} chunks, {} read: {}\n",
                                count_member(report, "images"), count_member(report, "chunks"),
                                format_bytes(count_member(report, "bytes")),
                                faults->empty() ? "each as its SHA-256 says"
                                                : fmt::format("{} damaged", faults->size()));
        }
        auto written = write_out(text);
        if (written && !faults->empty()) {
            return Error{ErrorCode::kCorrupt,
                         fmt::format("{} damaged chunks: they will not be served", faults->size())};
        }
        return written;
    }

    std::string model_;
    uint32_t share_ = 50;
};

}  // namespace

std::unique_ptr<Verb> make_verify(CLI::App& app) {
    return std::make_unique<Verify>(
        app.add_subcommand("verify", "Read stored models again and compare every byte"));
}

}  // namespace rekindle::cli
