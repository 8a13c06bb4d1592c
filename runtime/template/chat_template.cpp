#include "runtime/template/chat_template.h"

#include "runtime/template/interpreter.h"
#include "runtime/template/lexer.h"
#include "runtime/template/parser.h"

#include <utility>

namespace rekindle::runtime {

struct ChatTemplate::State {
    jinja::TableView table;
};

Result<std::vector<std::byte>> compile_template(std::string_view source) {
    if (source.size() > jinja::kSourceBytesMax) {
        return Error{ErrorCode::kTooLarge,
                     "a chat template of " + std::to_string(source.size()) + " bytes; at most " +
                         std::to_string(jinja::kSourceBytesMax) + " are possible"};
    }
    Result<std::vector<jinja::Token>> tokens = jinja::tokenize_template(source);
    if (!tokens) {
        return std::move(tokens).error();
    }
    return jinja::Parser(std::move(tokens).value()).run();
}

Result<ChatTemplate> ChatTemplate::open(std::span<const std::byte> table) {
    Result<jinja::TableView> view = jinja::open_table(table);
    if (!view) {
        return std::move(view).error();
    }
    return ChatTemplate(std::make_unique<State>(State{*view}));
}

ChatTemplate::ChatTemplate(std::unique_ptr<State> state) : state_(std::move(state)) {}

ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;
ChatTemplate::~ChatTemplate() = default;

Result<std::string> ChatTemplate::render(const json::object& variables,
                                         const TemplateLimits& limits) const {
    jinja::RunState state(limits);
    std::string output = jinja::Interpreter(state_->table, variables, state).run();
    if (state.failed()) {
        return state.take_error();
    }
    return output;
}

}  // namespace rekindle::runtime
