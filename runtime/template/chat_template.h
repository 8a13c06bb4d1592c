// Chat templates: the Jinja subset that published models use, compiled at import to a flat tree and
// run with budgets (steps, depth, output bytes). No attribute of a host object, no input or output.
// Threading: immutable after open; any thread. Lifetime: the table's bytes outlive the object.
#pragma once
#include "base/json.h"
#include "base/result.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace rekindle::runtime {

struct TemplateLimits {
    uint64_t steps_max = 1'000'000;  // Nodes evaluated.
    uint32_t depth_max = 64;         // Nested calls, loops and expressions.
    uint64_t output_bytes_max = 4U << 20;
    // What strftime_now shows, in UTC; without it the template finds no such function.
    std::optional<int64_t> now_unix_s = std::nullopt;
};

// kUnsupported names the construct and its line; kInvalidArgument a syntax error and its line.
Result<std::vector<std::byte>> compile_template(std::string_view source);

class ChatTemplate {
public:
    static Result<ChatTemplate> open(std::span<const std::byte> table);
    ChatTemplate(ChatTemplate&&) noexcept;
    ChatTemplate& operator=(ChatTemplate&&) noexcept;
    ~ChatTemplate();

    // `variables`: messages, add_generation_prompt, bos_token, eos_token, tools, …
    // kInvalidArgument carries a template's own raise_exception text; kTooLarge a spent budget.
    Result<std::string> render(const json::object& variables, const TemplateLimits& limits) const;

private:
    struct State;
    explicit ChatTemplate(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

}  // namespace rekindle::runtime
