// Exactness against Hugging Face `tokenizers`: tests/golden/tokenizer/make_tokenizer.py wrote the
// ids.
#include "tests/tokenizer/support.h"

#include <doctest/doctest.h>

namespace rekindle::test {
namespace {

using runtime::TokenizerSource;

size_t count_texts_that_differ(const Golden& golden, const TokenizerSource& source) {
    size_t differing = 0;
    for (const std::string& rule : golden_rules()) {
        const OpenTokenizer tokenizer = open_tokenizer(with_rule(source, rule));
        for (const GoldenText& text : golden.texts) {
            for (const bool special : {false, true}) {
                for (const GoldenIds& expected : special ? text.special : text.plain) {
                    if (expected.rule != rule) {
                        continue;
                    }
                    const auto ids = tokenizer.encode(text.text, special);
                    CHECK_MESSAGE(ids == expected.ids, rule,
                                  std::string(special ? " (special): " : ": "), text.text);
                    differing += ids == expected.ids ? 0U : 1U;
                }
            }
        }
    }
    return differing;
}

void check_runs(const Golden& golden, const TokenizerSource& source) {
    for (const std::string& rule : golden_rules()) {
        const OpenTokenizer tokenizer = open_tokenizer(with_rule(source, rule));
        for (const GoldenRun& run : golden.runs) {
            if (run.rule == rule) {
                const auto ids = tokenizer.encode(run.text, false);
                CHECK_MESSAGE(ids.size() == run.count, rule, std::string(": "),
                              run.text.substr(0, 8));
                CHECK_MESSAGE(fingerprint(ids) == run.fingerprint, rule, std::string(": "),
                              run.text.substr(0, 8));
            }
        }
    }
}

}  // namespace

TEST_CASE("every golden string gets the reference's ids under every rule set") {
    const Golden golden = read_golden("small.jsonl");
    CHECK(golden.texts.size() >= 500);
    CHECK(count_texts_that_differ(golden, small_vocabulary("smollm")) == 0);
}

TEST_CASE("runs of 100,000 equal characters get the reference's ids") {
    const Golden golden = read_golden("small.jsonl");
    CHECK(golden.runs.size() >= 100);
    check_runs(golden, small_vocabulary("smollm"));
}

TEST_CASE("the model's own vocabulary gives the reference's ids") {
    const std::optional<TokenizerSource> source = model_vocabulary();
    if (!source) {
        MESSAGE("skipped: REKINDLE_TEST_MODEL is not set");
        return;
    }
    const Golden golden = read_golden("smollm2.jsonl");
    CHECK(golden.texts.size() >= 500);
    CHECK(count_texts_that_differ(golden, *source) == 0);
    check_runs(golden, *source);
}

}  // namespace rekindle::test
