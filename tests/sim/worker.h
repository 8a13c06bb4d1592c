// Workers on simulated time: the bytes between rekindled and a worker arrive late and in pieces,
// the worker's own logic (daemon/worker_core.h: prompts, leases, batch, pages) runs over an engine
// whose "model" is a hash, and processes crash, stall and lie as told. Threading: one thread.
#pragma once
#include "base/async/event.h"
#include "daemon/worker_core.h"
#include "daemon/worker_transport.h"
#include "tests/sim/images.h"
#include "tests/sim/world.h"

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace rekindle::sim {

// What a worker may do against the protocol. After each, rekindled ends it.
enum class Lie : uint8_t {
    kOverrun,      // Tokens beyond the lease.
    kBeforeGo,     // Tokens of the next request, before anything else about it.
    kTokenized,    // A prompt's size, a second time.
    kUnknownType,  // A header that names no frame.
    kNonsense,     // A payload that does not parse.
    kNotItsFrame,  // A frame that only rekindled sends.
    kFailed,       // That it must end, for no reason.
};
inline constexpr uint32_t kLies = 7;

class SimulatedWorker;

// The daemon's end of one worker.
class SimulatedTransport final : public daemon::WorkerTransport {
public:
    SimulatedTransport(World& world, asio::io_context& context,
                       std::shared_ptr<SimulatedWorker> worker)
        : world_(world), worker_(std::move(worker)), arrived_(context) {}
    ~SimulatedTransport() override;

    pid_t pid() const noexcept override;
    Task<bool> read(std::vector<std::byte>* out) override;
    Task<bool> write(daemon::WorkerMessage* message) override;
    void kill() override;
    std::string end() override;

    // Of the worker's side.
    void arrive(std::span<const std::byte> bytes);
    void close();

private:
    World& world_;
    const std::shared_ptr<SimulatedWorker> worker_;
    Event arrived_;
    std::deque<std::byte> bytes_;
    bool closed_ = false;
    Nanoseconds last_arrival_{};  // Of what the daemon wrote: order is kept.
};

class SimulatedWorker final : public std::enable_shared_from_this<SimulatedWorker> {
public:
    SimulatedWorker(World& world, const Images& images, pid_t pid)
        : world_(world), images_(images), pid_(pid) {}
    ~SimulatedWorker();

    void begin(SimulatedTransport& transport);
    // Bytes from rekindled.
    void receive(std::vector<std::byte> bytes, std::vector<UniqueFd> descriptors);
    // A restore went on: what waited for bytes may continue.
    void pump();

    // --- faults ---
    void die(std::string how);
    // Dies while it sends its next frame: a part of it arrives.
    void die_in_next_frame() { dies_in_frame_ = true; }
    void stall(Nanoseconds time);
    // False when there is no occasion for it.
    bool lie(Lie kind);

    pid_t pid() const noexcept { return pid_; }
    bool alive() const noexcept { return alive_; }
    bool serving() const noexcept { return model_ != nullptr; }
    bool busy() const noexcept { return runner_ && !runner_->empty(); }
    const std::string& model() const noexcept { return model_name_; }
    // It has computed at least one step, so its image was whole.
    bool ran() const noexcept { return ran_; }
    const std::string& image_digest() const noexcept { return image_->digest; }
    const std::string& how_it_ended() const noexcept { return how_; }
    // It did what no worker may.
    bool dishonest() const noexcept { return lied_at_.has_value(); }
    std::optional<Nanoseconds> lied_at() const noexcept { return lied_at_; }
    void forget_transport() noexcept { transport_ = nullptr; }
    void close_transport() {
        if (transport_ != nullptr) {
            transport_->close();
        }
    }

private:
    void take_frames();
    void handle(daemon::Frame frame);
    void on_assign(const daemon::AssignFrame& assign);
    bool must_wait(const daemon::Frame& frame) const;
    void schedule_step();
    void step();
    void check_pages();
    Result<void> send(std::span<const daemon::Frame> frames);
    void send_bytes(std::vector<std::byte> bytes, std::optional<Point> point);
    daemon::SendFrames sender();

    World& world_;
    const Images& images_;
    const pid_t pid_;
    SimulatedTransport* transport_ = nullptr;
    bool alive_ = true;
    bool dies_in_frame_ = false;
    bool lies_at_submit_ = false;
    bool ran_ = false;
    Nanoseconds stalled_until_{};
    std::optional<Nanoseconds> lied_at_;
    std::string how_;
    Nanoseconds last_delivery_{};

    std::vector<std::byte> bytes_;  // Of frames that are not whole yet.
    std::vector<UniqueFd> descriptors_;
    std::deque<daemon::Frame> frames_;

    std::string model_name_;
    const Image* image_ = nullptr;
    std::unique_ptr<daemon::WorkerModel> model_;
    std::optional<daemon::PromptReader> reader_;
    std::optional<daemon::BatchRunner> runner_;
    std::deque<daemon::EngineCommand> commands_;
    bool step_scheduled_ = false;
    uint32_t pages_ = 0;
    std::set<uint64_t> submitted_;  // Not refused, not gone.
    std::set<uint64_t> running_;
};

class SimulatedLauncher final : public daemon::WorkerLauncher {
public:
    SimulatedLauncher(World& world, asio::io_context& context, const Images& images)
        : world_(world), context_(context), images_(images) {}

    Result<std::unique_ptr<daemon::WorkerTransport>> start() override;
    // Those that run.
    std::vector<std::shared_ptr<SimulatedWorker>> alive() const;
    // The daemon is dead: they die with it.
    void end_all();
    void pump();

private:
    World& world_;
    asio::io_context& context_;
    const Images& images_;
    std::vector<std::weak_ptr<SimulatedWorker>> workers_;
};

}  // namespace rekindle::sim
