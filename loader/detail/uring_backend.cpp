#include "base/log.h"
#include "loader/read_backend.h"

#include <fmt/format.h>
#include <liburing.h>

#include <cerrno>
#include <system_error>

namespace rekindle::loader {
namespace {

// Submitting fails for want of kernel memory only, which passes; a ring that still refuses after
// this many tries leaves reads whose buffers can't be taken back.
constexpr int kSubmitTriesMax = 100'000;

class UringBackend final : public ReadBackend {
public:
    explicit UringBackend(uint32_t depth) : depth_(depth) {}

    UringBackend(const UringBackend&) = delete;
    UringBackend& operator=(const UringBackend&) = delete;

    ~UringBackend() override {
        REKINDLE_CHECK(in_flight_ == 0, "a read would outlive its ring");
        if (open_) {
            ::io_uring_queue_exit(&ring_);
        }
    }

    // 0, or -errno.
    int init() {
        const int failed = ::io_uring_queue_init(depth_, &ring_, 0);
        open_ = failed == 0;
        return failed;
    }

    uint32_t depth() const noexcept override { return depth_; }

    void start(const RawRead& read) override {
        io_uring_sqe* const entry = ::io_uring_get_sqe(&ring_);
        REKINDLE_CHECK(entry != nullptr, "more reads than the ring is deep");
        ::io_uring_prep_read(entry, read.fd, read.out.data(),
                             static_cast<unsigned>(read.out.size()), read.offset);
        ::io_uring_sqe_set_data64(entry, read.tag);
        ++in_flight_;
        submit();
    }

    RawDone wait() override {
        REKINDLE_CHECK(in_flight_ > 0, "nothing to wait for");
        io_uring_cqe* done = nullptr;
        while (::io_uring_wait_cqe(&ring_, &done) != 0) {  // EINTR, EAGAIN.
        }
        const RawDone result{.tag = ::io_uring_cqe_get_data64(done), .result = done->res};
        ::io_uring_cqe_seen(&ring_, done);
        --in_flight_;
        return result;
    }

private:
    void submit() {
        for (int i = 0; ::io_uring_sq_ready(&ring_) > 0; ++i) {
            REKINDLE_CHECK(i < kSubmitTriesMax, "io_uring takes no reads");
            ::io_uring_submit(&ring_);
        }
    }

    const uint32_t depth_;
    io_uring ring_{};
    bool open_ = false;
    uint32_t in_flight_ = 0;
};

}  // namespace

Result<std::unique_ptr<ReadBackend>> make_uring_backend(uint32_t depth) {
    auto backend = std::make_unique<UringBackend>(depth);
    const int failed = backend->init();
    if (failed != 0) {
        return Error{ErrorCode::kUnsupported,
                     fmt::format("io_uring: {}", std::generic_category().message(-failed))};
    }
    return std::unique_ptr<ReadBackend>(std::move(backend));
}

std::unique_ptr<ReadBackend> make_read_backend(uint32_t depth) {
    auto backend = make_uring_backend(depth);
    if (backend) {
        return std::move(backend).value();
    }
    log_warning("io_uring_refused",
                {{"reason", backend.error().message}, {"then", "reads on a thread"}});
    return make_thread_backend(depth);
}

}  // namespace rekindle::loader
