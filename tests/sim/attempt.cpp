#include "tests/sim/attempt.h"

#include "daemon/answer_text.h"

#include <algorithm>
#include <array>

namespace rekindle::sim {

std::string_view name_of(Ending ending) noexcept {
    constexpr std::array<std::string_view, 5> kNames = {"none", "done", "error", "left", "cut"};
    return kNames[static_cast<size_t>(ending)];
}

Expected expect(const Images& images, const Image& image, const daemon::SubmitFrame& submit,
                uint32_t context) {
    Expected out;
    out.prompt_tokens = static_cast<uint32_t>(submit.text.size());
    out.text_after.push_back(0);
    out.too_long = out.prompt_tokens >= context || out.prompt_tokens + submit.tokens_max > context;
    if (out.too_long) {
        return out;
    }
    const uint32_t most = submit.tokens_max == 0 ? context - out.prompt_tokens : submit.tokens_max;
    uint64_t state = image.salt;
    for (const char c : submit.text) {
        out.tokens.push_back(static_cast<unsigned char>(c));
        state = next_state(state, static_cast<unsigned char>(c));
    }
    daemon::AnswerText text(submit.stop);
    bool over = false;
    while (!over) {
        const runtime::TokenId token = token_after(state, images.end_token());
        state = next_state(state, token);
        ++out.sampled;
        out.tokens.push_back(token);
        const bool ends = token == images.end_token() && !submit.ignore_eos;
        out.text += text.append(ends ? std::string_view() : images.tokenizer().bytes_of(token));
        over = ends || out.sampled == most || !text.matched().empty();
        if (over && text.matched().empty()) {
            out.text += text.flush();
        }
        out.text_after.push_back(out.text.size());
    }
    return out;
}

uint32_t Attempt::delivered_by(Nanoseconds time) const noexcept {
    uint32_t total = 0;
    for (const Delivery& delivery : deliveries) {
        if (delivery.at <= time) {
            total = delivery.total;
        }
    }
    return total;
}

}  // namespace rekindle::sim
