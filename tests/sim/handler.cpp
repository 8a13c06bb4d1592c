#include "tests/sim/handler.h"

#include <algorithm>
#include <chrono>
#include <utility>
#include <variant>

namespace rekindle::sim {

using daemon::Finish;
using std::chrono::microseconds;

namespace {

constexpr size_t kSendBuffer = 256;  // Small: a client that does not read stops the answer soon.
constexpr size_t kReadBytes = 160;   // Of a slow client, at a time.
constexpr size_t kEventBytes = 40;   // Around the text of an event.

}  // namespace

Task<> Handler::run(std::shared_ptr<Handler> self) {
    world_.trace("attempt {} begins: model {} prompt {} max {} streamed {}", attempt_.number,
                 attempt_.image->name, attempt_.expected.prompt_tokens,
                 attempt_.plan->submit.tokens_max, attempt_.plan->client.streamed);
    if (!world_.points.hit(Point::kClientAccepted)) {
        daemon::GenerateRequest request;
        request.id = attempt_.id;
        request.model = attempt_.image->name;
        request.submit = attempt_.plan->submit;
        request.project = attempt_.plan->project;
        request.prompt_bytes = request.submit.text.size();
        request.streamed = attempt_.plan->client.streamed;
        auto stream = co_await node_.generate(std::move(request));
        if (!stream) {
            co_await fail(stream.error());
        } else {
            attempt_.accepted = true;
            stream_ = std::move(stream).value();
            if (close_seen_) {
                stream_->cancel();
            }
            if (attempt_.plan->client.streamed) {
                co_await relay();
            } else {
                co_await collect();
            }
        }
    }
    stream_.reset();
    end(left_ ? Ending::kLeft : Ending::kCut);
    over_ = true;
}

void Handler::end(Ending ending) {
    if (attempt_.ending != Ending::kNone) {
        return;
    }
    ++attempt_.endings;
    attempt_.ending = ending;
    attempt_.ended_at = world_.now();
    world_.trace("attempt {} ends: {} relayed {} delivered {} {}", attempt_.number, name_of(ending),
                 attempt_.relayed, attempt_.delivered(), attempt_.error);
    if (ending == Ending::kCut && !world_.points.dead()) {
        world_.fail(
            fmt::format("attempt {}: its stream broke off without a last event", attempt_.number));
    }
}

void Handler::take(const daemon::TokensFrame& tokens) {
    const Expected& expected = attempt_.expected;
    attempt_.relayed += tokens.sampled;
    attempt_.text += tokens.text;
    const bool right = attempt_.relayed <= expected.sampled &&
                       attempt_.text.size() == expected.text_after[attempt_.relayed] &&
                       expected.text.starts_with(attempt_.text);
    const bool last = tokens.finish != Finish::kNone;
    if (!right || last != (attempt_.relayed == expected.sampled)) {
        world_.fail(fmt::format(
            "attempt {}: after {} of {} tokens the answer is '{}', the model "
            "says '{}'",
            attempt_.number, attempt_.relayed, expected.sampled, attempt_.text, expected.text));
    }
    undelivered_ += tokens.sampled;
}

Task<> Handler::relay() {
    for (;;) {
        auto event = co_await stream_->next();
        if (gone()) {
            co_return;
        }
        if (!event) {
            co_await fail(event.error());
            co_return;
        }
        if (const auto* ready = std::get_if<daemon::PromptReady>(&*event)) {
            attempt_.prompt_ready = true;
            if (ready->prompt_tokens != attempt_.expected.prompt_tokens) {
                world_.fail(fmt::format("attempt {}: a prompt of {} tokens counts {}",
                                        attempt_.number, attempt_.expected.prompt_tokens,
                                        ready->prompt_tokens));
            }
            continue;
        }
        daemon::TokensFrame tokens = std::move(std::get<daemon::Delta>(*event).tokens);
        take(tokens);
        const bool last = tokens.finish != Finish::kNone;
        if (!tokens.text.empty()) {
            const uint32_t carried = undelivered_;
            const bool sent = co_await write(std::move(tokens.text), carried);
            if (!sent || close_seen_) {
                stream_->cancel();
                co_return;
            }
            stream_->delivered(std::exchange(undelivered_, 0));
        }
        if (last) {
            break;
        }
    }
    co_await close_books("[DONE]", 0);
}

Task<> Handler::collect() {
    bool last = false;
    while (!last) {
        auto event = co_await stream_->next();
        if (gone()) {
            co_return;
        }
        if (!event) {
            co_await fail(event.error());
            co_return;
        }
        if (auto* delta = std::get_if<daemon::Delta>(&*event)) {
            take(delta->tokens);
            last = delta->tokens.finish != Finish::kNone;
        } else {
            attempt_.prompt_ready = true;
        }
    }
    const uint32_t carried = std::exchange(undelivered_, 0);
    co_await close_books(attempt_.text, carried);
}

// The bill, and then the client's last bytes, which carry `carried` tokens.
Task<> Handler::close_books(std::string last, uint32_t carried) {
    if (world_.points.hit(Point::kClientBeforeFinish)) {
        co_return;
    }
    attempt_.finish_called = true;
    attempt_.sampled_at_finish = attempt_.relayed;
    if (carried > 0) {
        stream_->delivered(carried);
    }
    auto usage = co_await stream_->finish();
    if (!usage) {
        co_await fail(usage.error());
        co_return;
    }
    if (world_.points.dead()) {
        co_return;
    }
    attempt_.acknowledged = *usage;
    if (world_.points.hit(Point::kClientAfterFinish) ||
        world_.points.hit(Point::kClientBeforeLast)) {
        co_return;
    }
    const bool sent = co_await write(std::move(last), carried);
    if (sent) {
        end(Ending::kDone);
        world_.points.hit(Point::kClientAfterLast);
    }
}

Task<> Handler::fail(Error error) {
    if (world_.points.dead()) {
        co_return;
    }
    attempt_.error = shutting_down_ ? "this node is shutting down" : error.message;
    attempt_.error_code = error.code;
    const bool sent = co_await write("error", 0);
    if (sent) {
        end(Ending::kError);
    }
}

Task<bool> Handler::write(std::string bytes, uint32_t tokens) {
    if (gone() || world_.points.hit(Point::kClientBeforeWrite)) {
        co_return false;
    }
    buffered_ += bytes.size() + kEventBytes;
    start_reading();
    bool passed = false;
    world_.after_in_daemon(world_.draws.time(microseconds(5), microseconds(300)),
                           [self = shared_from_this(), &passed] {
                               passed = true;
                               self->changed_.notify();
                           });
    // `passed` is this frame's: it is left only once the event has run or never will.
    while (!world_.points.dead() && (!passed || (buffered_ > kSendBuffer && !close_seen_))) {
        co_await changed_.wait();
    }
    if (gone()) {
        co_return false;
    }
    attempt_.last_write = tokens;
    if (tokens > 0) {
        attempt_.deliveries.push_back({world_.now(), attempt_.delivered() + tokens});
    }
    const auto& leaves = attempt_.plan->client.leaves_after_tokens;
    if (leaves && attempt_.delivered() >= *leaves && attempt_.plan->client.streamed) {
        client_leaves();
    }
    co_return !world_.points.hit(Point::kClientAfterWrite);
}

void Handler::start_reading() {
    const Nanoseconds pause = attempt_.plan->client.read_pause;
    if (pause.count() == 0) {
        buffered_ = 0;  // Reads everything at once.
        return;
    }
    if (std::exchange(reading_, true)) {
        return;
    }
    world_.after_in_daemon(pause, [self = shared_from_this()] {
        self->reading_ = false;
        self->buffered_ -= std::min(self->buffered_, kReadBytes);
        self->changed_.notify();
        if (self->buffered_ > 0) {
            self->start_reading();
        }
    });
}

void Handler::client_leaves() {
    if (over_ || left_ || attempt_.ending != Ending::kNone) {
        return;
    }
    left_ = true;
    world_.fault("disconnect");
    world_.after_in_daemon(world_.draws.time(microseconds(10), microseconds(900)),
                           [self = shared_from_this()] { self->close_seen(); });
}

void Handler::close_seen() {
    if (over_ || world_.points.hit(Point::kClientCloseSeen)) {
        return;
    }
    close_seen_ = true;
    if (stream_ != nullptr) {
        stream_->cancel();
    }
    changed_.notify();
}

void Handler::interrupt() {
    shutting_down_ = true;
    if (stream_ != nullptr) {
        stream_->fail();
    }
    changed_.notify();
}

void Handler::cut() {
    if (stream_ != nullptr) {
        stream_->fail();
    }
    changed_.notify();
}

}  // namespace rekindle::sim
