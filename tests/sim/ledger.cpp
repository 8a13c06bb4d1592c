#include "tests/sim/ledger.h"

#include <chrono>
#include <utility>

namespace rekindle::sim {

using std::chrono::microseconds;
using std::chrono::milliseconds;

Result<std::unique_ptr<DrivenLedger>> DrivenLedger::open(const std::string& folder, World& world,
                                                         Disk& disk, LedgerFaults& faults) {
    billing::JournalOptions options;
    options.env = &disk.env();
    options.at_point = [&world](billing::CrashPoint point) {
        if (point == billing::CrashPoint::kBeforeDone) {
            world.points.hit(Point::kLedgerBeforeDone);
        }
    };
    auto desk = billing::LedgerDesk::open(folder, world.clock, std::move(options));
    if (!desk) {
        return desk.error();
    }
    return std::unique_ptr<DrivenLedger>(
        new DrivenLedger(world, disk, faults, std::move(desk).value()));
}

void DrivenLedger::begin(billing::RequestFacts facts, Done done) {
    if (faults_.refuse_begins > 0) {
        --faults_.refuse_begins;
        faults_.refused_at = world_.now();
        world_.fault("ledger-refused");
        done(Error{ErrorCode::kOverloaded, "the ledger's queue is full"});
        return;
    }
    desk_->begin(std::move(facts), std::move(done));
    schedule();
}

void DrivenLedger::mark(std::vector<billing::ProgressMark> marks, Written written) {
    desk_->mark(std::move(marks), std::move(written));
    schedule();
}

void DrivenLedger::finish(billing::UsageFinal final_record, Done done) {
    desk_->finish(std::move(final_record), std::move(done));
    schedule();
}

void DrivenLedger::close() {
    desk_->close();
    while (desk_->work(Nanoseconds{0})) {
    }
}

void DrivenLedger::schedule() {
    if (std::exchange(scheduled_, true)) {
        return;
    }
    const bool slow = world_.now() < faults_.slow_until;
    const Nanoseconds takes = slow ? world_.draws.time(milliseconds(5), milliseconds(150))
                                   : world_.draws.time(microseconds(20), microseconds(600));
    world_.after_in_daemon(takes, [this] {
        scheduled_ = false;
        turn();
    });
}

// As the thread's loop: a turn for what came, or for having waited long enough.
void DrivenLedger::turn() {
    work();
    if (world_.points.dead()) {
        return;
    }
    disk_.run_background_work();
    const uint64_t mine = ++turns_;
    if (const auto patience = desk_->patience()) {
        world_.after_in_daemon(*patience, [this, mine] {
            if (mine == turns_ && !scheduled_) {
                turn();
            }
        });
    }
}

}  // namespace rekindle::sim
