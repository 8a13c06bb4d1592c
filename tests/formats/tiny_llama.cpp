#include "tests/formats/tiny_llama.h"

#include "base/check.h"
#include "loader/formats/ggml_types.h"

#include <vector>

namespace rekindle::test {

namespace {

void add_tokenizer(GgufBuilder& builder) {
    std::vector<std::string> tokens;
    for (char letter = 'a'; letter <= 'z'; ++letter) {
        tokens.emplace_back(1, letter);
    }
    tokens.insert(tokens.end(), {"ab", "abc", "<|im_end|>"});
    REKINDLE_CHECK(tokens.size() == kTinyVocabulary, "the tiny vocabulary has its stated size");
    std::vector<int32_t> types(tokens.size(), 1);
    types.back() = 3;
    builder.add_string("tokenizer.ggml.model", "gpt2")
        .add_string("tokenizer.ggml.pre", "smollm")
        .add_strings("tokenizer.ggml.tokens", tokens)
        .add_i32s("tokenizer.ggml.token_type", types)
        .add_strings("tokenizer.ggml.merges", {"a b", "ab c"})
        .add_u32("tokenizer.ggml.eos_token_id", kTinyVocabulary - 1);
}

class Weights {
public:
    Weights(GgufBuilder& builder, const TinyLlama& shape) : builder_(builder), shape_(shape) {}

    void matrix(const std::string& name, uint64_t rows, uint64_t columns) {
        add(name, {columns, rows}, shape_.type);
    }

    void vector(const std::string& name, uint64_t columns) {
        add(name, {columns}, shape_.vector_type);
    }

private:
    void add(const std::string& name, std::vector<uint64_t> dims, uint32_t type) {
        const formats::GgmlType* const traits = formats::find_ggml_type(type);
        REKINDLE_CHECK(traits != nullptr, "the test names a type that exists");
        uint64_t values = 1;
        for (const uint64_t size : dims) {
            values *= size;
        }
        const uint64_t bytes = values / traits->block_columns * traits->block_bytes;
        builder_.add_tensor(name, std::move(dims), type,
                            pattern_bytes(static_cast<size_t>(bytes), ++seed_));
    }

    GgufBuilder& builder_;
    const TinyLlama& shape_;
    uint32_t seed_ = 0;
};

}  // namespace

GgufBuilder tiny_llama(const TinyLlama& shape) {
    GgufBuilder builder;
    builder.add_string("general.architecture", "llama")
        .add_u32("llama.block_count", shape.layers)
        .add_u32("llama.context_length", shape.context)
        .add_u32("llama.embedding_length", shape.embedding)
        .add_u32("llama.feed_forward_length", shape.feed_forward)
        .add_u32("llama.attention.head_count", shape.heads)
        .add_u32("llama.attention.head_count_kv", shape.kv_heads)
        .add_f32("llama.rope.freq_base", 10000)
        .add_f32("llama.attention.layer_norm_rms_epsilon", 1e-5F);
    add_tokenizer(builder);
    if (!shape.chat_template.empty()) {
        builder.add_string("tokenizer.chat_template", shape.chat_template);
    }
    Weights weights(builder, shape);
    const uint64_t query = uint64_t{shape.heads} * shape.head_dim();
    const uint64_t kv = uint64_t{shape.kv_heads} * shape.head_dim();
    // Not in order of use: files are not, either.
    weights.vector("output_norm.weight", shape.embedding);
    if (!shape.tied_output) {
        weights.matrix("output.weight", kTinyVocabulary, shape.embedding);
    }
    for (uint32_t layer = 0; layer < shape.layers; ++layer) {
        const std::string prefix = "blk." + std::to_string(layer) + ".";
        weights.matrix(prefix + "ffn_down.weight", shape.embedding, shape.feed_forward);
        weights.matrix(prefix + "ffn_gate.weight", shape.feed_forward, shape.embedding);
        weights.matrix(prefix + "ffn_up.weight", shape.feed_forward, shape.embedding);
        weights.vector(prefix + "ffn_norm.weight", shape.embedding);
        weights.vector(prefix + "attn_norm.weight", shape.embedding);
        weights.matrix(prefix + "attn_k.weight", kv, shape.embedding);
        weights.matrix(prefix + "attn_output.weight", shape.embedding, query);
        weights.matrix(prefix + "attn_q.weight", query, shape.embedding);
        weights.matrix(prefix + "attn_v.weight", kv, shape.embedding);
    }
    weights.matrix("token_embd.weight", kTinyVocabulary, shape.embedding);
    return builder;
}

}  // namespace rekindle::test
