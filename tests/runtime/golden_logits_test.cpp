// The real model against a float32 reference with exactly dequantised weights
// (tests/golden/make_logits.py). Runs when REKINDLE_TEST_MODEL names the model file.
#include "base/hash.h"
#include "base/json.h"
#include "base/unique_fd.h"
#include "daemon/import_model.h"
#include "runtime/kv_pages.h"
#include "runtime/sampler.h"
#include "tests/runtime/synthetic_model.h"

#include <boost/json/array.hpp>
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <iterator>
#include <optional>
#include <vector>

using namespace rekindle;  // NOLINT(google-build-using-namespace): a test of one library.
using runtime::LogprobEntry;
using runtime::StepEntry;
using runtime::TokenId;

namespace {

// What inputs rounded to 8 bits and an F16 cache may cost; docs/benchmarks.md has llama.cpp's
// figure on the same prompts.
constexpr double kMeanDifferenceMax = 0.1;

constexpr uint32_t kTop = 10;

using TopTokens = std::vector<LogprobEntry>;

struct GoldenPrompt {
    std::string name;
    std::vector<TokenId> tokens;
    TopTokens top;                      // After the prompt.
    std::vector<TokenId> forced;        // The reference's own answer.
    std::vector<TopTokens> forced_top;  // After each token of it.

    std::vector<TokenId> all() const {
        std::vector<TokenId> out = tokens;
        out.insert(out.end(), forced.begin(), forced.end());
        return out;
    }
};

struct Golden {
    std::string model_sha256;
    std::vector<GoldenPrompt> prompts;
};

std::vector<TokenId> to_tokens(const json::value& value) {
    std::vector<TokenId> tokens;
    for (const json::value& token : value.as_array()) {
        tokens.push_back(token.to_number<TokenId>());
    }
    return tokens;
}

TopTokens to_top(const json::value& value) {
    TopTokens top;
    for (const json::value& pair : value.as_array()) {
        top.push_back({pair.at(0).to_number<TokenId>(), pair.at(1).to_number<float>()});
    }
    return top;
}

Golden load_golden() {
    std::ifstream file(REKINDLE_TEST_DATA "/golden/logits/smollm2-135m-instruct-q4_1.json");
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    const auto parsed = parse_json(text, {});
    REQUIRE(parsed);
    Golden golden;
    golden.model_sha256 = parsed->at("model_sha256").as_string().c_str();
    for (const json::value& value : parsed->at("prompts").as_array()) {
        GoldenPrompt prompt;
        prompt.name = value.at("name").as_string().c_str();
        prompt.tokens = to_tokens(value.at("tokens"));
        prompt.top = to_top(value.at("top"));
        prompt.forced = to_tokens(value.at("forced"));
        for (const json::value& top : value.at("forced_top").as_array()) {
            prompt.forced_top.push_back(to_top(top));
        }
        golden.prompts.push_back(std::move(prompt));
    }
    REQUIRE(golden.prompts.size() >= 10);
    return golden;
}

tests::MemoryImage import_model(const char* path, const std::string& sha256_expected) {
    const UniqueFd fd(::open(path, O_RDONLY | O_CLOEXEC));
    REQUIRE_MESSAGE(fd.valid(), "REKINDLE_TEST_MODEL cannot be opened");
    const auto bytes = file_bytes(fd.get());
    REQUIRE(bytes);
    const auto mapping = Mapping::read_only(fd.get(), *bytes);
    REQUIRE(mapping);
    REQUIRE_MESSAGE(to_hex(sha256(mapping->span())) == sha256_expected,
                    "REKINDLE_TEST_MODEL is not the file that the golden data were made from");
    std::vector<std::byte> space;
    const auto index = daemon::import_gguf(
        mapping->span(),
        [&](uint64_t, std::span<const std::byte> plain, bool) {
            space.insert(space.end(), plain.begin(), plain.end());
            return Result<void>();
        },
        [](uint64_t, uint64_t) {});
    REQUIRE_MESSAGE(index.ok(), (index.ok() ? "" : index.error().message));
    return {*index, space};
}

// Mean absolute difference of log-probabilities, over the reference's top tokens.
class Difference {
public:
    void add(std::span<const float> logits, const TopTokens& expected) {
        TopTokens unused;
        for (const LogprobEntry& entry : expected) {
            const float logprob = runtime::Sampler().top_logprobs(logits, entry.token, 0, unused);
            sum_ += std::abs(double{logprob} - double{entry.logprob});
            ++count_;
        }
    }

