#include "daemon/openai_forms.h"

#include "daemon/api/json_text.h"
#include "daemon/openai_logprobs.h"
#include "daemon/sse.h"

#include <fmt/format.h>

namespace rekindle::daemon {
namespace {

// What every object of an answer begins with: {"id":…,…,"system_fingerprint":…,"choices":[
std::string object_head(const AnswerFacts& facts, std::string_view id_prefix,
                        std::string_view object) {
    std::string head = fmt::format(R"({{"id":"{}{}","object":"{}","created":{},"model":)",
                                   id_prefix, facts.id_hex, object, facts.created_unix_s);
    api::append_json_string(head, facts.model);
    head += R"(,"system_fingerprint":)";
    api::append_json_string(head, facts.fingerprint);
    head += R"(,"choices":[)";
    return head;
}

// What both forms share: events around a choice.
class FormBase : public AnswerForm {
public:
    FormBase(const AnswerFacts& facts, std::string_view id_prefix, std::string_view chunk_object,
             std::string_view whole_object)
        : want_logprobs_(facts.want_logprobs),
          chunk_head_(object_head(facts, id_prefix, chunk_object)),
          // With include_usage every chunk says that its usage is not known yet.
          chunk_tail_(facts.include_usage ? R"(],"usage":null})" : "]}"),
          whole_head_(object_head(facts, id_prefix, whole_object)) {}

    void append_usage(std::string& out, const api::TokenUsage& usage) const final {
        append_sse_data(out, chunk_head_ + R"(],"usage":)" + api::to_json_text(usage) + "}");
    }

protected:
    void append_choice(std::string& out, std::string_view choice) const {
        out += "data: ";
        out += chunk_head_;
        out += choice;
        out += chunk_tail_;
        out += "\n\n";
    }

    std::string whole_object(std::string_view choice, const api::TokenUsage& usage) const {
        return fmt::format(R"({}{}],"usage":{}}})", whole_head_, choice, api::to_json_text(usage));
    }

    bool want_logprobs() const noexcept { return want_logprobs_; }

private:
    const bool want_logprobs_;
    const std::string chunk_head_;
    const std::string chunk_tail_;
    const std::string whole_head_;
};

class ChatForm final : public FormBase {
public:
    explicit ChatForm(const AnswerFacts& facts)
        : FormBase(facts, "chatcmpl-", "chat.completion.chunk", "chat.completion") {}

    void append_opening(std::string& out) const override {
        append_choice(out, R"({"index":0,"delta":{"role":"assistant","content":""},)"
                           R"("logprobs":null,"finish_reason":null})");
    }

    void append_text(std::string& out, std::string_view text,
                     const std::vector<LogprobItem>& logprobs) override {
        std::string choice = R"({"index":0,"delta":{"content":)";
        api::append_json_string(choice, text);
        choice += R"(},"logprobs":)";
        append_logprobs(choice, logprobs);
        choice += R"(,"finish_reason":null})";
        append_choice(out, choice);
    }

    void append_finish(std::string& out, Finish finish) const override {
        append_choice(out, fmt::format(R"({{"index":0,"delta":{{}},"logprobs":null,)"
                                       R"("finish_reason":"{}"}})",
                                       finish_reason(finish)));
    }

    std::string whole(std::string_view text, const std::vector<LogprobItem>& logprobs,
                      Finish finish, const api::TokenUsage& usage) override {
        std::string choice = R"({"index":0,"message":{"role":"assistant","content":)";
        api::append_json_string(choice, text);
        choice += R"(,"refusal":null},"logprobs":)";
        append_logprobs(choice, logprobs);
        choice += fmt::format(R"(,"finish_reason":"{}"}})", finish_reason(finish));
        return whole_object(choice, usage);
    }

private:
    void append_logprobs(std::string& out, const std::vector<LogprobItem>& items) const {
        if (want_logprobs()) {
            append_chat_logprobs(out, items);
        } else {
            out += "null";
        }
    }
};

class CompletionForm final : public FormBase {
public:
    explicit CompletionForm(const AnswerFacts& facts)
        : FormBase(facts, "cmpl-", "text_completion", "text_completion") {}

    void append_opening(std::string& /*out*/) const override {}

    void append_text(std::string& out, std::string_view text,
                     const std::vector<LogprobItem>& logprobs) override {
        std::string choice = choice_of(text, logprobs);
        choice += R"("finish_reason":null})";
        append_choice(out, choice);
    }

    void append_finish(std::string& out, Finish finish) const override {
        append_choice(out, fmt::format(R"({{"index":0,"text":"","logprobs":null,)"
                                       R"("finish_reason":"{}"}})",
                                       finish_reason(finish)));
    }

    std::string whole(std::string_view text, const std::vector<LogprobItem>& logprobs,
                      Finish finish, const api::TokenUsage& usage) override {
        std::string choice = choice_of(text, logprobs);
        choice += fmt::format(R"("finish_reason":"{}"}})", finish_reason(finish));
        return whole_object(choice, usage);
    }

private:
    // {"index":0,"text":…,"logprobs":…, without its end.
    std::string choice_of(std::string_view text, const std::vector<LogprobItem>& logprobs) {
        std::string choice = R"({"index":0,"text":)";
        api::append_json_string(choice, text);
        choice += R"(,"logprobs":)";
        if (want_logprobs()) {
            append_completion_logprobs(choice, logprobs, text_offset_);
        } else {
            choice += "null";
        }
        choice += ',';
        return choice;
    }

    uint64_t text_offset_ = 0;  // Code points of the answer so far.
};

}  // namespace

std::string_view finish_reason(Finish finish) noexcept {
    return finish == Finish::kLength ? "length" : "stop";
}

std::unique_ptr<AnswerForm> AnswerForm::make(AnswerKind kind, const AnswerFacts& facts) {
    if (kind == AnswerKind::kChat) {
        return std::make_unique<ChatForm>(facts);
    }
    return std::make_unique<CompletionForm>(facts);
}

}  // namespace rekindle::daemon
