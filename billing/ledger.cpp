#include "billing/ledger.h"

#include "billing/detail/audit.h"
#include "billing/detail/folder.h"
#include "billing/detail/high_water.h"
#include "billing/detail/ledger_desk.h"
#include "billing/detail/ledger_thread.h"
#include "billing/detail/store.h"

#include <fmt/format.h>

#include <cstdint>
#include <filesystem>
#include <limits>
#include <pthread.h>
#include <thread>
#include <utility>

namespace rekindle::billing {
namespace {

// The desk and the thread that works at it.
class LedgerThread final : public Ledger {
public:
    explicit LedgerThread(std::unique_ptr<LedgerDesk> desk)
        : desk_(std::move(desk)), thread_([this] { run(); }) {}

    ~LedgerThread() override {
        desk_->close();
        thread_.join();
    }

    void begin(RequestFacts facts, Done done) override {
        desk_->begin(std::move(facts), std::move(done));
    }

    void mark(std::vector<ProgressMark> marks, Written written) override {
        desk_->mark(std::move(marks), std::move(written));
    }

    void finish(UsageFinal final_record, Done done) override {
        desk_->finish(std::move(final_record), std::move(done));
    }

    bool healthy() const noexcept override { return desk_->healthy(); }

    Result<std::vector<UsageRow>> usage(const UsageQuery& query) const override {
        return desk_->usage(query);
    }

    Result<UsageFinal> find(const RequestId& id) const override { return desk_->find(id); }

    Result<LedgerReport> verify() const override { return desk_->verify(); }

    Result<void> copy_to(const std::string& folder) const override {
        return desk_->copy_to(folder);
    }

private:
    void run() {
        ::pthread_setname_np(::pthread_self(), "ledger");
        while (desk_->work(desk_->patience())) {
        }
    }

    const std::unique_ptr<LedgerDesk> desk_;
    std::thread thread_;  // Last: starts when the rest is there.
};

}  // namespace

Result<std::unique_ptr<Ledger>> open_ledger(const std::string& folder, const Clock& clock,
                                            JournalOptions options) {
    auto desk = LedgerDesk::open(folder, clock, std::move(options));
    if (!desk) {
        return desk.error();
    }
    return std::unique_ptr<Ledger>(std::make_unique<LedgerThread>(std::move(*desk)));
}

Result<std::unique_ptr<Ledger>> Ledger::open(const std::string& folder, const Clock& clock) {
    return open_ledger(folder, clock, {});
}

Result<LedgerReport> audit_ledger(const std::string& folder) {
    std::error_code ec;
    if (!std::filesystem::exists(store_path(folder), ec)) {
        return Error{ErrorCode::kNotFound, fmt::format("{}: holds no ledger", folder)};
    }
    const auto lock = lock_folder(folder);
    if (!lock) {
        return lock.error();
    }
    const auto point = HighWater::read(high_water_path(folder), *rocksdb::Env::Default());
    if (!point) {
        return point.error();
    }
    const auto store = Store::open(store_path(folder), StoreMode::kReadOnly, nullptr);
    if (!store) {
        return store.error();
    }
    return audit(store->view(), *point, std::numeric_limits<uint64_t>::max());
}

}  // namespace rekindle::billing
