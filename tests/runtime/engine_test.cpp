#include "runtime/engine.h"

#include "base/random.h"
#include "runtime/kv_pages.h"
#include "tests/runtime/reference_llama.h"
#include "tests/runtime/synthetic_model.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

using namespace rekindle;  // NOLINT(google-build-using-namespace): a test of one library.
using kernels::KvType;
using kernels::WeightType;
using runtime::StepEntry;
using runtime::TokenId;
using tests::EngineFixture;
using tests::MemoryImage;

namespace {

using Row = std::vector<float>;

constexpr WeightType kAllTypes[] = {WeightType::kF32,  WeightType::kF16,  WeightType::kBF16,
                                    WeightType::kQ4_0, WeightType::kQ4_1, WeightType::kQ5_0,
                                    WeightType::kQ5_1, WeightType::kQ8_0, WeightType::kIQ4_NL};

std::vector<TokenId> random_tokens(size_t count, uint64_t seed) {
    std::vector<TokenId> tokens(count);
    for (size_t i = 0; i < count; ++i) {
        tokens[i] = static_cast<TokenId>(counter_random(seed, 2, i) % 200);
    }
    return tokens;
}

MemoryImage make_image(const tests::SyntheticOptions& options) {
    return {tests::synthetic_hyperparameters(options), tests::synthetic_tensors(options)};
}

EngineFixture make_engine(const MemoryImage& image, const kernels::KernelTable& kernels,
                          uint32_t threads, KvType kv_type = KvType::kF16) {
    auto view = image.open();
    REQUIRE(view);
    return {std::move(view).value(), {.kernels = &kernels, .threads = threads, .kv_type = kv_type}};
}

// Logits of every token, computed alone in chunks of `chunk`.
std::vector<Row> run_alone(EngineFixture& engine, const std::vector<TokenId>& tokens,
                           size_t chunk) {
    const auto kv = engine->new_sequence();
    REQUIRE(engine->reserve(*kv, static_cast<uint32_t>(tokens.size())));
    std::vector<Row> rows;
    for (size_t at = 0; at < tokens.size(); at += chunk) {
        const auto piece = std::span(tokens).subspan(at, std::min(chunk, tokens.size() - at));
        const StepEntry entry{.kv = kv.get(), .tokens = piece, .logits_of_all = true};
        std::vector<const float*> logits;
        REQUIRE(engine->step({&entry, 1}, logits));
        REQUIRE(logits.size() == piece.size());
        for (const float* row : logits) {
            rows.emplace_back(row, row + engine->vocabulary());
        }
    }
    return rows;
}

// The same for several sequences together, each advancing by a chunk size of its own.
std::vector<std::vector<Row>> run_together(EngineFixture& engine,
                                           const std::vector<std::vector<TokenId>>& sequences) {
    std::vector<std::unique_ptr<runtime::KvSequence>> kv;
    for (const auto& tokens : sequences) {
        kv.push_back(engine->new_sequence());
        REQUIRE(engine->reserve(*kv.back(), static_cast<uint32_t>(tokens.size())));
    }
    std::vector<std::vector<Row>> rows(sequences.size());
    for (;;) {
        std::vector<StepEntry> entries;
        std::vector<size_t> owners;
        for (size_t i = 0; i < sequences.size(); ++i) {
            const size_t at = kv[i]->length();
            const size_t count = std::min(sequences[i].size() - at, i * 3 + 1);
            if (count > 0) {
                entries.push_back({.kv = kv[i].get(),
                                   .tokens = std::span(sequences[i]).subspan(at, count),
                                   .logits_of_all = true});
                owners.insert(owners.end(), count, i);
            }
        }
        if (entries.empty()) {
            return rows;
        }
        std::vector<const float*> logits;
        REQUIRE(engine->step(entries, logits));
        REQUIRE(logits.size() == owners.size());
        for (size_t r = 0; r < owners.size(); ++r) {
            rows[owners[r]].emplace_back(logits[r], logits[r] + engine->vocabulary());
        }
    }
}

bool same_bits(const std::vector<Row>& a, const std::vector<Row>& b) {
    return std::ranges::equal(a, b, [](const Row& x, const Row& y) {
        return x.size() == y.size() &&
               std::memcmp(x.data(), y.data(), x.size() * sizeof(float)) == 0;
    });
}

}  // namespace

