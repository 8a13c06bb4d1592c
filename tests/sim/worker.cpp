#include "tests/sim/worker.h"

#include "tests/sim/engine.h"

#include <algorithm>
#include <chrono>
#include <utility>
#include <variant>

namespace rekindle::sim {

using daemon::Frame;
using std::chrono::microseconds;
using std::chrono::milliseconds;

namespace {

std::optional<Point> point_of_incoming(const Frame& frame) {
    if (std::holds_alternative<daemon::HelloFrame>(frame)) {
        return Point::kFrameHelloIn;
    }
    if (std::holds_alternative<daemon::AssignedFrame>(frame)) {
        return Point::kFrameAssignedIn;
    }
    if (std::holds_alternative<daemon::TokenizedFrame>(frame)) {
        return Point::kFrameTokenizedIn;
    }
    if (std::holds_alternative<daemon::TokensFrame>(frame)) {
        return Point::kFrameTokensIn;
    }
    if (std::holds_alternative<daemon::StepFrame>(frame)) {
        return Point::kFrameStepIn;
    }
    if (std::holds_alternative<daemon::FailedFrame>(frame)) {
        return Point::kFrameFailedIn;
    }
    return std::nullopt;
}

Result<Frame> frame_of(std::span<const std::byte> bytes) {
    const auto header = daemon::parse_frame_header(bytes.first(daemon::kFrameHeaderBytes));
    if (!header) {
        return header.error();
    }
    return daemon::parse_frame(*header, bytes.subspan(daemon::kFrameHeaderBytes));
}

std::optional<Point> point_of_outgoing(std::span<const std::byte> bytes) {
    const auto frame = frame_of(bytes);
    if (!frame) {
        return std::nullopt;
    }
    if (std::holds_alternative<daemon::AssignFrame>(*frame)) {
        return Point::kFrameAssignOut;
    }
    if (std::holds_alternative<daemon::SubmitFrame>(*frame)) {
        return Point::kFrameSubmitOut;
    }
    if (std::holds_alternative<daemon::GoFrame>(*frame)) {
        return Point::kFrameGoOut;
    }
    if (std::holds_alternative<daemon::RefuseFrame>(*frame)) {
        return Point::kFrameRefuseOut;
    }
    if (std::holds_alternative<daemon::LeaseFrame>(*frame)) {
        return Point::kFrameLeaseOut;
    }
    if (std::holds_alternative<daemon::CancelFrame>(*frame)) {
        return Point::kFrameCancelOut;
    }
    return std::nullopt;
}

}  // namespace

// ---- The daemon's end ----

SimulatedTransport::~SimulatedTransport() {
    worker_->forget_transport();
}

pid_t SimulatedTransport::pid() const noexcept {
    return worker_->pid();
}

Task<bool> SimulatedTransport::read(std::vector<std::byte>* out) {
    while (bytes_.size() < out->size()) {
        if (closed_) {
            co_return false;
        }
        co_await arrived_.wait();
    }
    std::copy_n(bytes_.begin(), out->size(), out->begin());
    bytes_.erase(bytes_.begin(), bytes_.begin() + static_cast<ptrdiff_t>(out->size()));
    co_return true;
}

Task<bool> SimulatedTransport::write(daemon::WorkerMessage* message) {
    const auto point = point_of_outgoing(message->bytes);
    if (closed_ || (point && world_.points.hit(*point)) || world_.points.dead()) {
        co_return !closed_;
    }
    last_arrival_ = std::max(last_arrival_,
                             world_.now() + world_.draws.time(microseconds(20), microseconds(400)));
    auto shared = std::make_shared<daemon::WorkerMessage>(std::move(*message));
    world_.after_in_daemon(last_arrival_ - world_.now(), [worker = worker_, shared] {
        worker->receive(std::move(shared->bytes), std::move(shared->descriptors));
    });
    co_return true;
}

void SimulatedTransport::kill() {
    if (world_.points.hit(Point::kWorkerKill)) {
        worker_->die("killed with its daemon");
        close();
        return;
    }
    world_.after_in_daemon(world_.draws.time(microseconds(50), milliseconds(2)),
                           [worker = worker_] { worker->die("killed by signal 9"); });
}

std::string SimulatedTransport::end() {
    worker_->die("killed by signal 9");
    close();
    world_.points.hit(Point::kWorkerReaped);
    return worker_->how_it_ended();
}

void SimulatedTransport::arrive(std::span<const std::byte> bytes) {
    if (!closed_) {
        bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
        arrived_.notify();
    }
}

void SimulatedTransport::close() {
    closed_ = true;
    arrived_.notify();
}

// ---- The process ----

SimulatedWorker::~SimulatedWorker() {
    die("its last user is gone");
}

void SimulatedWorker::begin(SimulatedTransport& transport) {
    transport_ = &transport;
    world_.after_in_daemon(world_.draws.time(milliseconds(1), milliseconds(30)),
                           [self = weak_from_this()] {
                               const auto worker = self.lock();
                               if (worker != nullptr && worker->alive_) {
                                   const Frame hello(daemon::HelloFrame{.kernels = "simulated"});
                                   static_cast<void>(worker->send(std::span(&hello, 1)));
                               }
                           });
}

void SimulatedWorker::receive(std::vector<std::byte> bytes, std::vector<UniqueFd> descriptors) {
    if (!alive_) {
        return;
    }
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
    std::ranges::move(descriptors, std::back_inserter(descriptors_));
    while (bytes_.size() >= daemon::kFrameHeaderBytes) {
        const auto header =
            daemon::parse_frame_header(std::span(bytes_).first(daemon::kFrameHeaderBytes));
        const size_t whole = daemon::kFrameHeaderBytes + (header ? header->payload_bytes : 0);
        if (header && bytes_.size() < whole) {
            break;
        }
        auto frame = frame_of(std::span(bytes_).first(whole));
        if (!frame) {
            world_.fail("rekindled sent a frame that does not parse");
            die("exited with 1");
            return;
        }
        frames_.push_back(std::move(*frame));
        bytes_.erase(bytes_.begin(), bytes_.begin() + static_cast<ptrdiff_t>(whole));
    }
    take_frames();
}

// A worker's reader blocks until the tables are there; here the frames wait.
bool SimulatedWorker::must_wait(const Frame& frame) const {
    if (!std::holds_alternative<daemon::SubmitFrame>(frame) || reader_->tables_open()) {
        return false;
    }
    const auto& table = model_->image.layout().tokenizer;
    return !model_->image.ready(table.offset, table.bytes);
}

void SimulatedWorker::take_frames() {
    while (alive_ && !frames_.empty() && world_.now() >= stalled_until_) {
        if (reader_ && must_wait(frames_.front())) {
            return;
        }
        Frame frame = std::move(frames_.front());
        frames_.pop_front();
        handle(std::move(frame));
    }
}

void SimulatedWorker::handle(Frame frame) {
    if (const auto* assign = std::get_if<daemon::AssignFrame>(&frame)) {
        on_assign(*assign);
        return;
    }
    if (!reader_) {
        world_.fail("rekindled sent a request to a worker without a model");
        return;
    }
    if (const auto* submit = std::get_if<daemon::SubmitFrame>(&frame)) {
        submitted_.insert(submit->id);
        if (std::exchange(lies_at_submit_, false)) {
            const Frame early(daemon::TokensFrame{.id = submit->id, .sampled = 1, .text = "x"});
            lied_at_ = world_.now();
            world_.blame(model_name_);
            static_cast<void>(send(std::span(&early, 1)));
        }
        if (!reader_->tables_open()) {
            if (!reader_->open_tables()) {
                die("exited with 1");
                return;
            }
            runner_.emplace(*model_, reader_->tokenizer(), world_.clock, sender());
        }
    } else if (const auto* go = std::get_if<daemon::GoFrame>(&frame)) {
        running_.insert(go->id);
    } else if (const auto* refuse = std::get_if<daemon::RefuseFrame>(&frame)) {
        submitted_.erase(refuse->id);
    } else if (const auto* cancel = std::get_if<daemon::CancelFrame>(&frame)) {
        submitted_.erase(cancel->id);
        running_.erase(cancel->id);
    }
    if (!reader_->handle(std::move(frame)) && alive_) {
        world_.fail("a worker refused what rekindled sent");
        die("exited with 1");
        return;
    }
    schedule_step();
}

void SimulatedWorker::on_assign(const daemon::AssignFrame& assign) {
    model_name_ = assign.model;
    for (const Image& image : images_.all()) {
        image_ = image.name == assign.model ? &image : image_;
    }
    auto model = daemon::WorkerModel::open(
        assign, std::exchange(descriptors_, {}),
        [this](const snapshot::ImageView& image,
               const runtime::EngineOptions& options) -> Result<std::unique_ptr<runtime::Engine>> {
            pages_ = options.kv_pages;
            return make_engine(image, options, images_.end_token());
        });
    if (!model) {
        world_.fail("a worker could not open its image: " + model.error().message);
        die("exited with 1");
        return;
    }
    model_ = std::move(*model);
    reader_.emplace(*model_, sender(), [this](daemon::EngineCommand command) {
        commands_.push_back(std::move(command));
    });
    const Frame assigned(model_->description());
    static_cast<void>(send(std::span(&assigned, 1)));
}

void SimulatedWorker::pump() {
    take_frames();
    schedule_step();
}

void SimulatedWorker::schedule_step() {
    const bool work = runner_ && (!commands_.empty() || runner_->runnable());
    if (!alive_ || step_scheduled_ || !work) {
        return;
    }
    step_scheduled_ = true;
    world_.after_in_daemon(world_.draws.time(microseconds(300), milliseconds(12)),
                           [self = weak_from_this()] {
                               if (const auto worker = self.lock()) {
                                   worker->step_scheduled_ = false;
                                   worker->step();
                               }
                           });
}

void SimulatedWorker::step() {
    if (!alive_ || world_.now() < stalled_until_) {
        return;  // stall() pumps at its end.
    }
    while (!commands_.empty()) {
        daemon::EngineCommand command = std::move(commands_.front());
        commands_.pop_front();
        runner_->apply(std::move(command));
    }
    if (runner_->runnable()) {
        if (!weights_decided(model_->image)) {
            return;  // A restore pumps.
        }
        if (!runner_->step()) {
            return;  // It said so; rekindled ends it.
        }
        ran_ = true;
        if (image_ != nullptr && salt_of(model_->image) != image_->salt) {
            world_.fail(fmt::format("worker {} read weights of {} that are not the image's", pid_,
                                    model_name_));
        }
    }
    if (!runner_->runnable()) {
        runner_->tell_load();
    }
    check_pages();
    if (alive_) {
        schedule_step();
    }
}

void SimulatedWorker::check_pages() {
    if (runner_->empty() && model_->engine->free_pages() != pages_) {
        world_.fail(fmt::format("worker {} of {}: {} of {} pages are free, and nothing runs", pid_,
                                model_name_, model_->engine->free_pages(), pages_));
    }
}

daemon::SendFrames SimulatedWorker::sender() {
    return [this](std::span<const Frame> frames) { return send(frames); };
}

Result<void> SimulatedWorker::send(std::span<const Frame> frames) {
    for (const Frame& frame : frames) {
        if (const auto* step = std::get_if<daemon::StepFrame>(&frame)) {
            world_.guessed += step->draft_accepted;
        }
        if (const auto* tokens = std::get_if<daemon::TokensFrame>(&frame)) {
            if (tokens->finish != daemon::Finish::kNone) {
                submitted_.erase(tokens->id);
                running_.erase(tokens->id);
            }
        }
        send_bytes(daemon::encode_frame(frame), point_of_incoming(frame));
        if (!alive_) {
            return Error{ErrorCode::kCancelled, "dead"};
        }
    }
    return {};
}

void SimulatedWorker::send_bytes(std::vector<std::byte> bytes, std::optional<Point> point) {
    if (!alive_) {
        return;
    }
    const bool cut_off = std::exchange(dies_in_frame_, false);
    if (cut_off) {
        bytes.resize(world_.draws.below(bytes.size()));
    }
    // Sometimes in two pieces.
    const size_t border = world_.draws.chance(0.2) ? world_.draws.below(bytes.size() + 1) : 0;
    const auto deliver = [this, &point](std::vector<std::byte> piece, bool last) {
        last_delivery_ = std::max(
            last_delivery_, world_.now() + world_.draws.time(microseconds(20), microseconds(500)));
        world_.after_in_daemon(last_delivery_ - world_.now(),
                               [self = shared_from_this(), piece = std::move(piece),
                                at = last ? point : std::nullopt] {
                                   const bool dead = at && self->world_.points.hit(*at);
                                   if (self->transport_ != nullptr && !dead) {
                                       self->transport_->arrive(piece);
                                   }
                               });
    };
    const auto middle = bytes.begin() + static_cast<ptrdiff_t>(border);
    if (border > 0) {
        deliver({bytes.begin(), middle}, false);
    }
    deliver({middle, bytes.end()}, !cut_off);
    if (cut_off) {
        world_.blame(model_name_);
        die("killed by signal 11");
    }
}

void SimulatedWorker::die(std::string how) {
    if (!std::exchange(alive_, false)) {
        return;
    }
    how_ = std::move(how);
    world_.trace("worker {} of '{}' ended: {}", pid_, model_name_, how_);
    const auto self = weak_from_this().lock();  // Nothing when called by the destructor.
    const auto clear = [](SimulatedWorker& worker) {
        worker.commands_.clear();
        worker.runner_.reset();
        worker.reader_.reset();
        worker.model_.reset();
    };
    if (self == nullptr) {
        clear(*this);
        return;
    }
    // From a fresh stack: it may die inside its own step. What it sent before still arrives.
    world_.after(Nanoseconds{0}, [self, clear] { clear(*self); });
    world_.after_in_daemon(std::max(Nanoseconds{0}, last_delivery_ - world_.now()), [self] {
        if (self->transport_ != nullptr) {
            self->transport_->close();
        }
    });
}

void SimulatedWorker::stall(Nanoseconds time) {
    stalled_until_ = world_.now() + time;
    world_.after_in_daemon(time, [self = weak_from_this()] {
        if (const auto worker = self.lock()) {
            worker->pump();
        }
    });
}

bool SimulatedWorker::lie(Lie kind) {
    std::optional<Frame> frame;
    std::vector<std::byte> bytes;
    switch (kind) {
        case Lie::kOverrun:
            if (!running_.empty()) {
                frame = daemon::TokensFrame{.id = *running_.begin(), .sampled = 5000, .text = "x"};
            }
            break;
        case Lie::kBeforeGo:
            lies_at_submit_ = true;
            return alive_;
        case Lie::kTokenized:
            if (!running_.empty()) {
                frame = daemon::TokenizedFrame{
                    .id = *running_.begin(), .prompt_tokens = 3, .tokens_max = 100};
            }
            break;
        case Lie::kUnknownType:
            bytes.assign(daemon::kFrameHeaderBytes, std::byte{0xEE});
            break;
        case Lie::kNonsense:
            bytes = daemon::encode_frame(daemon::TokensFrame{.id = 1, .sampled = 1, .text = "xy"});
            bytes[daemon::kFrameHeaderBytes + 12] = std::byte{0xFF};
            break;
        case Lie::kNotItsFrame:
            frame = daemon::CancelFrame{1};
            break;
        case Lie::kFailed:
            frame = daemon::FailedFrame{ErrorCode::kUnavailable, "no reason"};
            break;
    }
    if (frame) {
        bytes = daemon::encode_frame(*frame);
    }
    if (bytes.empty() || !alive_) {
        return false;
    }
    lied_at_ = world_.now();
    send_bytes(std::move(bytes), frame ? point_of_incoming(*frame) : std::nullopt);
    return true;
}

// ---- Starting them ----

Result<std::unique_ptr<daemon::WorkerTransport>> SimulatedLauncher::start() {
    if (world_.points.hit(Point::kWorkerStart)) {
        return Error{ErrorCode::kUnavailable, "the daemon is dead"};
    }
    constexpr pid_t kFirstPid = 100;
    const auto pid = kFirstPid + static_cast<pid_t>(workers_.size());
    auto worker = std::make_shared<SimulatedWorker>(world_, images_, pid);
    workers_.push_back(worker);
    auto transport = std::make_unique<SimulatedTransport>(world_, context_, worker);
    worker->begin(*transport);
    return std::unique_ptr<daemon::WorkerTransport>(std::move(transport));
}

std::vector<std::shared_ptr<SimulatedWorker>> SimulatedLauncher::alive() const {
    std::vector<std::shared_ptr<SimulatedWorker>> out;
    for (const auto& held : workers_) {
        auto worker = held.lock();
        if (worker != nullptr && worker->alive()) {
            out.push_back(std::move(worker));
        }
    }
    return out;
}

void SimulatedLauncher::end_all() {
    for (const auto& worker : alive()) {
        worker->die("its daemon is dead");
    }
    for (const auto& held : workers_) {
        if (const auto worker = held.lock()) {
            worker->close_transport();
        }
    }
}

void SimulatedLauncher::pump() {
    for (const auto& worker : alive()) {
        worker->pump();
    }
}

}  // namespace rekindle::sim
