#include "base/utf8.h"
#include "cli/answer.h"
#include "cli/api.h"
#include "cli/interrupts.h"
#include "cli/prompt_input.h"
#include "cli/terminal.h"
#include "cli/text.h"
#include "cli/verb.h"

#include <boost/json/array.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <unistd.h>
#include <utility>

namespace rekindle::cli {

namespace {

constexpr const char* kHelp =
    "/clear         forget the conversation\n"
    "/system TEXT   set the system message and forget the conversation; no TEXT: show it\n"
    "/exit          leave (also Ctrl-D); Ctrl-C ends one answer\n";

// The conversation so far; what is asked next is sent with all of it.
class Conversation {
public:
    Conversation(std::string model, AnswerOptions options)
        : model_(std::move(model)), options_(std::move(options)) {}

    const std::string& system() const noexcept { return options_.system; }

    void set_system(std::string_view text) {
        options_.system = text;
        clear();
    }

    void clear() { turns_.clear(); }

    void add(std::string_view role, std::string_view text) {
        turns_.push_back({{"role", role}, {"content", text}});
    }

    void drop_last() { turns_.pop_back(); }

    json::object body() const {
        json::array messages;
        if (!options_.system.empty()) {
            messages.push_back({{"role", "system"}, {"content", options_.system}});
        }
        messages.insert(messages.end(), turns_.begin(), turns_.end());
        json::object body{{"model", model_}, {"messages", std::move(messages)}};
        put_options(body, options_);
        return body;
    }

private:
    std::string model_;
    AnswerOptions options_;
    json::array turns_;
};

class ChatSession {
public:
    ChatSession(HttpClient& client, Conversation conversation)
        : client_(client),
          conversation_(std::move(conversation)),
          lines_(*client.interrupts()),
          prompts_(is_terminal(STDIN_FILENO)),
          terminal_(is_terminal(STDOUT_FILENO)) {}

    // Until the end of the input.
    Result<void> run() {
        say("Ctrl-C ends an answer, Ctrl-D leaves, /help shows more.\n");
        while (true) {
            if (prompts_) {
                write_err(">>> ");
            }
            const auto line = lines_.read();
            if (!line) {
                return line.error();
            }
            if (line->kind == LineReader::Kind::kInterrupted) {
                if (!prompts_) {
                    return Error{ErrorCode::kCancelled, "interrupted"};
                }
                say("\n");
                continue;
            }
            if (line->kind == LineReader::Kind::kEnd) {
                say("\n");
                return last_turn();
            }
            if (!take_line(line->text)) {
                return {};
            }
        }
    }

private:
    // Notes for a person who types; a pipe gets none.
    void say(std::string_view text) const {
        if (prompts_) {
            write_err(faint(text, STDERR_FILENO));
        }
    }

    // False when the person wants to leave.
    bool take_line(const std::string& line) {
        if (line.find_first_not_of(" \t\r") == std::string::npos) {
            return true;
        }
        if (line.front() == '/') {
            return take_command(line);
        }
        last_turn_ = ask(line);
        if (!last_turn_) {
            print_error(last_turn_.error().message);
        }
        return true;
    }

    bool take_command(const std::string& line) {
        const size_t space = line.find(' ');
        const std::string name = line.substr(0, space);
        const std::string rest = space == std::string::npos ? "" : line.substr(space + 1);
        if (name == "/exit" || name == "/bye" || name == "/quit") {
            return false;
        }
        if (name == "/clear") {
            conversation_.clear();
            say("The conversation is forgotten.\n");
        } else if (name == "/system" && !rest.empty()) {
            conversation_.set_system(rest);
            say("The system message is set, the conversation is forgotten.\n");
        } else if (name == "/system") {
            say(conversation_.system().empty() ? "There is no system message.\n"
                                               : printable(conversation_.system()) + "\n");
        } else {
            write_err(name == "/help" ? "" : fmt::format("{} is no command.\n", printable(name)));
            write_err(kHelp);
        }
        return true;
    }

    // One turn. What was not answered is not part of the conversation; an answer that Ctrl-C cut
    // short is, as far as it was read.
    Result<void> ask(const std::string& question) {
        if (!is_valid_utf8(question)) {
            return Error{ErrorCode::kInvalidArgument, "the line is not UTF-8"};
        }
        conversation_.add("user", question);
        std::string answer;
        const auto end =
            stream_answer(client_, kChatRoute, conversation_.body(), [&](std::string_view text) {
                answer += text;
                return write_out(terminal_ ? printable(text) : std::string(text));
            });
        if (!answer.empty() && !answer.ends_with('\n')) {
            if (auto written = write_out("\n"); !written) {
                return written;
            }
        }
        const bool cut = !end && end.error().code == ErrorCode::kCancelled;
        if ((!end && !cut) || answer.empty()) {
            conversation_.drop_last();
        } else {
            conversation_.add("assistant", answer);
        }
        if (cut && prompts_) {
            say("(ended by Ctrl-C)\n");
            return {};
        }
        return end ? Result<void>{} : end.error();
    }

    // In a pipe a failed turn is the exit code; a person has seen it.
    Result<void> last_turn() const {
        if (prompts_ || last_turn_) {
            return {};
        }
        return last_turn_.error();
    }

    HttpClient& client_;
    Conversation conversation_;
    LineReader lines_;
    bool prompts_;
    bool terminal_;
    Result<void> last_turn_;
};

Result<void> check_deployed(HttpClient& client, const std::string& model) {
    const auto models = get_json(client, "/v1/models");
    if (!models) {
        return models.error();
    }
    const auto list = array_member(*models, "data");
    if (!list) {
        return list.error();
    }
    const bool found = std::any_of(list->begin(), list->end(), [&](const json::value& entry) {
        return text_member(entry.get_object(), "id") == model;
    });
    if (found) {
        return {};
    }
    return Error{
        ErrorCode::kNotFound,
        fmt::format("no model '{}' is deployed here: `rekindle models` lists what is", model)};
}

class Chat final : public Verb {
public:
    explicit Chat(CLI::App* command) : Verb(command) {
        command->add_option("model", model_, "Model name")->required();
        add_answer_options(*command, options_);
        command->footer("In the conversation:\n" + std::string(kHelp));
    }

    Result<void> run(const VerbContext& context) override {
        if (context.json) {
            return Error{ErrorCode::kInvalidArgument,
                         "chat has no JSON form: `rekindle run MODEL PROMPT --json` has"};
        }
        auto interrupts = Interrupts::open();
        if (!interrupts) {
            return interrupts.error();
        }
        HttpClient client(context.endpoint, &*interrupts);
        if (auto deployed = check_deployed(client, model_); !deployed) {
            return deployed;
        }
        return ChatSession(client, Conversation(model_, options_)).run();
    }

private:
    std::string model_;
    AnswerOptions options_;
};

}  // namespace

std::unique_ptr<Verb> make_chat(CLI::App& app) {
    return std::make_unique<Chat>(app.add_subcommand("chat", "Talk with a model"));
}

}  // namespace rekindle::cli
