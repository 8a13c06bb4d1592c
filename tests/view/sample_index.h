// A small valid index (docs/formats/image.md) to start from: three chunks, two tables, two tensors.
#pragma once
#include "base/check.h"

#include <string>
#include <string_view>

namespace rekindle::test {

// 12 pages: tokenizer at 0, template at 4096, the matrix at 8192 (32 x 64 Q8_0: 2,176 bytes
// packed), the norm at 12288. Chunks of 2, 6 and 4 pages.
inline std::string sample_index() {
    return R"({
  "rekindle_image": 1, "layout": "r16-v1", "bytes": 49152, "architecture": "llama",
  "source": {"format": "gguf", "bytes": 5},
  "hyperparameters": {
    "layers": 1, "embedding": 64, "feed_forward": 128, "heads": 4, "kv_heads": 2, "head_dim": 16,
    "vocabulary": 32, "context": 8192, "rope_dimensions": 16, "rope_base": 100000.0,
    "rms_epsilon": 1e-5, "tied_output": true
  },
  "tables": {
    "tokenizer": {"offset": 0, "bytes": 1234},
    "template": {"offset": 4096, "bytes": 812}
  },
  "tensors": [
    {"name": "token_embd.weight", "type": "Q8_0", "rows": 32, "columns": 64,
     "offset": 8192, "bytes": 2176},
    {"name": "output_norm.weight", "type": "F32", "rows": 1, "columns": 64,
     "offset": 12288, "bytes": 256}
  ],
  "chunks": [
    {"offset": 0, "bytes": 8192}, {"offset": 8192, "bytes": 24576},
    {"offset": 32768, "bytes": 16384}
  ]
})";
}

// The text with the first `from` replaced.
inline std::string with(std::string text, std::string_view from, std::string_view to) {
    const size_t at = text.find(from);
    REKINDLE_CHECK(at != std::string::npos, "the text to replace stands in the sample");
    return text.replace(at, from.size(), to);
}

}  // namespace rekindle::test
