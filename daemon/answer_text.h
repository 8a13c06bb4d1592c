// Turns sampled tokens into the text that may be sent: whole UTF-8 only, and nothing that could
// still become a stop string.
// Threading: one owner. Invariant: text given out plus text held back is the answer so far.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace rekindle::daemon {

class AnswerText {
public:
    explicit AnswerText(std::vector<std::string> stop) : stop_(std::move(stop)) {}

    // Adds one token's bytes. Gives the text that became final; after a stop string was found
    // (matched() is then not empty) nothing more is given.
    std::string append(std::string_view token_bytes);
    // The answer ended: gives what is held back, unfinished sequences as U+FFFD.
    std::string flush();
    // The stop string that ended the answer, or empty.
    const std::string& matched() const noexcept { return matched_; }

private:
    std::vector<std::string> stop_;
    std::string held_;
    std::string matched_;
};

}  // namespace rekindle::daemon
