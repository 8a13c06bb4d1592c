#include "runtime/engine.h"

#include "base/check.h"
#include "runtime/compute.h"
#include "runtime/kv_pages.h"
#include "runtime/model_config.h"
#include "runtime/models/llama.h"
#include "runtime/step_rows.h"
#include "runtime/weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace rekindle::runtime {
namespace {

constexpr uint32_t kThreadsMax = 1024;
constexpr uint32_t kKvAlignment = 64;

class LazyEngine final : public Engine {
public:
    LazyEngine(const ModelConfig& config, Weights weights, const EngineOptions& options)
        : context_max_(usable_context(config.base, options)),
          vocabulary_(config.base.vocabulary),
          step_tokens_max_(options.step_tokens_max),
          pool_(options.kv_memory, options.kv_pages, kv_page_bytes(config.base, options.kv_type),
                options.kv_table),
          own_pool_(options.pool == nullptr ? std::make_unique<ThreadPool>(options.threads)
                                            : nullptr),
          compute_(*options.kernels, threads_of(options)),
          model_(config, std::move(weights), compute_,
                 {.rows_max = options.step_tokens_max, .kv_type = options.kv_type}) {}

    std::unique_ptr<KvSequence> new_sequence() override {
        return std::make_unique<KvSequence>(pool_);
    }

    Result<void> reserve(KvSequence& sequence, uint32_t positions) override {
        return pool_.extend(sequence, positions);
    }

    uint32_t free_pages() const noexcept override { return pool_.free_pages(); }

    KvPool& kv_pool() noexcept override { return pool_; }

    uint32_t context_max() const noexcept override { return context_max_; }

    uint32_t vocabulary() const noexcept override { return vocabulary_; }

    uint32_t step_tokens_max() const noexcept override { return step_tokens_max_; }

    void set_threads(uint32_t threads) override { compute_.set_threads(threads); }

    ThreadPool* threads() noexcept override { return &compute_.threads(); }

    void set_profile(OpProfile* profile) override { compute_.set_profile(profile); }

    Nanoseconds waited() const noexcept override { return model_.weights().waited(); }

    std::span<const PartTimes> first_pass() const noexcept override {
        return model_.weights().first_pass();
    }

    Result<void> step(std::span<const StepEntry> entries,
                      std::vector<const float*>& logits) override;

private:
    static uint32_t usable_context(const snapshot::Hyperparameters& h,
                                   const EngineOptions& options) noexcept {
        const uint64_t pool_positions = uint64_t{options.kv_pages} * kernels::kPageTokens;
        const uint32_t asked = options.context_max == 0 ? h.context : options.context_max;
        return static_cast<uint32_t>(std::min<uint64_t>({asked, h.context, pool_positions}));
    }

    ThreadPool& threads_of(const EngineOptions& options) const noexcept {
        return options.pool == nullptr ? *own_pool_ : *options.pool;
    }

    void append_rows(const StepEntry& entry);

    const uint32_t context_max_;
    const uint32_t vocabulary_;
    const uint32_t step_tokens_max_;
    KvPool pool_;
    const std::unique_ptr<ThreadPool> own_pool_;
    Compute compute_;
    Llama model_;
    StepRows rows_;
};

void LazyEngine::append_rows(const StepEntry& entry) {
    REKINDLE_CHECK(entry.kv != nullptr && !entry.tokens.empty(), "an entry appends tokens");
    const uint64_t end = uint64_t{entry.kv->length()} + entry.tokens.size();
    REKINDLE_CHECK(end <= entry.kv->capacity(), "pages are reserved before a step");
    REKINDLE_CHECK(rows_.count() + entry.tokens.size() <= step_tokens_max_,
                   "a step stays within step_tokens_max");
    uint32_t position = entry.kv->length();
    for (const TokenId token : entry.tokens) {
        REKINDLE_CHECK(token >= 0 && static_cast<uint32_t>(token) < vocabulary_,
                       "tokens are checked when a sequence is submitted");
        rows_.tokens.push_back(token);
        rows_.positions.push_back(position++);
        rows_.sequences.push_back(entry.kv);
        if (entry.logits_of_all) {
            rows_.logit_rows.push_back(rows_.count() - 1);
        }
    }
    if (entry.logits_of_last && !entry.logits_of_all) {
        rows_.logit_rows.push_back(rows_.count() - 1);
    }
}

Result<void> LazyEngine::step(std::span<const StepEntry> entries,
                              std::vector<const float*>& logits) {
    logits.clear();
    rows_.clear();
    for (const StepEntry& entry : entries) {
        append_rows(entry);
    }
    if (rows_.count() == 0) {
        return {};
    }
    compute_.begin_step();
    auto computed = model_.forward(rows_, logits);
    compute_.end_step();
    if (!computed) {
        return computed;
    }
    for (const StepEntry& entry : entries) {
        entry.kv->advance(static_cast<uint32_t>(entry.tokens.size()));
    }
    return {};
}

Result<void> check_options(const EngineOptions& options, uint64_t page_bytes) {
    const auto invalid = [](std::string message) {
        return Error{ErrorCode::kInvalidArgument, "engine: " + std::move(message)};
    };
    if (options.kernels == nullptr) {
        return invalid("no kernel table was chosen");
    }
    if (options.threads == 0 || options.threads > kThreadsMax || options.step_tokens_max == 0) {
        return invalid(fmt::format("{} threads (1 to {}) or {} tokens in a step cannot work",
                                   options.threads, kThreadsMax, options.step_tokens_max));
    }
    if (options.kv_pages == 0 || options.kv_memory.size() / page_bytes < options.kv_pages) {
        return invalid(
            fmt::format("{} bytes of KV memory do not hold {} pages of {} bytes; at "
                        "least one page is needed",
                        options.kv_memory.size(), options.kv_pages, page_bytes));
    }
    if (reinterpret_cast<uintptr_t>(options.kv_memory.data()) % kKvAlignment != 0) {
        return invalid(fmt::format("KV memory is not aligned to {} bytes", kKvAlignment));
    }
    return {};
}

snapshot::KvTableKey kv_table_key(const EngineOptions& options, uint64_t page_bytes) {
    Sha256 digest;
    digest.update(options.kv_owner);
    digest.update(as_bytes(options.kernels->name));
    digest.update(as_bytes(kernels::kv_type_name(options.kv_type)));
    return {.digest = digest.finish(), .page_bytes = page_bytes, .pages = options.kv_pages};
}

}  // namespace

Result<std::unique_ptr<Engine>> Engine::create(const snapshot::ImageView& image,
                                               EngineOptions options) {
    const auto config = ModelConfig::from(image.layout().hyperparameters);
    if (!config) {
        return config.error();
    }
    const auto checked = check_options(options, kv_page_bytes(config->base, options.kv_type));
    if (!checked) {
        return checked.error();
    }
    options.kv_table.open(kv_table_key(options, kv_page_bytes(config->base, options.kv_type)));
    auto weights = Weights::bind(image, *config);
    if (!weights) {
        return weights.error();
    }
    return std::unique_ptr<Engine>(
        std::make_unique<LazyEngine>(*config, std::move(weights).value(), options));
}

}  // namespace rekindle::runtime
