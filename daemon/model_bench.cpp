#include "daemon/model_bench.h"

#include "base/log.h"
#include "daemon/worker_assign.h"

#include <boost/asio/post.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace rekindle::daemon {
namespace {

constexpr double kNanosecondsPerSecond = 1e9;

std::vector<BenchFrame> cases_of(const BenchSpec& spec) {
    std::vector<BenchFrame> cases{{.batch = 1, .prompt = spec.prefill, .profile = spec.profile}};
    for (const uint32_t batch : spec.batches) {
        cases.push_back({.batch = batch,
                         .prompt = spec.prompt,
                         .answer = spec.answer,
                         .profile = spec.profile});
    }
    return cases;
}

// What a case is about: its answers, or its prompt when it has none.
const BenchPhaseItem& measured_phase(const BenchedFrame& times) noexcept {
    return times.decode.tokens > 0 ? times.decode : times.prefill;
}

double per_second(uint64_t count, const BenchPhaseItem& phase) noexcept {
    return static_cast<double>(count) * kNanosecondsPerSecond /
           static_cast<double>(phase.nanoseconds);
}

void add_ops(std::vector<BenchOpItem>& sums, const std::vector<BenchOpItem>& ops) {
    for (const BenchOpItem& op : ops) {
        const auto found = std::find_if(sums.begin(), sums.end(), [&op](const BenchOpItem& sum) {
            return sum.name == op.name;
        });
        if (found == sums.end()) {
            sums.push_back(op);
        } else {
            found->nanoseconds += op.nanoseconds;
            found->calls += op.calls;
        }
    }
}

class Stream final : public BenchStream {
public:
    explicit Stream(std::shared_ptr<ModelBench> bench) : bench_(std::move(bench)) {}

    ~Stream() override { cancel(); }

    Stream(const Stream&) = delete;
    Stream& operator=(const Stream&) = delete;

    Task<Result<Event>> next() override { return bench_->next(bench_); }

    void cancel() override { bench_->end(Error{ErrorCode::kCancelled, "the bench has ended"}); }

private:
    const std::shared_ptr<ModelBench> bench_;
};

}  // namespace

std::unique_ptr<BenchStream> make_bench_stream(std::shared_ptr<ModelBench> bench) {
    return std::make_unique<Stream>(std::move(bench));
}

ModelBench::ModelBench(BenchServices services, const BenchSpec& spec,
                       const DeploymentRecord& record, BenchWorker worker)
    : services_(std::move(services)),
      model_(record.name),
      revision_(record.revision),
      image_(record.image),
      worker_(worker),
      cases_(cases_of(spec)),
      runs_total_(static_cast<uint32_t>(cases_.size()) * spec.repeat),
      changed_(services_.context) {}

ModelBench::~ModelBench() {
    REKINDLE_CHECK(link_ == nullptr, "a bench is ended before it is released");
}

Result<std::shared_ptr<snapshot::ResidentImage>> ModelBench::acquire_image() {
    std::weak_ptr<ModelBench> weak = weak_from_this();
    return services_.tier.acquire(
        image_, [weak, &context = services_.context](Result<snapshot::RestoreTimes> times) {
            asio::post(context, [weak, times = std::move(times)] {
                if (const auto self = weak.lock()) {
                    self->on_restored(times);
                }
            });
        });
}

Result<void> ModelBench::start(uint64_t kv_bytes) {
    auto image = acquire_image();
    if (!image) {
        return std::move(image).error().with_context("model " + model_);
    }
    const auto kv = snapshot::KvFiles::create(kv_bytes);
    if (!kv) {
        return kv.error();
    }
    auto assignment = make_assignment(**image, *kv);
    if (!assignment) {
        return assignment.error();
    }
    auto link = services_.pool.take();
    if (!link) {
        return link.error();
    }
    assignment->frame.model = model_;
    assignment->frame.threads = worker_.threads;
    assignment->frame.kv_type = worker_.kv_type;
    link_ = std::move(link).value();
    link_->hold(std::move(image).value());
    link_->listen(this);
    link_->send_with_descriptors(Frame(std::move(assignment->frame)), std::move(assignment->files));
    log_info("bench_started", {{"model", model_}, {"pid", link_->pid()}});
    return {};
}

void ModelBench::end(const Error& why) {
    if (!error_) {
        error_ = why;
    }
    if (link_ != nullptr) {
        log_info("bench_ended", {{"model", model_}, {"pid", link_->pid()}});
        services_.pool.dismiss(std::exchange(link_, nullptr));
    }
    changed_.notify();
}

void ModelBench::look_around() {
    for (std::string& work : services_.work_now()) {
        disturbed_by_.insert(std::move(work));
    }
}

void ModelBench::on_restored(const Result<snapshot::RestoreTimes>& times) {
    if (!times) {
        end(times.error().with_context("model " + model_));
        return;
    }
    restored_ = true;
    changed_.notify();
}

