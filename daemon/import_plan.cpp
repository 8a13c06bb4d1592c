#include "daemon/import_plan.h"

#include "daemon/import_hyperparameters.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <utility>

namespace rekindle::daemon {

namespace {

std::string supported_types() {
    std::string names;
    for (const kernels::WeightType type : kernels::kWeightTypes) {
        names += names.empty() ? "" : ", ";
        names += kernels::weight_type_traits(type).name;
    }
    return names;
}
constexpr uint32_t kVector = 1;  // Rows of a vector.

Result<void> check_file(const formats::GgufFile& file) {
    const auto parts = file.find_unsigned("split.count");
    if (!parts) {
        return parts.error();
    }
    if (parts->value_or(1) > 1) {
        return Error{ErrorCode::kUnsupported,
                     fmt::format("the file is one of {} parts of a split model, which is not "
                                 "supported; merge them with gguf-split",
                                 **parts)};
    }
    const auto architecture = file.find_string("general.architecture");
    if (!architecture) {
        return architecture.error();
    }
    if (!*architecture) {
        return Error{ErrorCode::kCorrupt, "GGUF metadata general.architecture is missing"};
    }
    if (**architecture != "llama") {
        return Error{ErrorCode::kUnsupported,
                     fmt::format("architecture \"{}\" is not supported (supported: llama)",
                                 (*architecture)->substr(0, 64))};
    }
    return {};
}

// Finds each tensor that the model needs, in order of first use; the first failure sticks.
class Planner {
public:
    explicit Planner(const formats::GgufFile& file) : file_(file) {}

    void add(const std::string& name, uint64_t rows, uint64_t columns) {
        if (failure_) {
            return;
        }
        const formats::GgufTensor* const tensor = file_.find_tensor(name);
        if (tensor == nullptr) {
            fail(ErrorCode::kCorrupt, fmt::format("tensor {} is missing", name));
            return;
        }
        if (tensor->dims != std::array<uint64_t, 4>{columns, rows, 1, 1}) {
            fail(ErrorCode::kCorrupt,
                 fmt::format("tensor {} has the shape {}x{}x{}x{}; {}x{} is expected", name,
                             tensor->dims[0], tensor->dims[1], tensor->dims[2], tensor->dims[3],
                             columns, rows));
            return;
        }
        if (!is_supported(*tensor, rows)) {
            fail(ErrorCode::kUnsupported,
                 fmt::format("tensor {} has type {}, which is not supported{} (supported: {})",
                             name, tensor->type->name, rows == kVector ? " for a vector" : "",
                             rows == kVector ? "F32, F16, BF16" : supported_types()));
            return;
        }
        planned_.push_back({tensor, static_cast<kernels::WeightType>(tensor->type->number),
                            static_cast<uint32_t>(rows), static_cast<uint32_t>(columns)});
    }

    // Every tensor of the file must have found its place: one that is not known here would change
    // what the model computes.
    Result<std::vector<PlannedTensor>> finish() {
        if (failure_) {
            return *failure_;
        }
        std::vector<std::string_view> names;
        names.reserve(planned_.size());
        for (const PlannedTensor& tensor : planned_) {
            names.push_back(tensor.source->name);
        }
        std::sort(names.begin(), names.end());
        for (const formats::GgufTensor& tensor : file_.tensors()) {
            if (!std::binary_search(names.begin(), names.end(), tensor.name)) {
                return Error{ErrorCode::kUnsupported,
                             fmt::format("tensor {} is not part of the llama architecture as it is "
                                         "supported here",
                                         tensor.name)};
            }
        }
        return std::move(planned_);
    }

private:
    static bool is_supported(const formats::GgufTensor& tensor, uint64_t rows) {
        const kernels::WeightTypeTraits* const traits =
            kernels::find_weight_type(tensor.type->number);
        return traits != nullptr && (rows != kVector || traits->block_columns == 1);
    }

    void fail(ErrorCode code, std::string message) { failure_ = Error{code, std::move(message)}; }

    const formats::GgufFile& file_;
    std::vector<PlannedTensor> planned_;
    std::optional<Error> failure_;
};

void add_layer(Planner& planner, uint32_t layer, const snapshot::Hyperparameters& h) {
    const auto name = [layer](std::string_view part) {
        return fmt::format("blk.{}.{}.weight", layer, part);
    };
    const uint64_t query_width = uint64_t{h.heads} * h.head_dim;
    const uint64_t kv_width = uint64_t{h.kv_heads} * h.head_dim;
    planner.add(name("attn_norm"), kVector, h.embedding);
    planner.add(name("attn_q"), query_width, h.embedding);
    planner.add(name("attn_k"), kv_width, h.embedding);
    planner.add(name("attn_v"), kv_width, h.embedding);
    planner.add(name("attn_output"), h.embedding, query_width);
    planner.add(name("ffn_norm"), kVector, h.embedding);
    planner.add(name("ffn_gate"), h.feed_forward, h.embedding);
    planner.add(name("ffn_up"), h.feed_forward, h.embedding);
    planner.add(name("ffn_down"), h.embedding, h.feed_forward);
}

}  // namespace

uint64_t PlannedTensor::image_bytes() const noexcept {
    return is_vector() ? uint64_t{columns} * sizeof(float)
                       : kernels::packed_bytes(type, rows, columns);
}

Result<ModelPlan> plan_model(const formats::GgufFile& file) {
    if (Result<void> checked = check_file(file); !checked) {
        return checked.error();
    }
    Result<snapshot::Hyperparameters> hyperparameters = read_llama_hyperparameters(file);
    if (!hyperparameters) {
        return hyperparameters.error();
    }
    ModelPlan plan{std::move(hyperparameters).value(), {}};
    snapshot::Hyperparameters& h = plan.hyperparameters;
    h.tied_output = file.find_tensor("output.weight") == nullptr;

    Planner planner(file);
    planner.add("token_embd.weight", h.vocabulary, h.embedding);
    for (uint32_t layer = 0; layer < h.layers; ++layer) {
        add_layer(planner, layer, h);
    }
    planner.add("output_norm.weight", kVector, h.embedding);
    if (!h.tied_output) {
        planner.add("output.weight", h.vocabulary, h.embedding);
    }
    Result<std::vector<PlannedTensor>> tensors = planner.finish();
    if (!tensors) {
        return tensors.error();
    }
    plan.tensors = std::move(tensors).value();
    return plan;
}

}  // namespace rekindle::daemon
