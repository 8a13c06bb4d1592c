#include "base/async/io_thread.h"

#include <pthread.h>
#include <utility>

namespace rekindle {

IoThread::IoThread(std::string name)
    : work_(asio::make_work_guard(context_)), thread_([this, name = std::move(name)] {
          ::pthread_setname_np(::pthread_self(), name.substr(0, 15).c_str());
          context_.run();
      }) {}

IoThread::~IoThread() {
    request_stop();
    join();
}

void IoThread::request_stop() {
    work_.reset();
}

void IoThread::join() {
    if (thread_.joinable()) {
        thread_.join();
    }
}

}  // namespace rekindle
