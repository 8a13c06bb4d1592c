#include "cli/api.h"
#include "cli/bench_text.h"
#include "cli/interrupts.h"
#include "cli/terminal.h"
#include "cli/values.h"
#include "cli/verb.h"

#include <CLI/Validators.hpp>
#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace rekindle::cli {

namespace {

// What the daemon says line by line while it measures.
class BenchReader {
public:
    explicit BenchReader(bool progress_shown) : progress_shown_(progress_shown) {}

    Result<void> take_line(std::string_view line) {
        if (line.empty()) {
            return {};  // A sign of life.
        }
        const auto object = parse_object(line);
        if (!object) {
            return object.error();
        }
        if (const json::value* error = object->if_contains("error")) {
            return error_of_object(*error);
        }
        if (const json::value* bench = object->if_contains("bench");
            bench != nullptr && bench->is_object()) {
            bench_ = bench->get_object();
        } else if (progress_shown_) {
            write_err(bench_progress_text(*object));
        }
        return {};
    }

    const std::optional<json::object>& bench() const noexcept { return bench_; }

private:
    const bool progress_shown_;
    std::optional<json::object> bench_;
};

class Bench final : public Verb {
public:
    explicit Bench(CLI::App* command) : Verb(command) {
        command->add_option("model", model_, "Model name")->required();
        const auto number = [command](const char* name, uint32_t& value, const char* help) {
            command->add_option(name, value, help)
                ->capture_default_str()
                ->check(CLI::PositiveNumber)
                ->type_name("N");
        };
        number("--prefill", prefill_, "Tokens of the prompt that is measured alone");
        number("--prompt", prompt_, "Tokens of each prompt of a batch");
        number("--answer", answer_, "Tokens of each answer of a batch");
        command->add_option("--batches", batches_, "Numbers of answers at a time")
            ->delimiter(',')
            ->capture_default_str()
            ->check(CLI::PositiveNumber)
            ->type_name("N,N,…");
        number("--repeat", repeat_, "Rounds; the median of them is told");
        command->add_flag("--profile", profile_, "Also where the time went, by operation");
        command->footer(
            "Measures in a worker of its own, beside the limits of the machine that the same run "
            "measures.\nWhat the model answers meanwhile is not held up, but spoils the figures.");
    }

    Result<void> run(const VerbContext& context) override {
        if (auto checked = check_model_name(model_); !checked) {
            return checked;
        }
        auto interrupts = Interrupts::open();
        if (!interrupts) {
            return interrupts.error();
        }
        HttpClient client(context.endpoint, &*interrupts);
        BenchReader reader(!context.json);
        const auto response = send_for_lines(
            client, request(), [&reader](std::string_view line) { return reader.take_line(line); });
        if (!response) {
            return response.error();
        }
        if (!reader.bench()) {
            return Error{ErrorCode::kIo,
                         "the daemon stopped before the bench was complete: try "
                         "again"};
        }
        return write_out(context.json ? json::serialize(*reader.bench()) + "\n"
                                      : bench_text(*reader.bench()));
    }

private:
    HttpRequest request() const {
        const json::object body{{"batches", json::array(batches_.begin(), batches_.end())},
                                {"prompt", prompt_},
                                {"answer", answer_},
                                {"prefill", prefill_},
                                {"repeat", repeat_},
                                {"profile", profile_}};
        return HttpRequest{.method = "POST",
                           .target = "/admin/v1/bench/" + url_encode(model_),
                           .json = json::serialize(body)};
    }

    std::string model_;
    std::vector<uint32_t> batches_{1, 8, 32};
    uint32_t prompt_ = 128;
    uint32_t answer_ = 128;
    uint32_t prefill_ = 512;
    uint32_t repeat_ = 3;
    bool profile_ = false;
};

}  // namespace

std::unique_ptr<Verb> make_bench(CLI::App& app) {
    return std::make_unique<Bench>(app.add_subcommand(
        "bench", "Measure a model's speed here, beside what the machine could do"));
}

}  // namespace rekindle::cli
