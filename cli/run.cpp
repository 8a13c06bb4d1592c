#include "base/clock.h"
#include "base/utf8.h"
#include "cli/answer.h"
#include "cli/api.h"
#include "cli/interrupts.h"
#include "cli/prompt_input.h"
#include "cli/terminal.h"
#include "cli/text.h"
#include "cli/verb.h"

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include <chrono>
#include <unistd.h>
#include <utility>

namespace rekindle::cli {

namespace {

// Streams the text to standard output and notes when the first of it came.
class Printer {
public:
    Result<void> print(std::string_view text) {
        if (first_ == Nanoseconds{}) {
            first_ = clock_.monotonic();
        }
        const std::string shown = terminal_ ? printable(text) : std::string(text);
        line_open_ = !shown.ends_with('\n');
        return write_out(shown);
    }

    // An answer ends with its line.
    Result<void> finish() {
        return std::exchange(line_open_, false) ? write_out("\n") : Result<void>{};
    }

    std::string summary(const AnswerEnd& end) const {
        using Seconds = std::chrono::duration<double>;
        const Seconds to_first = first_ - start_;
        const Seconds rest = clock_.monotonic() - first_;
        const double rate = rest.count() > 0 && end.completion_tokens > 1
                                ? static_cast<double>(end.completion_tokens - 1) / rest.count()
                                : 0;
        return fmt::format(
            "{} prompt tokens, {} answer tokens ({}), first after {:.0f} ms, "
            "{:.1f} tokens/s\n",
            end.prompt_tokens, end.completion_tokens, end.finish_reason, to_first.count() * 1000,
            rate);
    }

private:
    SystemClock clock_;
    Nanoseconds start_ = clock_.monotonic();
    Nanoseconds first_{};
    bool terminal_ = is_terminal(STDOUT_FILENO);
    bool line_open_ = false;
};

class Run final : public Verb {
public:
    explicit Run(CLI::App* command) : Verb(command) {
        command->add_option("model", model_, "Model name")->required();
        command->add_option("prompt", prompt_, "What to ask; - or nothing: from standard input");
        command->add_flag("--raw", raw_, "Continue the text, without the model's chat template");
        command->add_flag("--verbose", verbose_, "Say tokens and speed on standard error");
        add_answer_options(*command, options_);
        command->footer(
            "Examples: rekindle run small \"Why is the sky blue?\"\n"
            "          git diff | rekindle run small --system \"Review this change\"");
    }

    Result<void> run(const VerbContext& context) override {
        if (auto read = read_prompt(); !read) {
            return read;
        }
        auto interrupts = Interrupts::open();
        if (!interrupts) {
            return interrupts.error();
        }
        HttpClient client(context.endpoint, &*interrupts);
        return context.json ? print_whole(client) : print_stream(client);
    }

private:
    Result<void> read_prompt() {
        const bool given = !prompt_.empty() && prompt_ != "-";
        if (!given && prompt_.empty() && is_terminal(STDIN_FILENO)) {
            return Error{ErrorCode::kInvalidArgument,
                         fmt::format("no prompt: `rekindle run {} \"…\"`, or pipe one in", model_)};
        }
        if (!given) {
            auto text = read_prompt_from_stdin();
            if (!text) {
                return text.error();
            }
            prompt_ = *std::move(text);
        }
        if (!is_valid_utf8(prompt_) || !is_valid_utf8(options_.system)) {
            return Error{ErrorCode::kInvalidArgument, "the prompt is not UTF-8"};
        }
        return {};
    }

    const char* route() const { return raw_ ? kCompletionsRoute : kChatRoute; }

    json::object body() const {
        json::object body{{"model", model_}};
        if (raw_) {
            body["prompt"] = prompt_;
        } else {
            json::array messages;
            if (!options_.system.empty()) {
                messages.push_back({{"role", "system"}, {"content", options_.system}});
            }
            messages.push_back({{"role", "user"}, {"content", prompt_}});
            body["messages"] = std::move(messages);
        }
        put_options(body, options_);
        return body;
    }

    Result<void> print_whole(HttpClient& client) const {
        HttpRequest request;
        request.method = "POST";
        request.target = route();
        request.json = json::serialize(body());
        const auto response = send_checked(client, request);
        if (!response) {
            return response.error();
        }
        return write_out(response->body.ends_with('\n') ? response->body : response->body + "\n");
    }

    Result<void> print_stream(HttpClient& client) const {
        Printer printer;
        const auto end = stream_answer(client, route(), body(),
                                       [&](std::string_view text) { return printer.print(text); });
        auto finished = printer.finish();
        if (!end) {
            return end.error();
        }
        if (verbose_) {
            write_err(printer.summary(*end));
        }
        return finished;
    }

    std::string model_;
    std::string prompt_;
    bool raw_ = false;
    bool verbose_ = false;
    AnswerOptions options_;
};

}  // namespace

std::unique_ptr<Verb> make_run(CLI::App& app) {
    return std::make_unique<Run>(app.add_subcommand("run", "Ask a model once"));
}

}  // namespace rekindle::cli
