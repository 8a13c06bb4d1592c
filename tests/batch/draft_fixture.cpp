#include "tests/batch/draft_fixture.h"

#include <doctest/doctest.h>

#include <utility>

namespace rekindle::tests {
namespace {

PlainTensors draft_tensors(Likeness likeness) {
    const PlainTensors others = synthetic_tensors({.seed = 2});
    if (likeness == Likeness::kNone) {
        return others;
    }
    PlainTensors tensors = synthetic_tensors({});
    if (likeness == Likeness::kClose) {
        tensors["blk.2.ffn_down.weight"] = others.at("blk.2.ffn_down.weight");
    }
    return tensors;
}

snapshot::ImageView view_of(const MemoryImage& image) {
    auto view = image.open();
    REQUIRE(view);
    return std::move(view).value();
}

}  // namespace

Result<void> TimedEngine::step(std::span<const runtime::StepEntry> entries,
                               std::vector<const float*>& logits) {
    uint32_t rows = 0;
    for (const runtime::StepEntry& entry : entries) {
        rows += static_cast<uint32_t>(entry.tokens.size());
    }
    clock_.advance(time_(rows));
    spent += time_(rows);
    auto stepped = inner_.step(entries, logits);
    if (stepped && contrary) {
        rows_.clear();
        for (const float*& row : logits) {
            rows_.emplace_back(row, row + vocabulary());
            for (float& logit : rows_.back()) {
                logit = -logit;
            }
        }
        for (size_t i = 0; i < logits.size(); ++i) {
            logits[i] = rows_[i].data();
        }
    }
    return stepped;
}

DraftFixture::DraftFixture(DraftFixtureOptions options)
    : model({.kv_pages = options.kv_pages}),
      draft_image(synthetic_hyperparameters({}), draft_tensors(options.likeness)),
      draft_engine(view_of(draft_image),
                   {.kernels = kernel_tables().back(), .kv_pages = options.draft_pages}),
      engine(*model.engine, clock, std::move(options.time)),
      draft(*draft_engine, clock, std::move(options.draft_time)),
      draft_pages(options.draft_pages) {}

std::unique_ptr<scheduler::Batcher> DraftFixture::batcher(scheduler::SpeculationMode mode) {
    auto batcher = std::make_unique<scheduler::Batcher>(
        engine, scheduler::BatcherLimits{.speculation = mode, .clock = &clock});
    REQUIRE(batcher->attach_draft(draft));
    return batcher;
}

}  // namespace rekindle::tests
