#include "tests/billing/billing_fixture.h"

#include <cstdlib>
#include <thread>
#include <unistd.h>
#include <vector>

namespace rekindle::billing {

TempFolder::TempFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "ledger_XXXXXX").string();
    REQUIRE(::mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
}

TempFolder::~TempFolder() {
    std::error_code ec;
    std::filesystem::remove_all(path_, ec);
}

RequestId id_of(uint64_t number) {
    RequestId id;
    for (size_t i = 0; i < 8; ++i) {
        id.bytes[15 - i] = static_cast<std::byte>(number >> (8 * i));
    }
    return id;
}

RequestFacts facts_of(uint64_t number) {
    RequestFacts facts;
    facts.id = id_of(number);
    facts.model = "smol";
    facts.revision = "r1";
    facts.price_input = 1000;
    facts.price_cached = 100;
    facts.price_output = 3000;
    facts.prompt_tokens = 100;
    facts.cached_tokens = 20;
    facts.streamed = true;
    facts.started_unix_ms = 1'700'000'000'000;
    return facts;
}

UsageFinal final_of(uint64_t number, Outcome outcome, uint32_t completion, uint32_t delivered) {
    UsageFinal usage = settle(facts_of(number), outcome, completion, delivered, true);
    usage.finished_unix_ms = 1'700'003'600'000;
    return usage;
}

std::unique_ptr<Ledger> open_or_fail(const std::string& folder, const Clock& clock) {
    auto ledger = Ledger::open(folder, clock);
    REQUIRE_MESSAGE(ledger.ok(), (ledger.ok() ? "" : ledger.error().message));
    return std::move(ledger).value();
}

Result<void> begin(Ledger& ledger, const RequestFacts& facts) {
    std::promise<Result<void>> done;
    ledger.begin(facts, [&done](Result<void> result) { done.set_value(std::move(result)); });
    return done.get_future().get();
}

Result<void> finish(Ledger& ledger, const UsageFinal& usage) {
    std::promise<Result<void>> done;
    ledger.finish(usage, [&done](Result<void> result) { done.set_value(std::move(result)); });
    return done.get_future().get();
}

void mark(Ledger& ledger, uint64_t number, uint32_t delivered) {
    ledger.mark({{id_of(number), delivered}});
    while (ledger.marks_pending() > 0) {
        std::this_thread::yield();
    }
}

}  // namespace rekindle::billing
