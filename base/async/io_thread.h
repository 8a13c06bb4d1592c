// One thread, one io_context. Everything that lives on it needs no lock; other threads post to it.
// Stop: request_stop() lets run() return when no work is left; join() waits for that.
#pragma once
#include "base/async/asio.h"

#include <boost/asio/executor_work_guard.hpp>

#include <string>
#include <thread>

namespace rekindle {

class IoThread {
public:
    explicit IoThread(std::string name);
    IoThread(const IoThread&) = delete;
    IoThread& operator=(const IoThread&) = delete;
    ~IoThread();

    asio::io_context& context() noexcept { return context_; }
    bool on_this_thread() const noexcept { return std::this_thread::get_id() == thread_.get_id(); }
    // Drops the work guard: the thread ends when its last handler has run. Idempotent.
    void request_stop();
    void join();

private:
    asio::io_context context_{1};
    asio::executor_work_guard<asio::io_context::executor_type> work_;
    std::thread thread_;
};

}  // namespace rekindle
