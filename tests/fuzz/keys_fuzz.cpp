// What strangers send as a key, and keys.json. First byte: which of them.
#include "base/check.h"
#include "daemon/key_file.h"
#include "daemon/key_text.h"

#include <cstddef>
#include <cstdint>
#include <string_view>

using namespace rekindle;          // NOLINT(google-build-using-namespace): fuzz target.
using namespace rekindle::daemon;  // NOLINT(google-build-using-namespace): fuzz target.

namespace {

void try_field(std::string_view text) {
    const auto token = bearer_token(text);
    const auto key = parse_key(token.value_or(text));
    if (key) {
        REKINDLE_CHECK(format_key(*key) == token.value_or(text), "a key has exactly one text");
    }
}

void try_file(std::string_view text) {
    const auto records = parse_key_file(text);
    if (!records) {
        return;
    }
    const std::string again = key_file_text(*records);
    const auto reread = parse_key_file(again);
    REKINDLE_CHECK(reread && key_file_text(*reread) == again, "what is read can be written");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size == 0) {
        return 0;
    }
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    if (text.front() == 'f') {
        try_file(text.substr(1));
    } else {
        try_field(text.substr(1));
    }
    return 0;
}