    double mean() const { return sum_ / static_cast<double>(count_); }

private:
    double sum_ = 0;
    size_t count_ = 0;
};

// The model, imported once for all tests, and engines over it.
class GoldenFixture {
public:
    static const GoldenFixture* get() {
        static const char* const path = std::getenv("REKINDLE_TEST_MODEL");
        if (path == nullptr) {
            MESSAGE("skipped: REKINDLE_TEST_MODEL is not set");
            return nullptr;
        }
        static const GoldenFixture fixture(path);
        return &fixture;
    }

    const std::vector<GoldenPrompt>& prompts() const { return golden_.prompts; }

    tests::EngineFixture engine(uint32_t threads,
                                kernels::KvType kv_type = kernels::KvType::kF16) const {
        auto view = image_.open();
        REQUIRE(view);
        const auto* kernels = kernels::select_kernel_table();
        REQUIRE(kernels != nullptr);
        return {std::move(view).value(),
                {.kernels = kernels, .threads = threads, .kv_type = kv_type, .kv_pages = 64}};
    }

private:
    explicit GoldenFixture(const char* path)
        : golden_(load_golden()), image_(import_model(path, golden_.model_sha256)) {}

    Golden golden_;
    tests::MemoryImage image_;
};

// One sequence that is fed tokens and gives the logits of the last ones.
class Feed {
public:
    Feed(tests::EngineFixture& engine, const GoldenPrompt& prompt)
        : engine_(engine), kv_(engine->new_sequence()) {
        REQUIRE(engine_->reserve(*kv_, static_cast<uint32_t>(prompt.all().size())));
    }

    StepEntry entry(std::span<const TokenId> tokens) const {
        return {.kv = kv_.get(), .tokens = tokens, .logits_of_last = true};
    }

    // In chunks; calls row(position, logits) for every token.
    template <typename Row>
    void prefill(std::span<const TokenId> tokens, size_t chunk, const Row& row) {
        for (size_t at = 0; at < tokens.size(); at += chunk) {
            const auto piece = tokens.subspan(at, std::min(chunk, tokens.size() - at));
            const StepEntry entry{.kv = kv_.get(), .tokens = piece, .logits_of_all = true};
            std::vector<const float*> logits;
            REQUIRE(engine_->step({&entry, 1}, logits));
            for (size_t i = 0; i < logits.size(); ++i) {
                row(at + i, std::span(logits[i], engine_->vocabulary()));
            }
        }
    }

    std::vector<float> last_of(std::span<const TokenId> tokens) {
        const StepEntry step = entry(tokens);
        std::vector<const float*> logits;
        REQUIRE(engine_->step({&step, 1}, logits));
        return {logits[0], logits[0] + engine_->vocabulary()};
    }

private:
    tests::EngineFixture& engine_;
    std::unique_ptr<runtime::KvSequence> kv_;
};

// Eight answers decoded in one batch.
Difference batch_difference(const GoldenFixture& fixture, tests::EngineFixture& engine) {
    constexpr size_t kBatch = 8;
    std::vector<Feed> feeds;
    for (size_t i = 0; i < kBatch; ++i) {
        feeds.emplace_back(engine, fixture.prompts()[i]);
    }
    Difference difference;
    for (size_t at = 0; at <= fixture.prompts()[0].forced.size(); ++at) {
        std::vector<StepEntry> entries;
        for (size_t i = 0; i < kBatch; ++i) {
            const GoldenPrompt& prompt = fixture.prompts()[i];
            entries.push_back(feeds[i].entry(
                at == 0 ? std::span(prompt.tokens) : std::span(prompt.forced).subspan(at - 1, 1)));
        }
        std::vector<const float*> logits;
        REQUIRE(engine->step(entries, logits));
        for (size_t i = 0; i < kBatch; ++i) {
            const GoldenPrompt& prompt = fixture.prompts()[i];
            difference.add(std::span(logits[i], engine->vocabulary()),
                           at == 0 ? prompt.top : prompt.forced_top[at - 1]);
        }
    }
    return difference;
}

}  // namespace

