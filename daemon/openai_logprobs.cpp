#include "daemon/openai_logprobs.h"

#include "base/utf8.h"
#include "daemon/api/json_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <string_view>

namespace rekindle::daemon {
namespace {

// Code points that begin in `bytes`; of a token that is part of one, only the first part counts.
uint64_t code_points(std::string_view bytes) {
    constexpr unsigned kContinuationMask = 0xC0;
    constexpr unsigned kContinuation = 0x80;
    return static_cast<uint64_t>(std::count_if(bytes.begin(), bytes.end(), [](char c) {
        return (static_cast<unsigned char>(c) & kContinuationMask) != kContinuation;
    }));
}

// `"token":…,"logprob":…,"bytes":[…]`
void append_token(std::string& out, const LogprobItem& item) {
    out += R"("token":)";
    api::append_json_string(out, sanitize_utf8(item.bytes));
    out += R"(,"logprob":)";
    api::append_json_logprob(out, item.logprob);
    out += R"(,"bytes":[)";
    for (size_t i = 0; i < item.bytes.size(); ++i) {
        fmt::format_to(std::back_inserter(out), "{}{}", i == 0 ? "" : ",",
                       static_cast<unsigned>(static_cast<unsigned char>(item.bytes[i])));
    }
    out += ']';
}

// {"token":logprob,…}; of tokens with the same text, the first: they come most likely first.
void append_top(std::string& out, const std::vector<LogprobItem>& top) {
    std::vector<std::string> seen;
    out += '{';
    for (const LogprobItem& item : top) {
        std::string text = sanitize_utf8(item.bytes);
        if (std::find(seen.begin(), seen.end(), text) != seen.end()) {
            continue;
        }
        out += seen.empty() ? "" : ",";
        api::append_json_string(out, text);
        out += ':';
        api::append_json_logprob(out, item.logprob);
        seen.push_back(std::move(text));
    }
    out += '}';
}

}  // namespace

void append_chat_logprobs(std::string& out, const std::vector<LogprobItem>& items) {
    out += R"({"content":[)";
    for (size_t i = 0; i < items.size(); ++i) {
        out += i == 0 ? "{" : ",{";
        append_token(out, items[i]);
        out += R"(,"top_logprobs":[)";
        for (size_t k = 0; k < items[i].top.size(); ++k) {
            out += k == 0 ? "{" : ",{";
            append_token(out, items[i].top[k]);
            out += '}';
        }
        out += "]}";
    }
    out += R"(],"refusal":null})";
}

void append_completion_logprobs(std::string& out, const std::vector<LogprobItem>& items,
                                uint64_t& text_offset) {
    std::string tokens;
    std::string logprobs;
    std::string top;
    std::string offsets;
    for (size_t i = 0; i < items.size(); ++i) {
        const LogprobItem& item = items[i];
        const std::string_view comma = i == 0 ? "" : ",";
        tokens += comma;
        api::append_json_string(tokens, sanitize_utf8(item.bytes));
        logprobs += comma;
        top += comma;
        if (std::isnan(item.logprob)) {  // Nothing came before the prompt's first token.
            logprobs += "null";
            top += "null";
        } else {
            api::append_json_logprob(logprobs, item.logprob);
            append_top(top, item.top);
        }
        offsets += comma;
        offsets += std::to_string(text_offset);
        text_offset += code_points(item.bytes);
    }
    fmt::format_to(
        std::back_inserter(out),
        R"({{"tokens":[{}],"token_logprobs":[{}],"top_logprobs":[{}],"text_offset":[{}]}})", tokens,
        logprobs, top, offsets);
}

}  // namespace rekindle::daemon
