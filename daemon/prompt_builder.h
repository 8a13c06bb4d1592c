// From a Submit frame to prompt tokens: renders the chat template, tokenizes, checks bounds.
// Threading: the reader thread. The tables are waited for at first use.
#pragma once
#include "base/result.h"
#include "daemon/frames.h"
#include "runtime/template/chat_template.h"
#include "runtime/tokenizer/tokenizer.h"
#include "snapshot/view/image_view.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

namespace rekindle::daemon {

class PromptBuilder {
public:
    // Waits for the tables' chunks.
    static Result<std::unique_ptr<PromptBuilder>> create(const snapshot::ImageView& image);

    // kInvalidArgument: no template, template error, token ids out of range, an empty prompt.
    Result<std::vector<runtime::TokenId>> build(const SubmitFrame& submit);
    const runtime::Tokenizer& tokenizer() const noexcept { return tokenizer_; }

private:
    PromptBuilder(runtime::Tokenizer tokenizer, std::optional<runtime::ChatTemplate> chat)
        : tokenizer_(std::move(tokenizer)),
          scratch_(tokenizer_.new_scratch()),
          chat_template_(std::move(chat)) {}

    Result<std::vector<runtime::TokenId>> from_chat(const std::string& variables);

    runtime::Tokenizer tokenizer_;
    runtime::EncodeScratch scratch_;
    std::optional<runtime::ChatTemplate> chat_template_;
};

}  // namespace rekindle::daemon