TEST_CASE("the next token of ten prompts has the reference's log-probabilities") {
    const GoldenFixture* fixture = GoldenFixture::get();
    if (fixture == nullptr) {
        return;
    }
    auto engine = fixture->engine(2);
    Difference difference;
    for (const GoldenPrompt& prompt : fixture->prompts()) {
        REQUIRE(prompt.top.size() == kTop);
        Feed feed(engine, prompt);
        difference.add(feed.last_of(prompt.tokens), prompt.top);
    }
    MESSAGE("mean difference over ten prompts: " << difference.mean());
    CHECK(difference.mean() <= kMeanDifferenceMax);
}

TEST_CASE("64 teacher-forced tokens decode with the reference's log-probabilities") {
    const GoldenFixture* fixture = GoldenFixture::get();
    if (fixture == nullptr) {
        return;
    }
    auto engine = fixture->engine(2);
    const GoldenPrompt& prompt = fixture->prompts()[7];
    REQUIRE(prompt.forced.size() == 64);
    Feed feed(engine, prompt);
    Difference difference;
    difference.add(feed.last_of(prompt.tokens), prompt.top);
    for (size_t i = 0; i < prompt.forced.size(); ++i) {
        difference.add(feed.last_of(std::span(prompt.forced).subspan(i, 1)), prompt.forced_top[i]);
    }
    MESSAGE("mean difference through decode: " << difference.mean());
    CHECK(difference.mean() <= kMeanDifferenceMax);
}

TEST_CASE("eight answers decoded in one batch have the reference's log-probabilities") {
    const GoldenFixture* fixture = GoldenFixture::get();
    if (fixture == nullptr) {
        return;
    }
    for (const kernels::KvType type : kernels::kKvTypes) {
        auto engine = fixture->engine(2, type);
        const Difference difference = batch_difference(*fixture, engine);
        MESSAGE("mean difference in a batch of 8, KV cache " << kernels::kv_type_name(type) << ": "
                                                             << difference.mean());
        CHECK(difference.mean() <= kMeanDifferenceMax);
    }
}

TEST_CASE("prefill in chunks of 1, 7 and 64 has the reference's log-probabilities and equal bits") {
    const GoldenFixture* fixture = GoldenFixture::get();
    if (fixture == nullptr) {
        return;
    }
    auto engine = fixture->engine(2);
    const GoldenPrompt& prompt = fixture->prompts()[1];
    const std::vector<TokenId> tokens = prompt.all();
    std::vector<std::vector<float>> expected(tokens.size());
    for (const size_t chunk : {64U, 7U, 1U}) {
        Feed feed(engine, prompt);
        Difference difference;
        feed.prefill(tokens, chunk, [&](size_t position, std::span<const float> logits) {
            const size_t prompt_last = prompt.tokens.size() - 1;
            if (position >= prompt_last) {
                difference.add(logits, position == prompt_last
                                           ? prompt.top
                                           : prompt.forced_top[position - prompt_last - 1]);
            }
            auto& bits = expected[position];
            if (bits.empty()) {
                bits.assign(logits.begin(), logits.end());
            }
            CHECK(std::memcmp(bits.data(), logits.data(), logits.size_bytes()) == 0);
        });
        MESSAGE("mean difference in chunks of " << chunk << ": " << difference.mean());
        CHECK(difference.mean() <= kMeanDifferenceMax);
    }
}
