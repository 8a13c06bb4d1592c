// A model file's vocabulary and chat template as the flat tables of an image.
#pragma once
#include "base/result.h"
#include "loader/formats/gguf.h"
#include "runtime/tokenizer/tokenizer.h"

#include <cstddef>
#include <vector>

namespace rekindle::daemon {

// GGUF's tokenizer.ggml.* keys, with llama.cpp's defaults where one is absent.
Result<runtime::TokenizerSource> read_tokenizer_source(const formats::GgufFile& file);

// The compiled tokenizer; every failure says that it is about the tokenizer.
Result<std::vector<std::byte>> import_tokenizer(const formats::GgufFile& file);

// The compiled chat template; empty when the file has none.
Result<std::vector<std::byte>> import_chat_template(const formats::GgufFile& file);

}  // namespace rekindle::daemon
