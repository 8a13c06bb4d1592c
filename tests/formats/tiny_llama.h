// A complete model of the llama architecture as a GGUF file, small enough to make in memory and of
// any shape, for tests of everything that reads model files. Its weights mean nothing.
#pragma once
#include "tests/formats/gguf_builder.h"

#include <cstdint>
#include <string>

namespace rekindle::test {

struct TinyLlama {
    uint32_t type = 0;  // ggml number of the matrices.
    uint32_t vector_type = 0;
    uint32_t layers = 2;
    uint32_t embedding = 64;
    uint32_t feed_forward = 96;
    uint32_t heads = 4;
    uint32_t kv_heads = 2;
    uint32_t context = 128;
    bool tied_output = true;
    std::string chat_template = "{{ messages[0]['content'] }}";  // Empty: none.

    uint32_t head_dim() const noexcept { return embedding / heads; }
};

inline constexpr uint32_t kTinyVocabulary = 29;  // a to z, "ab", "abc" and one control token.

GgufBuilder tiny_llama(const TinyLlama& shape);

}  // namespace rekindle::test