void ModelBench::on_benched(BenchedFrame frame) {
    if (!frame.error.empty()) {
        end(Error{frame.code, fmt::format("model {}: {}", model_, frame.error)});
        return;
    }
    const bool answers = next_case().answer > 0;
    if (!std::exchange(measuring_, false) || answers != (frame.decode.tokens > 0)) {
        end(Error{ErrorCode::kCorrupt, "the worker sent figures that nobody asked for"});
        return;
    }
    benched_ = std::move(frame);
    changed_.notify();
}

void ModelBench::on_frame(Frame frame) {
    if (auto* benched = std::get_if<BenchedFrame>(&frame)) {
        on_benched(std::move(*benched));
    } else if (const auto* assigned = std::get_if<AssignedFrame>(&frame)) {
        if (!assigned->error.empty()) {
            end(Error{assigned->code, fmt::format("model {}: {}", model_, assigned->error)});
            return;
        }
        assigned_ = true;
        kernels_ = link_->kernels();
        changed_.notify();
    } else if (!std::holds_alternative<HelloFrame>(frame)) {
        end(Error{ErrorCode::kCorrupt, "the worker sent a frame that is no part of a bench"});
    }
}

void ModelBench::on_end(const Error& reason) {
    const auto ended = std::exchange(link_, nullptr);
    log_warning("worker_died",
                {{"model", model_}, {"pid", ended->pid()}, {"reason", reason.message}});
    end(Error{ErrorCode::kUnavailable,
              fmt::format("model {}: the worker died during the bench ({}): run it again", model_,
                          reason.message)});
}

BenchFrame ModelBench::next_case() const {
    BenchFrame frame = cases_[measured_.size() % cases_.size()];
    frame.seed = warmed_up_ ? 1 + measured_.size() / cases_.size() : 0;
    return frame;
}

Task<Result<BenchStream::Event>> ModelBench::next(std::shared_ptr<ModelBench> self) {
    if (!std::exchange(told_, true)) {
        co_return BenchStream::Event(BenchProgress{.total = runs_total_});
    }
    while (!self->error_ && !(restored_ && assigned_)) {
        co_await changed_.wait();
    }
    if (!error_ && measured_.size() == runs_total_) {
        co_return BenchStream::Event(report());
    }
    while (!error_ && !benched_) {
        if (!std::exchange(measuring_, true)) {
            look_around();
            link_->send(Frame(next_case()));
        }
        co_await changed_.wait();
        if (benched_ && !std::exchange(warmed_up_, true)) {
            benched_.reset();
        }
    }
    if (error_) {
        co_return *error_;
    }
    look_around();
    measured_.push_back({measured_.size() % cases_.size(), *std::exchange(benched_, std::nullopt)});
    co_return BenchStream::Event(BenchProgress{.done = static_cast<uint32_t>(measured_.size()),
                                               .total = runs_total_,
                                               .run = run_of(measured_.back())});
}

BenchRun ModelBench::run_of(const Measured& measured) const {
    const BenchFrame& what = cases_[measured.what];
    const BenchPhaseItem& phase = measured_phase(measured.times);
    return {.batch = what.batch,
            .prompt = what.prompt,
            .answer = what.answer,
            .tokens_per_second = per_second(phase.tokens, phase)};
}

BenchRow ModelBench::row_of(size_t what) const {
    std::vector<Measured> rounds;
    BenchRow row;
    for (const Measured& measured : measured_) {
        if (measured.what == what) {
            rounds.push_back(measured);
            add_ops(row.ops, measured.times.ops);
        }
    }
    std::sort(rounds.begin(), rounds.end(), [this](const Measured& a, const Measured& b) {
        return run_of(a).tokens_per_second < run_of(b).tokens_per_second;
    });
    std::sort(row.ops.begin(), row.ops.end(), [](const BenchOpItem& a, const BenchOpItem& b) {
        return a.nanoseconds > b.nanoseconds;
    });
    const Measured& median = rounds[(rounds.size() - 1) / 2];  // Of an even number the slower one.
    const BenchPhaseItem& phase = measured_phase(median.times);
    const BenchedFrame& last = measured_.back().times;  // Its limits are the best of all.
    row.median = run_of(median);
    row.best_tokens_per_second = run_of(rounds.back()).tokens_per_second;
    row.memory_share =
        per_second(phase.bytes, phase) / static_cast<double>(last.memory_bytes_per_second);
    if (last.int8_per_second > 0) {
        row.int8_share =
            per_second(phase.operations, phase) / static_cast<double>(last.int8_per_second);
    }
    return row;
}

BenchReport ModelBench::report() const {
    const BenchedFrame& last = measured_.back().times;
    BenchReport report{.model = model_,
                       .revision = revision_,
                       .kernels = kernels_,
                       .kv_type = std::string(kernels::kv_type_name(worker_.kv_type)),
                       .threads = worker_.threads,
                       .memory_bytes_per_second = last.memory_bytes_per_second,
                       .int8_per_second = last.int8_per_second,
                       .guesses = worker_.guesses,
                       .disturbed_by = {disturbed_by_.begin(), disturbed_by_.end()}};
    for (size_t what = 0; what < cases_.size(); ++what) {
        report.rows.push_back(row_of(what));
    }
    return report;
}

}  // namespace rekindle::daemon
