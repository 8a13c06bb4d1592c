#include "daemon/api/json_text.h"

#include <fmt/format.h>

#include <cmath>
#include <iterator>

namespace rekindle::daemon::api {
namespace {

constexpr float kLogprobMin = -9999.0F;

void append_escaped(std::string& out, char c) {
    switch (c) {
        case '"':
            out += "\\\"";
            return;
        case '\\':
            out += "\\\\";
            return;
        case '\n':
            out += "\\n";
            return;
        case '\r':
            out += "\\r";
            return;
        case '\t':
            out += "\\t";
            return;
        default:
            fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<unsigned>(c));
    }
}

bool needs_escape(char c) noexcept {
    return c == '"' || c == '\\' || static_cast<unsigned char>(c) < 0x20;
}

}  // namespace

void append_json_string(std::string& out, std::string_view text) {
    out += '"';
    size_t plain = 0;  // Begin of what is not yet copied.
    for (size_t i = 0; i < text.size(); ++i) {
        if (needs_escape(text[i])) {
            out.append(text, plain, i - plain);
            append_escaped(out, text[i]);
            plain = i + 1;
        }
    }
    out.append(text, plain, text.size() - plain);
    out += '"';
}

void append_json_logprob(std::string& out, float value) {
    const float finite = std::isfinite(value) ? std::fmax(value, kLogprobMin) : kLogprobMin;
    fmt::format_to(std::back_inserter(out), "{}", finite);
}

}  // namespace rekindle::daemon::api
