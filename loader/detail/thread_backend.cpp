#include "base/bounded_queue.h"
#include "loader/read_backend.h"

#include <cerrno>
#include <thread>
#include <unistd.h>

namespace rekindle::loader {
namespace {

// One thread that reads in order: as much as a disk gives without a queue.
class ThreadBackend final : public ReadBackend {
public:
    explicit ThreadBackend(uint32_t depth)
        : depth_(depth), reads_(depth), done_(depth), thread_([this] { run(); }) {}

    ~ThreadBackend() override {
        reads_.close();
        thread_.join();
    }

    uint32_t depth() const noexcept override { return depth_; }

    void start(const RawRead& read) override {
        REKINDLE_CHECK(reads_.try_push(read), "more reads than the queue is deep");
    }

    RawDone wait() override {
        const std::optional<RawDone> done = done_.pop();
        REKINDLE_CHECK(done.has_value(), "the reading thread has ended");
        return *done;
    }

private:
    void run() {
        while (const std::optional<RawRead> read = reads_.pop()) {
            const ssize_t got = ::pread(read->fd, read->out.data(), read->out.size(),
                                        static_cast<off_t>(read->offset));
            const RawDone done{.tag = read->tag, .result = got < 0 ? -errno : got};
            if (!done_.push(done)) {
                return;
            }
        }
    }

    const uint32_t depth_;
    BoundedQueue<RawRead> reads_;
    BoundedQueue<RawDone> done_;
    std::thread thread_;
};

}  // namespace

std::unique_ptr<ReadBackend> make_thread_backend(uint32_t depth) {
    return std::make_unique<ThreadBackend>(depth);
}

}  // namespace rekindle::loader