TEST_CASE(
    "logits agree with a plain forward pass in doubles, for both heads and partial rotation") {
    const auto tokens = random_tokens(40, 1);
    // Keys and values have 11 bits, 8, or 8 with a common scale. A wrong position is off by 0.5.
    constexpr std::pair<KvType, double> kAllowed[] = {
        {KvType::kF16, 5e-3}, {KvType::kBF16, 4e-2}, {KvType::kQ8_0, 4e-2}};
    for (const bool tied : {true, false}) {
        for (const uint32_t rope : {32U, 16U}) {
            const tests::SyntheticOptions options{.tied_output = tied, .rope_dimensions = rope};
            const auto expected =
                tests::reference_logits(tests::synthetic_hyperparameters(options),
                                        tests::synthetic_tensors(options), tokens);
            const MemoryImage image = make_image(options);
            for (const auto* kernels : tests::kernel_tables()) {
                for (const auto& [type, allowed] : kAllowed) {
                    EngineFixture engine = make_engine(image, *kernels, 1, type);
                    const Row logits = run_alone(engine, tokens, 16).back();
                    double worst = 0;
                    for (size_t i = 0; i < logits.size(); ++i) {
                        worst = std::max(worst, std::abs(double{logits[i]} - expected[i]));
                    }
                    CAPTURE(kernels->name);
                    CAPTURE(kernels::kv_type_name(type));
                    CHECK(worst < allowed);
                }
            }
        }
    }
}

TEST_CASE("a row's bits depend on neither chunks, threads nor company, for each type and table") {
    const auto tokens = random_tokens(150, 1);
    std::vector<std::vector<TokenId>> company{tokens};
    for (uint64_t i = 1; i < 8; ++i) {
        company.push_back(random_tokens(20 + 15 * i, 100 + i));
    }
    for (const WeightType type : kAllTypes) {
        const MemoryImage image = make_image({.matrices = type});
        for (const auto* kernels : tests::kernel_tables()) {
            CAPTURE(kernels->name);
            CAPTURE(static_cast<int>(type));
            EngineFixture one = make_engine(image, *kernels, 1);
            EngineFixture two = make_engine(image, *kernels, 2);
            const auto expected = run_alone(one, tokens, tokens.size());
            for (const size_t chunk : {1U, 7U, 64U}) {
                CHECK(same_bits(run_alone(one, tokens, chunk), expected));
                CHECK(same_bits(run_alone(two, tokens, chunk), expected));
            }
            const auto together = run_together(two, company);
            for (size_t i = 0; i < company.size(); ++i) {
                CHECK(same_bits(together[i], run_alone(one, company[i], 64)));
            }
        }
    }
}

TEST_CASE("over KV pages of any type a row's bits depend on neither chunks, threads nor company") {
    const auto tokens = random_tokens(150, 1);
    const std::vector<std::vector<TokenId>> company{tokens, random_tokens(70, 5),
                                                    random_tokens(33, 6)};
    const MemoryImage image = make_image({});
    for (const KvType type : kernels::kKvTypes) {
        for (const auto* kernels : tests::kernel_tables()) {
            CAPTURE(kernels->name);
            CAPTURE(kernels::kv_type_name(type));
            EngineFixture one = make_engine(image, *kernels, 1, type);
            EngineFixture two = make_engine(image, *kernels, 2, type);
            const auto expected = run_alone(one, tokens, tokens.size());
            for (const size_t chunk : {1U, 7U, 64U}) {
                CHECK(same_bits(run_alone(one, tokens, chunk), expected));
                CHECK(same_bits(run_alone(two, tokens, chunk), expected));
            }
            const auto together = run_together(two, company);
            for (size_t i = 0; i < company.size(); ++i) {
                CHECK(same_bits(together[i], run_alone(one, company[i], 64)));
            }
        }
    }
}

