#include "daemon/prompt_builder.h"

#include <fmt/format.h>

#include <string>
#include <utility>

namespace rekindle::daemon {
namespace {

using runtime::TokenId;

void put_token_text(json::object& variables, std::string_view key,
                    const runtime::Tokenizer& tokenizer, std::optional<TokenId> token) {
    variables[key] = token ? std::string(tokenizer.bytes_of(*token)) : std::string();
}

Result<std::vector<TokenId>> checked_ids(const std::vector<int32_t>& ids, uint32_t vocabulary) {
    for (const int32_t id : ids) {
        if (id < 0 || static_cast<uint32_t>(id) >= vocabulary) {
            return Error{ErrorCode::kInvalidArgument,
                         fmt::format("prompt: token id {} is not in the vocabulary of {} tokens",
                                     id, vocabulary)};
        }
    }
    return std::vector<TokenId>(ids.begin(), ids.end());
}

Result<void> check_bias(const std::vector<TokenBias>& entries, uint32_t vocabulary) {
    for (const TokenBias& entry : entries) {
        if (entry.token < 0 || static_cast<uint32_t>(entry.token) >= vocabulary) {
            return Error{ErrorCode::kInvalidArgument,
                         fmt::format("logit_bias: token id {} is not in the vocabulary of {} "
                                     "tokens",
                                     entry.token, vocabulary)};
        }
    }
    return {};
}

}  // namespace

Result<std::unique_ptr<PromptBuilder>> PromptBuilder::create(const snapshot::ImageView& image) {
    const snapshot::ImageLayout& layout = image.layout();
    const auto table = image.wait(layout.tokenizer.offset, layout.tokenizer.bytes);
    if (!table) {
        return table.error();
    }
    auto tokenizer = runtime::Tokenizer::open(*table);
    if (!tokenizer) {
        return tokenizer.error();
    }
    std::optional<runtime::ChatTemplate> chat;
    if (layout.chat_template.bytes > 0) {
        const auto tree = image.wait(layout.chat_template.offset, layout.chat_template.bytes);
        if (!tree) {
            return tree.error();
        }
        auto opened = runtime::ChatTemplate::open(*tree);
        if (!opened) {
            return opened.error();
        }
        chat = std::move(opened).value();
    }
    return std::unique_ptr<PromptBuilder>(
        new PromptBuilder(std::move(tokenizer).value(), std::move(chat)));
}

Result<std::vector<TokenId>> PromptBuilder::from_chat(const std::string& variables) {
    if (!chat_template_) {
        return Error{ErrorCode::kInvalidArgument,
                     "messages: this model has no chat template: use /v1/completions"};
    }
    auto parsed = parse_json(variables, JsonLimits{});
    if (!parsed) {
        return parsed.error();
    }
    if (!parsed->is_object()) {
        return Error{ErrorCode::kInvalidArgument, "messages: not an object"};
    }
    json::object& object = parsed->get_object();
    put_token_text(object, "bos_token", tokenizer_, tokenizer_.bos());
    put_token_text(object, "eos_token", tokenizer_, tokenizer_.eos());
    const auto text = chat_template_->render(object, runtime::TemplateLimits{});
    if (!text) {
        return text.error();
    }
    std::vector<TokenId> tokens;
    // A template that writes its own beginning-of-sequence token must not get a second one.
    const auto bos = tokenizer_.bos();
    if (tokenizer_.add_bos() && bos && !text->starts_with(tokenizer_.bytes_of(*bos))) {
        tokens.push_back(*bos);
    }
    tokenizer_.encode(*text, /*parse_special=*/true, scratch_, tokens);
    return tokens;
}

Result<std::vector<TokenId>> PromptBuilder::build(const SubmitFrame& submit) {
    if (const auto checked = check_bias(submit.logit_bias, tokenizer_.size()); !checked) {
        return checked.error();
    }
    Result<std::vector<TokenId>> tokens = std::vector<TokenId>{};
    switch (submit.kind) {
        case PromptKind::kTokens:
            tokens = checked_ids(submit.tokens, tokenizer_.size());
            break;
        case PromptKind::kChat:
            tokens = from_chat(submit.text);
            break;
        case PromptKind::kText:
            if (tokenizer_.add_bos() && tokenizer_.bos()) {
                tokens->push_back(*tokenizer_.bos());
            }
            // Raw prompts may carry a hand-written chat format, as with every other server.
            tokenizer_.encode(submit.text, /*parse_special=*/true, scratch_, *tokens);
            break;
    }
    if (tokens && tokens->empty()) {
        return Error{ErrorCode::kInvalidArgument, "prompt: it has no tokens; send some text"};
    }
    return tokens;
}

}  // namespace rekindle::daemon
