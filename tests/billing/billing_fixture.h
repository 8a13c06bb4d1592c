// What the ledger's tests share: a folder of their own, requests, and calls that wait for `done`.
#pragma once
#include "base/clock.h"
#include "billing/detail/ledger_thread.h"
#include "billing/ledger.h"
#include "tests/billing/billing_facts.h"

#include <doctest/doctest.h>

#include <cstdint>
#include <filesystem>
#include <future>
#include <memory>
#include <string>
#include <utility>

namespace rekindle::billing {

// A folder that is removed at the end.
class TempFolder {
public:
    TempFolder();
    TempFolder(const TempFolder&) = delete;
    TempFolder& operator=(const TempFolder&) = delete;
    ~TempFolder();

    const std::string& path() const { return path_; }

private:
    std::string path_;
};

std::unique_ptr<Ledger> open_or_fail(const std::string& folder, const Clock& clock);
// Waits for the ledger thread.
Result<void> begin(Ledger& ledger, const RequestFacts& facts);
Result<void> finish(Ledger& ledger, const UsageFinal& usage);
// Marks, and waits until they are written.
void mark(Ledger& ledger, uint64_t number, uint32_t delivered);

}  // namespace rekindle::billing