TEST_CASE("a row computed after cached pages of any type has the bits of one without") {
    const auto tokens = random_tokens(100, 1);
    const MemoryImage image = make_image({});
    for (const KvType type : kernels::kKvTypes) {
        CAPTURE(kernels::kv_type_name(type));
        EngineFixture engine = make_engine(image, *tests::kernel_tables().back(), 1, type);
        const auto expected = run_alone(engine, tokens, tokens.size());
        const runtime::SaltedText text{{1, 2}, tokens};
        std::vector<const float*> logits;
        {
            const auto first = engine->new_sequence();
            REQUIRE(engine->reserve(*first, 100));
            const StepEntry entry{.kv = first.get(), .tokens = tokens};
            REQUIRE(engine->step({&entry, 1}, logits));
            engine->kv_pool().publish(*first, text);
        }
        const auto second = engine->new_sequence();
        REQUIRE(engine->kv_pool().adopt(*second, text) == 96);
        REQUIRE(engine->reserve(*second, 100));
        const StepEntry rest{
            .kv = second.get(), .tokens = std::span(tokens).subspan(96), .logits_of_all = true};
        REQUIRE(engine->step({&rest, 1}, logits));
        for (size_t i = 0; i < 4; ++i) {
            const Row row(logits[i], logits[i] + engine->vocabulary());
            CHECK(same_bits({row}, {expected[96 + i]}));
        }
    }
}

// F16's pages and BF16's are equally large.
TEST_CASE("pages that were kept with another type of numbers are forgotten") {
    constexpr uint32_t kPages = 4;
    const MemoryImage image = make_image({});
    const auto view = image.open();
    REQUIRE(view);
    const uint64_t bytes =
        kPages * runtime::kv_page_bytes(view->layout().hyperparameters, KvType::kF16);
    runtime::AlignedBuffer<std::byte> memory(bytes);
    runtime::AlignedBuffer<std::byte> table(snapshot::KvTable::bytes_for(kPages));
    std::fill_n(table.data(), table.size(), std::byte{0});
    const auto tokens = random_tokens(40, 1);
    const runtime::SaltedText text{{1, 2}, tokens};
    const auto cached_by = [&](KvType type) {
        auto engine = runtime::Engine::create(
            *view, {.kernels = tests::kernel_tables().back(),
                    .kv_type = type,
                    .kv_pages = kPages,
                    .kv_memory = {memory.data(), memory.size()},
                    .kv_table = snapshot::KvTable({table.data(), table.size()})});
        REQUIRE(engine);
        const uint32_t cached = (*engine)->kv_pool().cached_tokens(text);
        const auto kv = (*engine)->new_sequence();
        REQUIRE((*engine)->reserve(*kv, 40));
        const StepEntry entry{.kv = kv.get(), .tokens = tokens};
        std::vector<const float*> logits;
        REQUIRE((*engine)->step({&entry, 1}, logits));
        (*engine)->kv_pool().publish(*kv, text);
        return cached;
    };
    CHECK(cached_by(KvType::kF16) == 0);
    CHECK(cached_by(KvType::kF16) == 32);
    CHECK(cached_by(KvType::kBF16) == 0);
    CHECK(cached_by(KvType::kBF16) == 32);
    CHECK(cached_by(KvType::kF16) == 0);
}

TEST_CASE("KV memory holds as many pages as its type of numbers says, and not one more") {
    const MemoryImage image = make_image({});
    const auto view = image.open();
    REQUIRE(view);
    const auto& facts = view->layout().hyperparameters;
    for (const KvType type : kernels::kKvTypes) {
        const uint64_t page_bytes = runtime::kv_page_bytes(facts, type);
        CHECK(page_bytes == uint64_t{facts.layers} * 2 * facts.kv_heads *
                                kernels::kv_head_bytes(type, facts.head_dim));
        runtime::AlignedBuffer<std::byte> memory(3 * page_bytes);
        runtime::EngineOptions options{.kernels = tests::kernel_tables().front(),
                                       .kv_type = type,
                                       .kv_pages = 3,
                                       .kv_memory = {memory.data(), memory.size()}};
        CHECK(runtime::Engine::create(*view, options));
        options.kv_pages = 4;
        CHECK_FALSE(runtime::Engine::create(*view, options));
        options.kv_pages = 3;
        options.kv_memory = options.kv_memory.first(memory.size() - 1);
        CHECK_FALSE(runtime::Engine::create(*view, options));
    }
}

