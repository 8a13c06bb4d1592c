#include "tests/sim/engine.h"

#include "base/check.h"
#include "kernels/kernel_table.h"
#include "runtime/kv_pages.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <vector>

namespace rekindle::sim {
namespace {

using runtime::KvSequence;
using runtime::TokenId;

constexpr uint32_t kStepTokensMax = 48;
constexpr float kChosen = 100;  // Certain at any temperature.

class HashEngine final : public runtime::Engine {
public:
    HashEngine(const snapshot::ImageView& image, const runtime::EngineOptions& options, TokenId end)
        : image_(image),
          context_max_(std::min(options.context_max == 0 ? kContext : options.context_max,
                                std::min(kContext, options.kv_pages * kernels::kPageTokens))),
          vocabulary_(image.layout().hyperparameters.vocabulary),
          end_(end),
          pool_(options.kv_memory, options.kv_pages, kKvPageBytes) {}

    std::unique_ptr<KvSequence> new_sequence() override {
        return std::make_unique<KvSequence>(pool_);
    }

    Result<void> reserve(KvSequence& sequence, uint32_t positions) override {
        return pool_.extend(sequence, positions);
    }

    uint32_t free_pages() const noexcept override { return pool_.free_pages(); }
    runtime::KvPool& kv_pool() noexcept override { return pool_; }
    uint32_t context_max() const noexcept override { return context_max_; }
    uint32_t vocabulary() const noexcept override { return vocabulary_; }
    uint32_t step_tokens_max() const noexcept override { return kStepTokensMax; }
    void set_profile(runtime::OpProfile* /*profile*/) override {}

    Nanoseconds waited() const noexcept override { return {}; }
    void set_threads(uint32_t /*threads*/) override {}
    runtime::ThreadPool* threads() noexcept override { return nullptr; }

    Result<void> step(std::span<const runtime::StepEntry> entries,
                      std::vector<const float*>& logits) override {
        if (!salt_) {
            const auto& tensors = image_.layout().tensors;
            for (const snapshot::TensorEntry& tensor : tensors) {
                if (const auto bytes = image_.wait(tensor.offset, tensor.bytes); !bytes) {
                    return bytes.error();
                }
            }
            salt_ = salt_of(image_);
        }
        rows_.clear();
        for (const runtime::StepEntry& entry : entries) {
            compute(entry);
        }
        logits.clear();
        for (const std::vector<float>& row : rows_) {
            logits.push_back(row.data());
        }
        return {};
    }

private:
    static std::byte* slot(const KvSequence& sequence, uint32_t position) {
        std::byte* const page = sequence.pages()[position / kernels::kPageTokens];
        return page + (position % kernels::kPageTokens) * sizeof(uint64_t);
    }

    void compute(const runtime::StepEntry& entry) {
        uint32_t position = entry.kv->length();
        for (const TokenId& token : entry.tokens) {
            uint64_t state = *salt_;
            if (position > 0) {
                std::memcpy(&state, slot(*entry.kv, position - 1), sizeof(state));
            }
            state = next_state(state, token);
            std::memcpy(slot(*entry.kv, position), &state, sizeof(state));
            ++position;
            const bool last = &token == &entry.tokens.back();
            if (entry.logits_of_all || (last && entry.logits_of_last)) {
                std::vector<float>& row = rows_.emplace_back(vocabulary_, 0.0F);
                row[static_cast<size_t>(token_after(state, end_))] = kChosen;
            }
        }
        entry.kv->advance(static_cast<uint32_t>(entry.tokens.size()));
    }

    const snapshot::ImageView& image_;
    const uint32_t context_max_;
    const uint32_t vocabulary_;
    const TokenId end_;
    runtime::KvPool pool_;
    std::optional<uint64_t> salt_;
    std::vector<std::vector<float>> rows_;
};

}  // namespace

std::unique_ptr<runtime::Engine> make_engine(const snapshot::ImageView& image,
                                             const runtime::EngineOptions& options, TokenId end) {
    return std::make_unique<HashEngine>(image, options, end);
}

bool weights_decided(const snapshot::ImageView& image) {
    // ready() says of one range whether waiting would block; a failed latch ends the wait at once.
    for (const snapshot::TensorEntry& tensor : image.layout().tensors) {
        if (!image.ready(tensor.offset, tensor.bytes)) {
            return false;
        }
    }
    return true;
}

}  // namespace rekindle::sim
