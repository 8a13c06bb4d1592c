// Any bytes as a GGUF file: parsed, then every view and typed getter that a caller could follow.
#include "loader/formats/gguf.h"

#include <cstddef>
#include <cstdint>
#include <span>

namespace {

using rekindle::formats::GgufFile;

// Touches each byte, so that a sanitizer sees views that leave the file.
uint64_t touch(std::span<const std::byte> bytes) {
    uint64_t sum = 0;
    for (const std::byte value : bytes) {
        sum += std::to_integer<uint64_t>(value);
    }
    return sum;
}

uint64_t walk(const GgufFile& file) {
    uint64_t sum = 0;
    for (const auto& entry : file.entries()) {
        sum += touch(entry.bytes);
        sum += file.find_unsigned(entry.key).ok() ? 1U : 0U;
        sum += file.find_float(entry.key).ok() ? 1U : 0U;
        sum += file.find_bool(entry.key).ok() ? 1U : 0U;
        sum += file.find_string(entry.key).ok() ? 1U : 0U;
        sum += file.find_int32s(entry.key).ok() ? 1U : 0U;
        if (const auto strings = file.find_strings(entry.key)) {
            for (const std::string_view text : **strings) {
                sum += touch(std::as_bytes(std::span(text)));
            }
        }
    }
    for (const auto& tensor : file.tensors()) {
        sum += touch(file.tensor_bytes(tensor));
    }
    return sum;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const auto file = rekindle::formats::parse_gguf(std::as_bytes(std::span(data, size)));
    if (file) {
        [[maybe_unused]] volatile uint64_t sum = walk(*file);
    }
    return 0;
}
