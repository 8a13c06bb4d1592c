#include "daemon/import_model.h"

#include "base/json.h"
#include "base/units.h"
#include "daemon/import_plan.h"
#include "daemon/import_tokenizer.h"
#include "kernels/pack.h"
#include "loader/formats/gguf.h"

#include <boost/json/serialize.hpp>

#include <algorithm>
#include <bit>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

namespace rekindle::daemon {

namespace {

constexpr uint64_t kStepBytes =
    4 * kMiB;  // Packed at a time, so that memory does not grow with rows.

float widen_bf16(uint16_t bits) noexcept {
    return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

// IEEE half to single, exact for every value.
float widen_f16(uint16_t bits) noexcept {
    const uint32_t sign = static_cast<uint32_t>(bits & 0x8000U) << 16;
    const uint32_t exponent = (bits >> 10) & 0x1fU;
    const uint32_t mantissa = bits & 0x3ffU;
    if (exponent == 0) {  // Zero or subnormal: mantissa * 2^-24.
        const float magnitude = static_cast<float>(mantissa) * 0x1p-24F;
        return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(magnitude));
    }
    const uint32_t wide_exponent = exponent == 0x1f ? 0xffU : exponent + (127 - 15);
    return std::bit_cast<float>(sign | (wide_exponent << 23) | (mantissa << 13));
}

// values [columns]
std::vector<float> read_vector(kernels::WeightType type, std::span<const std::byte> bytes) {
    if (type == kernels::WeightType::kF32) {
        std::vector<float> values(bytes.size() / sizeof(float));
        std::memcpy(values.data(), bytes.data(), bytes.size());
        return values;
    }
    std::vector<float> values(bytes.size() / sizeof(uint16_t));
    for (size_t i = 0; i < values.size(); ++i) {
        uint16_t bits = 0;
        std::memcpy(&bits, bytes.data() + i * sizeof(bits), sizeof(bits));
        values[i] = type == kernels::WeightType::kF16 ? widen_f16(bits) : widen_bf16(bits);
    }
    return values;
}

// Everything of a model file but the weights themselves, checked. The plan points into `gguf`.
struct ReadModel {
    std::unique_ptr<const formats::GgufFile> gguf;
    ModelPlan plan;
    std::vector<std::byte> tokenizer;
    std::vector<std::byte> chat_template;  // Empty: the file has none.

    static Result<ReadModel> from(std::span<const std::byte> file) {
        Result<formats::GgufFile> parsed = formats::parse_gguf(file);
        if (!parsed) {
            return parsed.error();
        }
        auto gguf = std::make_unique<const formats::GgufFile>(std::move(parsed).value());
        Result<ModelPlan> plan = plan_model(*gguf);
        if (!plan) {
            return plan.error();
        }
        Result<std::vector<std::byte>> tokenizer = import_tokenizer(*gguf);
        if (!tokenizer) {
            return tokenizer.error();
        }
        Result<std::vector<std::byte>> chat_template = import_chat_template(*gguf);
        if (!chat_template) {
            return chat_template.error();
        }
        return ReadModel{std::move(gguf), std::move(plan).value(), std::move(tokenizer).value(),
                         std::move(chat_template).value()};
    }
};

// Writes the items of one image and counts them.
class Import {
public:
    Import(const formats::GgufFile& file, const ModelPlan& plan, uint64_t file_bytes,
           const ImportProgress& progress)
        : file_(file),
          plan_(plan),
          progress_(progress),
          writer_(plan.hyperparameters, "gguf", file_bytes) {}

