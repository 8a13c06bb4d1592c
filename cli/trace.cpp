#include "base/hash.h"
#include "base/unique_fd.h"
#include "cli/api.h"
#include "cli/chrome_trace.h"
#include "cli/terminal.h"
#include "cli/trace_report.h"
#include "cli/verb.h"

#include <boost/json/serialize.hpp>

#include <cerrno>
#include <fcntl.h>
#include <string>
#include <string_view>
#include <unistd.h>

namespace rekindle::cli {

namespace {

Result<void> write_file(const std::string& path, std::string_view text) {
    constexpr mode_t kMode = 0644;
    const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, kMode));
    if (!file.valid()) {
        return errno_error(path, errno);
    }
    auto written = write_all(file.get(), as_bytes(text));
    return std::move(written).with_context(path);
}

class Trace final : public Verb {
public:
    explicit Trace(CLI::App* command) : Verb(command) {
        auto* request =
            command->add_option("request", id_, "Its id: the answer's x-request-id header");
        auto* model = command->add_option("--model", model_, "Of this model, with --last-cold");
        auto* last = command->add_flag("--last-cold", last_cold_,
                                       "The last request that found the model cold");
        request->excludes(model)->excludes(last);
        model->needs(last);
        last->needs(model);
        command->add_option("--chrome", chrome_file_,
                            "Also write a file for Perfetto or chrome://tracing");
    }

    Result<void> run(const VerbContext& context) override {
        if (id_.empty() && !last_cold_) {
            return Error{ErrorCode::kInvalidArgument,
                         "trace: name a request, or a model: trace --model MODEL --last-cold"};
        }
        HttpClient client(context.endpoint, nullptr);
        const auto trace =
            get_json(client, last_cold_ ? "/admin/v1/cold-starts/" + url_encode(model_)
                                        : "/admin/v1/traces/" + url_encode(id_));
        if (!trace) {
            return trace.error();
        }
        if (!chrome_file_.empty()) {
            if (auto written = write_file(chrome_file_, chrome_trace(*trace)); !written) {
                return written;
            }
        }
        if (context.json) {
            return write_out(json::serialize(*trace) + "\n");
        }
        return write_out(trace_text(*trace, {.columns = terminal_columns(STDOUT_FILENO),
                                             .unicode = draws_unicode(STDOUT_FILENO)}));
    }

private:
    std::string id_;
    std::string model_;
    std::string chrome_file_;
    bool last_cold_ = false;
};

}  // namespace

std::unique_ptr<Verb> make_trace(CLI::App& app) {
    return std::make_unique<Trace>(
        app.add_subcommand("trace", "Show where a request's time and money went"));
}

}  // namespace rekindle::cli
