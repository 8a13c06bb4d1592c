// Compiles, opens and renders in one step.
#pragma once
#include "base/check.h"
#include "runtime/template/chat_template.h"

#include <string>
#include <string_view>

namespace rekindle::test {

inline Result<std::string> render(std::string_view source, const json::object& variables,
                                  const runtime::TemplateLimits& limits) {
    const Result<std::vector<std::byte>> table = runtime::compile_template(source);
    if (!table) {
        return table.error();
    }
    const Result<runtime::ChatTemplate> opened = runtime::ChatTemplate::open(*table);
    REKINDLE_CHECK(opened.ok(), "a compiled table opens");
    return opened->render(variables, limits);
}

// `variables` as JSON text.
inline Result<std::string> render(std::string_view source, std::string_view variables,
                                  const runtime::TemplateLimits& limits) {
    const Result<json::value> parsed = parse_json(variables, JsonLimits{});
    REKINDLE_CHECK(parsed.ok(), "the test's variables are valid JSON");
    return render(source, parsed->as_object(), limits);
}

}  // namespace rekindle::test