    Result<std::string> run(const std::vector<std::byte>& tokenizer,
                            const std::vector<std::byte>& chat_template, snapshot::ChunkSink sink) {
        declare(tokenizer, chat_template);
        if (Result<void> begun = writer_.begin(std::move(sink)); !begun) {
            return begun.error();
        }
        for (const auto* const table : {&tokenizer, &chat_template}) {
            if (table->empty()) {
                continue;
            }
            if (Result<void> written = write_table(*table); !written) {
                return written.error();
            }
        }
        for (const PlannedTensor& tensor : plan_.tensors) {
            Result<void> written = tensor.is_vector() ? write_vector(tensor) : write_matrix(tensor);
            if (!written) {
                return written.error();
            }
        }
        return writer_.finish();
    }

private:
    void declare(const std::vector<std::byte>& tokenizer,
                 const std::vector<std::byte>& chat_template) {
        writer_.declare_table("tokenizer", tokenizer.size());
        if (!chat_template.empty()) {
            writer_.declare_table("template", chat_template.size());
        }
        total_ = tokenizer.size() + chat_template.size();
        for (const PlannedTensor& tensor : plan_.tensors) {
            const auto type = tensor.is_vector() ? kernels::WeightType::kF32 : tensor.type;
            writer_.declare_tensor(tensor.source->name, type, tensor.rows, tensor.columns,
                                   tensor.image_bytes());
            total_ += tensor.image_bytes();
        }
    }

    Result<void> write(std::span<const std::byte> bytes) {
        Result<void> written = writer_.write(bytes);
        done_ += bytes.size();
        if (written && progress_) {
            progress_(done_, total_);
        }
        return written;
    }

    Result<void> write_table(std::span<const std::byte> table) {
        if (Result<void> written = write(table); !written) {
            return written;
        }
        return writer_.end_item();
    }

    Result<void> write_vector(const PlannedTensor& tensor) {
        const std::vector<float> values =
            read_vector(tensor.type, file_.tensor_bytes(*tensor.source));
        return write_table(std::as_bytes(std::span(values)));
    }

    // As many panels at a time as fit into a step; whole panels stand alone in the packed form.
    Result<void> write_matrix(const PlannedTensor& tensor) {
        const std::span<const std::byte> plain = file_.tensor_bytes(*tensor.source);
        const uint64_t row_bytes = kernels::plain_bytes(tensor.type, 1, tensor.columns);
        const uint64_t panel_bytes =
            kernels::packed_bytes(tensor.type, kernels::kPanelRows, tensor.columns);
        const uint64_t rows_step =
            std::max<uint64_t>(1, kStepBytes / panel_bytes) * kernels::kPanelRows;
        for (uint64_t row = 0; row < tensor.rows; row += rows_step) {
            const uint64_t rows = std::min(rows_step, tensor.rows - row);
            const uint64_t bytes = kernels::packed_bytes(tensor.type, rows, tensor.columns);
            packed_.resize(static_cast<size_t>(bytes));
            kernels::pack_weights(tensor.type, rows, tensor.columns, plain.data() + row * row_bytes,
                                  packed_.data());
            if (Result<void> written = write(packed_); !written) {
                return written;
            }
        }
        return writer_.end_item();
    }

    const formats::GgufFile& file_;
    const ModelPlan& plan_;
    const ImportProgress& progress_;
    snapshot::ImageWriter writer_;
    std::vector<std::byte> packed_;
    uint64_t done_ = 0;   // Bytes of items.
    uint64_t total_ = 0;  // Bytes of items.
};

}  // namespace

Result<std::string> plan_gguf(std::span<const std::byte> file) {
    const Result<ReadModel> model = ReadModel::from(file);
    if (!model) {
        return model.error();
    }
    uint64_t bytes = align_up(model->tokenizer.size(), kPageBytes) +
                     align_up(model->chat_template.size(), kPageBytes);
    json::array tensors;
    for (const PlannedTensor& tensor : model->plan.tensors) {
        tensors.emplace_back(tensor.source->name);
        bytes += align_up(tensor.image_bytes(), kPageBytes);
    }
    const snapshot::Hyperparameters& facts = model->plan.hyperparameters;
    const json::object index{{"architecture", facts.architecture},
                             {"bytes", bytes},
                             {"hyperparameters",
                              {{"layers", facts.layers},
                               {"kv_heads", facts.kv_heads},
                               {"head_dim", facts.head_dim},
                               {"context", facts.context}}},
                             {"tensors", std::move(tensors)}};
    return json::serialize(index);
}

Result<std::string> import_gguf(std::span<const std::byte> file, snapshot::ChunkSink sink,
                                const ImportProgress& progress) {
    const Result<ReadModel> model = ReadModel::from(file);
    if (!model) {
        return model.error();
    }
    Import import(*model->gguf, model->plan, file.size(), progress);
    return import.run(model->tokenizer, model->chat_template, std::move(sink));
}

}  // namespace rekindle::daemon
