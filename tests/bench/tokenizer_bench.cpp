// Encoding speed, bytes of text per second on one core, over texts of one megabyte: prose, code,
// CJK, emoji, and those that make a quadratic tokenizer stand still.
//   REKINDLE_TEST_MODEL=model.gguf [REKINDLE_BENCH_TEXT=prose.txt] tokenizer_bench
// Without REKINDLE_TEST_MODEL the tests' small vocabulary is used, which merges far more than a
// real one; without REKINDLE_BENCH_TEXT the prose is this repository's own documents.
#include "base/random.h"
#include "base/utf8.h"
#include "runtime/tokenizer/tokenizer.h"
#include "tests/tokenizer/support.h"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

namespace {

using rekindle::append_utf8;
using rekindle::counter_uniform;
using rekindle::runtime::TokenId;
using rekindle::test::OpenTokenizer;

constexpr size_t kTextBytes = 1U << 20;

std::string read_files(const std::filesystem::path& folder, std::string_view extension) {
    std::vector<std::filesystem::path> paths;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
        if (entry.is_regular_file() && entry.path().extension() == extension) {
            paths.push_back(entry.path());
        }
    }
    std::ranges::sort(paths);
    std::string text;
    for (const auto& path : paths) {
        text += rekindle::test::read_test_file(path.string());
    }
    return text;
}

// `text` repeated or cut to a megabyte.
std::string megabyte_of(std::string text) {
    const size_t once = text.size();
    while (text.size() < kTextBytes) {
        text += text.substr(0, once);
    }
    text.resize(kTextBytes);
    return text;
}

std::string prose() {
    const char* path = std::getenv("REKINDLE_BENCH_TEXT");
    const std::filesystem::path tests(REKINDLE_TEST_DATA);
    return megabyte_of(path != nullptr ? rekindle::test::read_test_file(path)
                                       : read_files(tests.parent_path() / "docs", ".md"));
}

std::string code() {
    const std::filesystem::path tests(REKINDLE_TEST_DATA);
    return megabyte_of(read_files(tests.parent_path() / "runtime", ".cpp"));
}

// Characters of [first, first + count), the early ones more often, with a comma now and then.
std::string random_characters(uint32_t first, uint32_t count) {
    std::string text;
    for (uint64_t i = 0; text.size() < kTextBytes; ++i) {
        const double u = counter_uniform(1, 0, i);
        append_utf8(text, first + static_cast<uint32_t>(u * u * count));
        if (i % 17 == 16) {
            append_utf8(text, 0x3002);
        }
    }
    return megabyte_of(std::move(text));
}

std::string random_word() {
    std::string text;
    for (uint64_t i = 0; i < kTextBytes; ++i) {
        text.push_back(static_cast<char>('a' + static_cast<int>(counter_uniform(3, 0, i) * 26)));
    }
    return text;
}

std::string random_bytes() {
    std::string text;
    for (uint64_t i = 0; i < kTextBytes; ++i) {
        text.push_back(static_cast<char>(static_cast<uint8_t>(counter_uniform(2, 0, i) * 256)));
    }
    return text;
}

void encode(benchmark::State& state, const OpenTokenizer* opened, const std::string& text) {
    auto scratch = opened->tokenizer.new_scratch();
    std::vector<TokenId> ids;
    for (auto _ : state) {
        ids.clear();
        opened->tokenizer.encode(text, /*parse_special=*/false, scratch, ids);
        benchmark::DoNotOptimize(ids.data());
    }
    state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(text.size()));
    state.counters["bytes/token"] = static_cast<double>(text.size()) / double(ids.size());
}

}  // namespace

int main(int argc, char** argv) {
    const auto model = rekindle::test::model_vocabulary();
    const OpenTokenizer opened =
        rekindle::test::open_tokenizer(model ? *model : rekindle::test::small_vocabulary("smollm"));
    const std::vector<std::pair<const char*, std::string>> texts{
        {"english", prose()},
        {"code", code()},
        {"cjk", random_characters(0x4E00, 4000)},
        {"emoji", random_characters(0x1F600, 80)},
        {"one letter", std::string(kTextBytes, 'a')},
        {"one long word", random_word()},
        {"spaces", std::string(kTextBytes, ' ')},
        {"newlines", std::string(kTextBytes, '\n')},
        {"one emoji", megabyte_of("\xF0\x9F\x98\x80")},
        {"random bytes", random_bytes()},
    };
    for (const auto& [name, text] : texts) {
        benchmark::RegisterBenchmark(name, encode, &opened, text)->Unit(benchmark::kMillisecond);
    }
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
        return 1;
    }
    benchmark::AddCustomContext("vocabulary", std::to_string(opened.tokenizer.size()));
    benchmark::RunSpecifiedBenchmarks();
    return 0;
}
