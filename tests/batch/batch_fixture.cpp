#include "tests/batch/batch_fixture.h"

#include "base/random.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace rekindle::tests {
namespace {

snapshot::ImageView open_image(const MemoryImage& image) {
    auto view = image.open();
    REQUIRE(view);
    return std::move(view).value();
}

}  // namespace

BatchFixture::BatchFixture(BatchFixtureOptions options)
    : image(synthetic_hyperparameters({}), synthetic_tensors({})),
      engine(open_image(image), {.kernels = kernel_tables().back(),
                                 .threads = options.threads,
                                 .kv_pages = options.kv_pages,
                                 .step_tokens_max = options.step_tokens_max}),
      pages(options.kv_pages) {}

std::vector<runtime::TokenId> random_prompt(size_t tokens, uint64_t seed) {
    std::vector<runtime::TokenId> prompt(tokens);
    for (size_t i = 0; i < tokens; ++i) {
        prompt[i] = static_cast<runtime::TokenId>(counter_random(seed, 3, i) % 200);
    }
    return prompt;
}

std::vector<scheduler::TokenEvent> run_until_idle(scheduler::Batcher& batcher) {
    std::vector<scheduler::TokenEvent> events;
    while (batcher.runnable()) {
        REQUIRE(batcher.step(events));
    }
    return events;
}

std::vector<runtime::TokenId> tokens_of(const std::vector<scheduler::TokenEvent>& events,
                                        scheduler::SequenceId id) {
    std::vector<runtime::TokenId> tokens;
    for (const scheduler::TokenEvent& event : events) {
        if (event.id == id) {
            tokens.push_back(event.token);
        }
    }
    return tokens;
}

bool same_bits(const scheduler::TokenEvent& a, const scheduler::TokenEvent& b) {
    const auto same = [](const auto& x, const auto& y) {
        return x.token == y.token && std::memcmp(&x.logprob, &y.logprob, sizeof(float)) == 0;
    };
    const auto same_top = [&](const auto& x, const auto& y) {
        return same(x, y) && std::ranges::equal(x.top, y.top, same);
    };
    return a.id == b.id && a.finish == b.finish && same_top(a, b) &&
           std::ranges::equal(a.prompt, b.prompt, same_top);
}

std::vector<runtime::TokenId> run_alone(scheduler::SequenceRequest request) {
    BatchFixture fixture;
    scheduler::Batcher batcher(*fixture.engine, {.speculation = scheduler::SpeculationMode::kOff});
    request.lease = request.tokens_max;
    const auto id = request.id;
    REQUIRE(batcher.submit(std::move(request)));
    return tokens_of(run_until_idle(batcher), id);
}

}  // namespace rekindle::tests
