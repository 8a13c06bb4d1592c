#include "loader/ring.h"

#include "base/log.h"
#include "base/units.h"

#include <fmt/format.h>

#include <cerrno>
#include <fcntl.h>
#include <utility>

namespace rekindle::loader {
namespace {

// Without progress. EAGAIN and EINTR pass quickly or are a sign of something else.
constexpr uint32_t kRetriesMax = 16;

}  // namespace

Ring::Ring(std::unique_ptr<ReadBackend> backend)
    : backend_(std::move(backend)), slots_(backend_->depth()) {
    for (uint32_t slot = 0; slot < slots_.size(); ++slot) {
        free_.push_back(slot);
    }
}

Ring::~Ring() {
    REKINDLE_CHECK(in_flight() == 0, "a read is outstanding");
}

uint32_t Ring::in_flight() const noexcept {
    return static_cast<uint32_t>(slots_.size() - free_.size());
}

void Ring::start(const ReadRequest& request) {
    REKINDLE_CHECK(has_room(), "the ring is full");
    const uint32_t slot = free_.back();
    free_.pop_back();
    slots_[slot] = {.request = request, .done = 0, .retries = 0};
    restart(slot);
}

void Ring::restart(uint32_t slot) {
    const Slot& at = slots_[slot];
    backend_->start({.fd = at.request.fd,
                     .offset = at.request.offset + at.done,
                     .out = at.request.out.subspan(at.done),
                     .tag = slot});
}

Ring::Next Ring::advance(Slot& slot, int64_t result, int& error_number) {
    if (result > 0) {
        const uint64_t left = slot.request.out.size() - slot.done;
        auto got = static_cast<uint64_t>(result);
        if (got >= left) {
            return Next::kWhole;
        }
        if (slot.request.direct) {  // Direct reads go on at whole pages only.
            got -= got % kPageBytes;
        }
        slot.done += got;
        slot.retries = got > 0 ? 0 : slot.retries + 1;
        error_number = 0;
    } else if (result == 0) {
        error_number = 0;
        return Next::kFailed;
    } else {
        error_number = static_cast<int>(-result);
        ++slot.retries;
        if (error_number == EINVAL && std::exchange(slot.request.direct, false)) {
            // The file system took O_DIRECT at open and refuses it now.
            const int flags = ::fcntl(slot.request.fd, F_GETFL);
            static_cast<void>(::fcntl(slot.request.fd, F_SETFL, flags & ~O_DIRECT));
            if (!std::exchange(direct_refused_, true)) {
                log_info("direct_reads_refused", {{"then", "buffered reads"}});
            }
        } else if (error_number != EINTR && error_number != EAGAIN) {
            return Next::kFailed;
        }
    }
    return slot.retries > kRetriesMax ? Next::kFailed : Next::kGoOn;
}

ReadOutcome Ring::wait() {
    for (;;) {
        const RawDone done = backend_->wait();
        REKINDLE_CHECK(done.tag < slots_.size(), "a completion that nobody waits for");
        const auto index = static_cast<uint32_t>(done.tag);
        Slot& slot = slots_[index];
        int error_number = 0;
        const Next next = advance(slot, done.result, error_number);
        if (next == Next::kGoOn) {
            restart(index);
            continue;
        }
        free_.push_back(index);
        const ReadRequest& request = slot.request;
        if (next == Next::kWhole) {
            return {.tag = request.tag, .result = {}};
        }
        const std::string what =
            fmt::format("read of {} bytes at {}", request.out.size(), request.offset);
        if (error_number == 0) {
            return {.tag = request.tag,
                    .result =
                        Error{ErrorCode::kTruncated,
                              fmt::format("{}: the file ends after {} of them", what, slot.done)}};
        }
        return {.tag = request.tag, .result = errno_error(what, error_number)};
    }
}

}  // namespace rekindle::loader
