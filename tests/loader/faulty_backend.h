// A disk that misbehaves as told: stands between a ring and a real backend.
#pragma once
#include "loader/read_backend.h"

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

namespace rekindle::test {

struct Fault {
    enum class Kind { kNone, kError, kShort, kFlipBit } kind = Kind::kNone;
    int64_t value = 0;  // errno, or bytes that are read at most, or the bit.
};

class FaultyBackend final : public loader::ReadBackend {
public:
    // Asked before each read, with the number of reads that came before.
    using Plan = std::function<Fault(uint64_t number, const loader::RawRead& read)>;

    FaultyBackend(uint32_t depth, Plan plan)
        : inner_(loader::make_thread_backend(depth)), plan_(std::move(plan)), reads_(depth) {}

    uint32_t depth() const noexcept override { return inner_->depth(); }

    void start(const loader::RawRead& read) override {
        const Fault fault = plan_(count_++, read);
        if (fault.kind == Fault::Kind::kError) {
            failed_.push_back({.tag = read.tag, .result = -fault.value});
            return;
        }
        loader::RawRead passed = read;
        if (fault.kind == Fault::Kind::kShort) {
            passed.out = read.out.first(static_cast<size_t>(fault.value));
            if (passed.out.empty()) {
                failed_.push_back({.tag = read.tag, .result = 0});
                return;
            }
        }
        reads_[read.tag] = {fault, read.out};
        inner_->start(passed);
    }

    loader::RawDone wait() override {
        if (!failed_.empty()) {
            const loader::RawDone done = failed_.front();
            failed_.pop_front();
            return done;
        }
        const loader::RawDone done = inner_->wait();
        const auto& [fault, out] = reads_[done.tag];
        if (fault.kind == Fault::Kind::kFlipBit) {
            out[static_cast<size_t>(fault.value / 8)] ^= std::byte{1} << (fault.value % 8);
        }
        return done;
    }

private:
    std::unique_ptr<loader::ReadBackend> inner_;
    Plan plan_;
    uint64_t count_ = 0;
    std::deque<loader::RawDone> failed_;
    std::vector<std::pair<Fault, std::span<std::byte>>> reads_;  // By tag, which is below depth.
};

}  // namespace rekindle::test
