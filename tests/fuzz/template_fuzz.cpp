// First byte: how to read the rest. Even: as template source, compiled, opened and rendered within
// small budgets; odd: as a compiled table, which may be refused but not followed out of bounds.
#include "base/check.h"
#include "runtime/template/chat_template.h"

#include <cstdint>

namespace {

using rekindle::runtime::ChatTemplate;

const rekindle::json::object& variables() {
    static const rekindle::json::object object{
        {"messages",
         {{{"role", "system"}, {"content", "Be brief."}},
          {{"role", "user"}, {"content", "h\u00e9llo \U0001F600"}},
          {{"role", "assistant"}, {"content", nullptr}, {"tool_calls", {{{"id", 1}}}}}}},
        {"tools", {{{"name", "f"}, {"parameters", {{"type", "object"}, {"max", 1.5}}}}}},
        {"add_generation_prompt", true},
        {"bos_token", "<s>"},
    };
    return object;
}

void render(const std::vector<std::byte>& table) {
    const auto opened = ChatTemplate::open(table);
    if (!opened) {
        return;
    }
    rekindle::runtime::TemplateLimits limits;
    limits.steps_max = 20'000;
    limits.output_bytes_max = 64U << 10;
    limits.now_unix_s = 1'721'984'703;
    const auto result = opened->render(variables(), limits);
    REKINDLE_CHECK(!result || result->size() <= limits.output_bytes_max, "output has its limit");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size == 0) {
        return 0;
    }
    if (data[0] % 2 == 0) {
        const auto table = rekindle::runtime::compile_template(
            {reinterpret_cast<const char*>(data + 1), size - 1});
        if (table) {
            REKINDLE_CHECK(ChatTemplate::open(*table).ok(), "what was compiled opens");
            render(*table);
        }
        return 0;
    }
    std::vector<std::byte> table(size - 1);
    for (size_t i = 1; i < size; ++i) {
        table[i - 1] = std::byte{data[i]};
    }
    render(table);
    return 0;
}
