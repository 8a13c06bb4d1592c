// A model measured on this node: a worker of its own, whose cases run one after the other while
// nobody is served by it. What the model's requests do meanwhile is not held up, but it spoils the
// figures, and that is told.
// Invariant: the worker lives no longer than the bench's stream.
// Threading: the io thread. Lifetime: shared by its stream and by callbacks that are under way.
#pragma once
#include "base/async/asio.h"
#include "base/async/event.h"
#include "base/result.h"
#include "daemon/catalog.h"
#include "daemon/node.h"
#include "daemon/worker_link.h"
#include "daemon/worker_pool.h"
#include "snapshot/tiers/host_tier.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace rekindle::daemon {

struct BenchServices {
    asio::io_context& context;
    WorkerPool& pool;
    snapshot::HostTier& tier;
    // What else the node is doing, in words.
    std::function<std::vector<std::string>()> work_now;
};

struct BenchWorker {
    uint32_t threads = 1;
    kernels::KvType kv_type = kernels::KvType::kF16;
    GuessTotals guesses{};  // Of the model's requests so far, for the report.
};

class ModelBench final : public WorkerLink::Listener,
                         public std::enable_shared_from_this<ModelBench> {
public:
    ModelBench(BenchServices services, const BenchSpec& spec, const DeploymentRecord& record,
               BenchWorker worker);
    ~ModelBench() override;

    // Takes a worker and gives it the image and so much KV memory.
    Result<void> start(uint64_t kv_bytes);
    Task<Result<BenchStream::Event>> next(std::shared_ptr<ModelBench> self);
    // Ends the worker; `why` is what next() gives from now on.
    void end(const Error& why);

    bool ended() const noexcept { return error_.has_value(); }

    // Remembers what else the node is doing.
    void look_around();

    void on_frame(Frame frame) override;
    void on_end(const Error& reason) override;

private:
    struct Measured {
        size_t what = 0;  // Of cases_.
        BenchedFrame times;
    };

    Result<std::shared_ptr<snapshot::ResidentImage>> acquire_image();
    void on_restored(const Result<snapshot::RestoreTimes>& times);
    void on_benched(BenchedFrame frame);
    BenchFrame next_case() const;
    BenchRun run_of(const Measured& measured) const;
    BenchRow row_of(size_t what) const;
    BenchReport report() const;

    const BenchServices services_;
    const std::string model_;
    const std::string revision_;
    const std::string image_;
    const BenchWorker worker_;
    std::vector<BenchFrame> cases_;
    const uint32_t runs_total_;

    std::shared_ptr<WorkerLink> link_;
    std::string kernels_;
    bool restored_ = false;
    bool assigned_ = false;
    bool told_ = false;       // That it began.
    bool warmed_up_ = false;  // The first case ran once without being counted.
    bool measuring_ = false;
    std::optional<BenchedFrame> benched_;
    std::vector<Measured> measured_;
    std::set<std::string> disturbed_by_;
    std::optional<Error> error_;
    Event changed_;
};

// The handle that the front gets.
std::unique_ptr<BenchStream> make_bench_stream(std::shared_ptr<ModelBench> bench);

}  // namespace rekindle::daemon
