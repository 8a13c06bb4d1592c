#include "daemon/worker_link.h"

#include "base/async/spawn.h"
#include "base/log.h"

#include <fmt/format.h>

#include <utility>

namespace rekindle::daemon {

WorkerLink::WorkerLink(asio::io_context& context, std::unique_ptr<WorkerTransport> transport)
    : transport_(std::move(transport)), outgoing_added_(context) {}

WorkerLink::~WorkerLink() {
    REKINDLE_CHECK(ended_, "a worker link is released after its worker ended");
}

Result<std::shared_ptr<WorkerLink>> WorkerLink::start(asio::io_context& context, Gate& gate,
                                                      WorkerLauncher& launcher) {
    auto transport = launcher.start();
    if (!transport) {
        return transport.error();
    }
    std::shared_ptr<WorkerLink> link(new WorkerLink(context, std::move(transport).value()));
    auto reading = link->read_frames(link);
    auto writing = link->write_frames(link);
    if (!spawn(context, "worker_reader", gate, std::move(reading)) ||
        !spawn(context, "worker_writer", gate, std::move(writing))) {
        link->end(Error{ErrorCode::kUnavailable, "rekindled is stopping"});
        return Error{ErrorCode::kUnavailable, "rekindled is stopping"};
    }
    return link;
}

void WorkerLink::listen(Listener* listener) {
    listener_ = listener;
}

void WorkerLink::send(const Frame& frame) {
    send_with_descriptors(frame, {});
}

void WorkerLink::send_with_descriptors(const Frame& frame, std::vector<UniqueFd> descriptors) {
    if (ended_) {
        return;
    }
    outgoing_.push_back(WorkerMessage{encode_frame(frame), std::move(descriptors)});
    outgoing_added_.notify();
}

void WorkerLink::go_on() {
    held_back_ = false;
    outgoing_added_.notify();
}

void WorkerLink::kill() {
    transport_->kill();
}

void WorkerLink::dismiss(std::function<void()> gone) {
    listen(nullptr);
    gone_ = std::move(gone);
    kill();
}

Task<std::optional<Error>> WorkerLink::read_one() {
    std::vector<std::byte> header_bytes(kFrameHeaderBytes);
    const bool header_read = co_await transport_->read(&header_bytes);
    if (!header_read) {
        co_return Error{ErrorCode::kUnavailable, "the worker closed its connection"};
    }
    const auto header = parse_frame_header(header_bytes);
    if (!header) {
        co_return header.error();
    }
    std::vector<std::byte> payload(header->payload_bytes);
    const bool payload_read = co_await transport_->read(&payload);
    if (!payload_read) {
        co_return Error{ErrorCode::kUnavailable, "the worker closed its connection"};
    }
    auto frame = parse_frame(*header, payload);
    if (!frame) {
        co_return frame.error();
    }
    const auto* hello = std::get_if<HelloFrame>(&*frame);
    if (hello != nullptr && hello->protocol != kWireProtocol) {
        co_return Error{ErrorCode::kUnsupported,
                        fmt::format("the worker speaks protocol {}, rekindled {}: install both "
                                    "from one build",
                                    hello->protocol, kWireProtocol)};
    }
    dispatch(std::move(frame).value());
    co_return std::nullopt;
}

Task<> WorkerLink::read_frames(std::shared_ptr<WorkerLink> self) {
    for (;;) {
        auto failed = co_await read_one();
        if (failed) {
            self->end(std::move(*failed));
            co_return;
        }
    }
}

Task<> WorkerLink::write_frames(std::shared_ptr<WorkerLink> self) {
    while (!self->ended_) {
        if (outgoing_.empty() || held_back_) {
            co_await outgoing_added_.wait();
            continue;
        }
        WorkerMessage message = std::move(outgoing_.front());
        outgoing_.pop_front();
        const bool written = co_await transport_->write(&message);
        if (!written) {
            co_return;  // The reader sees the same end.
        }
    }
}

void WorkerLink::dispatch(Frame frame) {
    if (const auto* hello = std::get_if<HelloFrame>(&frame)) {
        greeted_ = true;
        kernels_ = hello->kernels;
    }
    if (listener_ != nullptr) {
        listener_->on_frame(std::move(frame));
    }
}

void WorkerLink::end(Error reason) {
    if (std::exchange(ended_, true)) {
        return;
    }
    const std::string how = transport_->end();
    held_.clear();
    outgoing_.clear();
    outgoing_added_.notify();
    if (reason.code == ErrorCode::kUnavailable) {
        reason.message += " (" + how + ")";
    }
    log_info("worker_ended", {{"pid", transport_->pid()}, {"reason", reason.message}});
    if (listener_ != nullptr) {
        std::exchange(listener_, nullptr)->on_end(reason);
    }
    if (gone_) {
        std::exchange(gone_, nullptr)();
    }
}

}  // namespace rekindle::daemon
