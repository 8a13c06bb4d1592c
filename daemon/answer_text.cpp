#include "daemon/answer_text.h"

#include "base/utf8.h"

#include <algorithm>

namespace rekindle::daemon {
namespace {

// Length of the longest end of `text` that is the beginning of `stop` (but not all of it).
size_t partial_match(std::string_view text, std::string_view stop) {
    for (size_t length = std::min(text.size(), stop.size() - 1); length > 0; --length) {
        if (text.ends_with(stop.substr(0, length))) {
            return length;
        }
    }
    return 0;
}

}  // namespace

std::string AnswerText::append(std::string_view token_bytes) {
    if (!matched_.empty()) {
        return {};
    }
    held_ += token_bytes;
    size_t stop_at = std::string::npos;
    for (const std::string& stop : stop_) {
        const size_t at = held_.find(stop);
        if (at < stop_at) {  // The first in the text; of several at one place, the first given.
            stop_at = at;
            matched_ = stop;
        }
    }
    if (stop_at != std::string::npos) {
        std::string text = sanitize_utf8(std::string_view(held_).substr(0, stop_at));
        held_.clear();
        return text;
    }
    size_t keep = 0;
    for (const std::string& stop : stop_) {
        keep = std::max(keep, partial_match(held_, stop));
    }
    const size_t final_bytes =
        complete_utf8_prefix(std::string_view(held_).substr(0, held_.size() - keep));
    std::string text = sanitize_utf8(std::string_view(held_).substr(0, final_bytes));
    held_.erase(0, final_bytes);
    return text;
}

std::string AnswerText::flush() {
    std::string text = sanitize_utf8(held_);
    held_.clear();
    return text;
}

}  // namespace rekindle::daemon