TEST_CASE("only the rows that were asked for get logits, in entry order") {
    const MemoryImage image = make_image({});
    EngineFixture engine = make_engine(image, *tests::kernel_tables().front(), 1);
    const auto tokens = random_tokens(10, 4);
    const auto all = run_alone(engine, tokens, 10);
    const auto a = engine->new_sequence();
    const auto b = engine->new_sequence();
    const auto c = engine->new_sequence();
    for (auto* kv : {a.get(), b.get(), c.get()}) {
        REQUIRE(engine->reserve(*kv, 10));
    }
    const std::vector<StepEntry> entries{
        {.kv = a.get(), .tokens = tokens},
        {.kv = b.get(), .tokens = std::span(tokens).first(5), .logits_of_last = true},
        {.kv = c.get(), .tokens = std::span(tokens).first(3), .logits_of_all = true}};
    std::vector<const float*> logits;

    REQUIRE(engine->step(entries, logits));

    REQUIRE(logits.size() == 4);
    const size_t expected[] = {4, 0, 1, 2};
    for (size_t i = 0; i < 4; ++i) {
        const Row row(logits[i], logits[i] + engine->vocabulary());
        CHECK(same_bits({row}, {all[expected[i]]}));
    }
}

TEST_CASE("the first use of each part is told once all were used, and never changes") {
    const MemoryImage image = make_image({});
    EngineFixture engine = make_engine(image, *tests::kernel_tables().front(), 1);
    const auto tokens = random_tokens(4, 4);
    const auto kv = engine->new_sequence();
    REQUIRE(engine->reserve(*kv, 4));
    std::vector<const float*> logits;
    StepEntry entry{.kv = kv.get(), .tokens = std::span(tokens).first(2)};
    REQUIRE(engine->step({&entry, 1}, logits));
    CHECK(engine->first_pass().empty());  // Nobody asked for the head.
    entry = {.kv = kv.get(), .tokens = std::span(tokens).subspan(2, 1), .logits_of_last = true};
    REQUIRE(engine->step({&entry, 1}, logits));
    const auto parts = engine->first_pass();
    REQUIRE(parts.size() == 3 + 2);
    Nanoseconds last{};
    for (const runtime::PartTimes& part : parts) {
        CHECK(last <= part.asked);
        CHECK(part.asked <= part.there);
        CHECK(part.there < part.ended);
        CHECK(part.bytes > 0);
        last = part.ended;
    }
    const std::vector<runtime::PartTimes> before(parts.begin(), parts.end());
    entry = {.kv = kv.get(), .tokens = std::span(tokens).subspan(3, 1), .logits_of_last = true};
    REQUIRE(engine->step({&entry, 1}, logits));
    CHECK(engine->first_pass().back().ended == before.back().ended);
    CHECK(engine->first_pass().front().ended == before.front().ended);
}

TEST_CASE("the usable context is the least of the model's, the options' and the pool's") {
    const MemoryImage image = make_image({.context = 300});
    auto view = image.open();
    REQUIRE(view);
    EngineFixture whole(std::move(view).value(), {.kernels = tests::kernel_tables().front()});
    CHECK(whole->context_max() == 300);
    view = image.open();
    REQUIRE(view);
    EngineFixture pool(std::move(view).value(),
                       {.kernels = tests::kernel_tables().front(), .kv_pages = 3});
    CHECK(pool->context_max() == 96);
    CHECK(pool->free_pages() == 3);
}

TEST_CASE("options that cannot work are refused with the reason") {
    const MemoryImage image = make_image({});
    const auto view = image.open();
    REQUIRE(view);
    std::vector<std::byte> memory(1 << 20);
    runtime::EngineOptions options{.kernels = tests::kernel_tables().front(), .kv_pages = 0};
    CHECK(runtime::Engine::create(*view, options).error().code == ErrorCode::kInvalidArgument);
    options.kv_pages = 1;
    CHECK_FALSE(runtime::Engine::create(*view, options));  // No memory for that page.
    options.kv_memory = std::span(memory).subspan(1);
    CHECK_FALSE(runtime::Engine::create(*view, options));  // Not aligned.
    options.kernels = nullptr;
    CHECK_FALSE(runtime::Engine::create(*view, options));
}
