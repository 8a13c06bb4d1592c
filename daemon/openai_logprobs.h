// Log-probabilities in the forms of chats and of completions. Pure text.
#pragma once
#include "daemon/frames.h"

#include <cstdint>
#include <string>
#include <vector>

namespace rekindle::daemon {

// {"content":[{"token":…,"logprob":…,"bytes":[…],"top_logprobs":[…]}],"refusal":null}
void append_chat_logprobs(std::string& out, const std::vector<LogprobItem>& items);

// {"tokens":[…],"token_logprobs":[…],"top_logprobs":[{…}],"text_offset":[…]}; offsets count code
// points from `text_offset`, which is moved behind the last token.
void append_completion_logprobs(std::string& out, const std::vector<LogprobItem>& items,
                                uint64_t& text_offset);

}  // namespace rekindle::daemon
