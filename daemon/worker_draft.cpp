#include "daemon/worker_draft.h"

#include "kernels/kernel_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <sys/mman.h>
#include <utility>

namespace rekindle::daemon {
namespace {

constexpr size_t kFixedDescriptors = 2;  // Latches and KV memory; then extents in order.

Result<std::span<const std::byte>> tokenizer_table(const snapshot::ImageView& image) {
    const snapshot::TableEntry& table = image.layout().tokenizer;
    return image.wait(table.offset, table.bytes);
}

// Most pairs were made with one tokenizer: their tables are the same bytes.
Result<void> check_vocabulary(const snapshot::ImageView& model, const snapshot::ImageView& draft) {
    const auto of_model = tokenizer_table(model);
    const auto of_draft = tokenizer_table(draft);
    if (!of_model || !of_draft) {
        return of_model ? of_draft.error() : of_model.error();
    }
    if (std::ranges::equal(*of_model, *of_draft)) {
        return {};
    }
    const auto first = runtime::Tokenizer::open(*of_model);
    const auto second = runtime::Tokenizer::open(*of_draft);
    if (!first || !second) {
        return first ? second.error() : first.error();
    }
    return check_same_tokens(*first, *second);
}

Result<std::unique_ptr<WorkerDraft>> open_files(const AssignDraftFrame& assign,
                                                std::vector<UniqueFd> descriptors) {
    if (descriptors.size() != kFixedDescriptors + assign.extent_bytes.size()) {
        return Error{ErrorCode::kCorrupt,
                     fmt::format("assign draft: {} descriptors for {} extents", descriptors.size(),
                                 assign.extent_bytes.size())};
    }
    auto kv_memory = Mapping::read_write(descriptors[1].get(), assign.kv_bytes);
    if (!kv_memory) {
        return std::move(kv_memory).error().with_context("KV memory of the draft model");
    }
    ::madvise(kv_memory->data(), kv_memory->bytes(), MADV_HUGEPAGE);
    std::vector<snapshot::ExtentFile> extents;
    for (size_t i = 0; i < assign.extent_bytes.size(); ++i) {
        extents.push_back({std::move(descriptors[kFixedDescriptors + i]), assign.extent_bytes[i]});
    }
    auto image =
        snapshot::ImageView::open(assign.index_json, std::move(extents), std::move(descriptors[0]));
    if (!image) {
        return image.error();
    }
    return std::make_unique<WorkerDraft>(
        WorkerDraft{.image = std::move(image).value(), .kv_memory = std::move(kv_memory).value()});
}

}  // namespace

Result<void> check_same_tokens(const runtime::Tokenizer& model, const runtime::Tokenizer& draft) {
    if (model.size() != draft.size()) {
        return Error{ErrorCode::kInvalidArgument,
                     fmt::format("the draft's vocabulary has {} tokens, the model's {}",
                                 draft.size(), model.size())};
    }
    for (uint32_t token = 0; token < model.size(); ++token) {
        const auto id = static_cast<runtime::TokenId>(token);
        if (model.bytes_of(id) != draft.bytes_of(id) ||
            model.is_control(id) != draft.is_control(id)) {
            return Error{ErrorCode::kInvalidArgument,
                         fmt::format("token {} is another one in the draft's vocabulary than in "
                                     "the model's",
                                     id)};
        }
    }
    return {};
}

Result<std::unique_ptr<WorkerDraft>> WorkerDraft::open(const AssignDraftFrame& assign,
                                                       std::vector<UniqueFd> descriptors,
                                                       const WorkerModel& model,
                                                       const MakeEngine& make_engine) {
    auto draft = open_files(assign, std::move(descriptors));
    if (!draft) {
        return draft;
    }
    const auto same = check_vocabulary(model.image, (*draft)->image);
    if (!same) {
        return same.error();
    }
    Mapping& memory = (*draft)->kv_memory;
    const snapshot::Hyperparameters& facts = (*draft)->image.layout().hyperparameters;
    const uint64_t page_bytes = runtime::kv_page_bytes(facts, model.kv_type);
    auto engine = make_engine(
        (*draft)->image,
        runtime::EngineOptions{.threads = model.threads,
                               .pool = model.engine->threads(),
                               .kv_type = model.kv_type,
                               .kv_pages = static_cast<uint32_t>(memory.bytes() / page_bytes),
                               .kv_memory = memory.span()});
    if (!engine) {
        return engine.error();
    }
    if ((*engine)->vocabulary() != model.engine->vocabulary()) {
        return Error{ErrorCode::kInvalidArgument,
                     fmt::format("the draft computes {} logits, the model {}",
                                 (*engine)->vocabulary(), model.engine->vocabulary())};
    }
    (*draft)->engine = std::move(engine).value();
    return draft;
}

}  // namespace rekindle::daemon
