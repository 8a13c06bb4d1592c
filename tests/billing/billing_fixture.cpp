#include "tests/billing/billing_fixture.h"

#include <cstdlib>
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
    std::promise<void> written;
    ledger.mark({{id_of(number), delivered}}, [&written] { written.set_value(); });
    written.get_future().wait();
}

}  // namespace rekindle::billing
