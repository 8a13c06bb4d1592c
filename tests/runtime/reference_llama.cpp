#include "tests/runtime/reference_llama.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace rekindle::tests {
namespace {

using Vector = std::vector<double>;

struct Matrix {
    uint32_t rows = 0;
    uint32_t columns = 0;
    std::vector<float> values;

    Vector row(uint32_t index) const {
        const auto first = values.begin() + static_cast<ptrdiff_t>(index * columns);
        return {first, first + columns};
    }

    Vector times(const Vector& x) const {
        Vector out(rows);
        for (uint32_t r = 0; r < rows; ++r) {
            for (uint32_t c = 0; c < columns; ++c) {
                out[r] += double{values[r * columns + c]} * x[c];
            }
        }
        return out;
    }
};

class Reference {
public:
    Reference(const snapshot::Hyperparameters& h, const PlainTensors& tensors)
        : h_(h), tensors_(tensors), keys_(h.layers), values_(h.layers) {}

    Vector forward(std::span<const runtime::TokenId> tokens) {
        Vector hidden;
        for (uint32_t position = 0; position < tokens.size(); ++position) {
            hidden = matrix("token_embd").row(static_cast<uint32_t>(tokens[position]));
            for (uint32_t layer = 0; layer < h_.layers; ++layer) {
                block(layer, position, hidden);
            }
        }
        return matrix(h_.tied_output ? "token_embd" : "output").times(norm(hidden, "output_norm"));
    }

private:
    Matrix matrix(const std::string& name) const {
        const PlainTensor& tensor = tensors_.at(name + ".weight");
        Matrix out{tensor.rows, tensor.columns, std::vector<float>(tensor.rows * tensor.columns)};
        std::memcpy(out.values.data(), tensor.bytes.data(), tensor.bytes.size());
        return out;
    }

    Vector norm(const Vector& x, const std::string& name) const {
        double squares = 0;
        for (const double value : x) {
            squares += value * value;
        }
        const double scale =
            1 / std::sqrt(squares / static_cast<double>(x.size()) + h_.rms_epsilon);
        const Vector weight = matrix(name).row(0);
        Vector out(x.size());
        for (size_t i = 0; i < x.size(); ++i) {
            out[i] = x[i] * scale * weight[i];
        }
        return out;
    }

    void rotate(Vector& heads, uint32_t position) const {
        for (size_t head = 0; head < heads.size(); head += h_.head_dim) {
            for (uint32_t i = 0; i < h_.rope_dimensions; i += 2) {
                const double angle =
                    position * std::pow(h_.rope_base, -static_cast<double>(i) / h_.rope_dimensions);
                const double a = heads[head + i];
                const double b = heads[head + i + 1];
                heads[head + i] = a * std::cos(angle) - b * std::sin(angle);
                heads[head + i + 1] = a * std::sin(angle) + b * std::cos(angle);
            }
        }
    }

    Vector attend(uint32_t layer, const Vector& query) const {
        Vector out(query.size());
        for (uint32_t head = 0; head < h_.heads; ++head) {
            const uint32_t kv = head / (h_.heads / h_.kv_heads) * h_.head_dim;
            const uint32_t q = head * h_.head_dim;
            Vector scores;
            for (const Vector& key : keys_[layer]) {
                double dot = 0;
                for (uint32_t i = 0; i < h_.head_dim; ++i) {
                    dot += query[q + i] * key[kv + i];
                }
                scores.push_back(dot / std::sqrt(static_cast<double>(h_.head_dim)));
            }
            const double best = *std::ranges::max_element(scores);
            double sum = 0;
            for (double& score : scores) {
                score = std::exp(score - best);
                sum += score;
            }
            for (size_t p = 0; p < scores.size(); ++p) {
                for (uint32_t i = 0; i < h_.head_dim; ++i) {
                    out[q + i] += scores[p] / sum * values_[layer][p][kv + i];
                }
            }
        }
        return out;
    }

    void block(uint32_t layer, uint32_t position, Vector& hidden) {
        const std::string prefix = "blk." + std::to_string(layer) + ".";
        const Vector normed = norm(hidden, prefix + "attn_norm");
        Vector query = matrix(prefix + "attn_q").times(normed);
        Vector key = matrix(prefix + "attn_k").times(normed);
        rotate(query, position);
        rotate(key, position);
        keys_[layer].push_back(std::move(key));
        values_[layer].push_back(matrix(prefix + "attn_v").times(normed));
        add(hidden, matrix(prefix + "attn_output").times(attend(layer, query)));
        const Vector wide = norm(hidden, prefix + "ffn_norm");
        Vector gate = matrix(prefix + "ffn_gate").times(wide);
        const Vector up = matrix(prefix + "ffn_up").times(wide);
        for (size_t i = 0; i < gate.size(); ++i) {
            gate[i] = gate[i] / (1 + std::exp(-gate[i])) * up[i];
        }
        add(hidden, matrix(prefix + "ffn_down").times(gate));
    }

    static void add(Vector& x, const Vector& y) {
        for (size_t i = 0; i < x.size(); ++i) {
            x[i] += y[i];
        }
    }

    const snapshot::Hyperparameters& h_;
    const PlainTensors& tensors_;
    std::vector<std::vector<Vector>> keys_;  // [layer][position][kv_heads x head_dim]
    std::vector<std::vector<Vector>> values_;
};

}  // namespace

std::vector<double> reference_logits(const snapshot::Hyperparameters& h,
                                     const PlainTensors& tensors,
                                     std::span<const runtime::TokenId> tokens) {
    return Reference(h, tensors).forward(tokens);
}

}  // namespace rekindle::tests
