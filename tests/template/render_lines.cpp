// Renders chat templates for tests/golden/template/compare.py: a JSON object a line on standard
// input, {"template": source} to compile one or {"variables": {…}} to render it; for each a line on
// standard output, {"output": text} or {"error": message, "code": name}.
#include "base/json.h"
#include "runtime/template/chat_template.h"

#include <boost/json/serialize.hpp>

#include <iostream>
#include <optional>
#include <string>
#include <vector>

namespace {

using namespace rekindle;  // NOLINT(google-build-using-namespace): a program of its own.

constexpr int64_t kGoldenTime = 1'721'984'703;  // As in make_templates.py.

json::object error_of(const Error& error) {
    return {{"error", error.message}, {"code", error_code_name(error.code)}};
}

class Renderer {
public:
    json::object answer(const json::object& line) {
        if (const json::value* source = line.if_contains("template")) {
            return compile(source->as_string());
        }
        if (!template_) {
            return error_of({ErrorCode::kInvalidArgument, "there is no template"});
        }
        runtime::TemplateLimits limits;
        limits.now_unix_s = kGoldenTime;
        const auto text = template_->render(line.at("variables").as_object(), limits);
        return text ? json::object{{"output", *text}} : error_of(text.error());
    }

private:
    json::object compile(std::string_view source) {
        template_.reset();
        auto table = runtime::compile_template(source);
        if (!table) {
            return error_of(table.error());
        }
        table_ = std::move(table).value();
        auto opened = runtime::ChatTemplate::open(table_);
        if (!opened) {
            return error_of(opened.error());
        }
        template_.emplace(std::move(opened).value());
        return {{"output", ""}};
    }

    std::vector<std::byte> table_;
    std::optional<runtime::ChatTemplate> template_;
};

}  // namespace

int main() {
    Renderer renderer;
    for (std::string line; std::getline(std::cin, line);) {
        const auto parsed = parse_json(line, JsonLimits{});
        if (!parsed || !parsed->is_object()) {
            return 1;
        }
        std::cout << json::serialize(renderer.answer(parsed->get_object())) << std::endl;
    }
    return 0;
}
