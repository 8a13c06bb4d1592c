#include "tests/front/fake_node.h"

#include <boost/asio/post.hpp>

#include <array>
#include <chrono>
#include <cstdlib>
#include <fcntl.h>
#include <utility>

namespace rekindle::daemon {
namespace {

constexpr std::chrono::seconds kPatience{30};  // Only ever waited for by a test that fails.

DeploymentInfo smol() {
    return {.name = "smol",
            .revision = "0123456789abcdef0123",
            .image = "sha256:aa",
            .architecture = "llama",
            .image_bytes = 1000,
            .context = 2048,
            .kv_type = "f16",
            .created_unix_s = 1'600'000'000,
            .price_input = "0.05",
            .price_output = "0.1",
            .price_cached = "0.01",
            .currency = "USD",
            .aliases = {"gpt"},
            .tier = "memory",
            .resident_bytes = 2000,
            .idle_for = std::chrono::milliseconds(1500)};
}

}  // namespace

GenerateStream::Event text_event(std::string text) {
    return Delta{TokensFrame{.sampled = 1, .text = std::move(text)}};
}

GenerateStream::Event last_event(Finish finish) {
    return Delta{TokensFrame{.sampled = 1, .finish = finish}};
}

Script hello_script() {
    Script script;
    script.events = {PromptReady{.prompt_tokens = 5}, text_event("Hel"), text_event("lo"),
                     last_event(Finish::kStop)};
    return script;
}

class FakeStream final : public GenerateStream {
public:
    FakeStream(FakeNode& node, GenerateRequest request)
        : node_(node), script_(node.script), request_(std::move(request)) {}

    ~FakeStream() override {
        node_.record([](Seen& seen) { seen.destroyed = true; });
    }

    FakeStream(const FakeStream&) = delete;
    FakeStream& operator=(const FakeStream&) = delete;

    Task<Result<Event>> next() override {
        while (at_ >= script_.hold_at && !node_.released_ && !ended_) {
            co_await node_.changed_.wait();
        }
        if (ended_) {
            co_return Error{ErrorCode::kCancelled, "the request has ended"};
        }
        if (at_ == script_.events.size()) {
            co_return script_.error.value_or(Error{ErrorCode::kInternal, "the script is over"});
        }
        Event event = script_.events[at_++];
        if (const auto* delta = std::get_if<Delta>(&event)) {
            sampled_ += delta->tokens.sampled;
        }
        co_return event;
    }

    void delivered(uint32_t tokens) override {
        delivered_ += tokens;
        node_.record([tokens](Seen& seen) { seen.delivered.push_back(tokens); });
    }

    Task<Result<billing::UsageFinal>> finish() override {
        if (script_.finish_error) {
            co_return *script_.finish_error;
        }
        node_.record([](Seen& seen) { seen.finished = true; });
        billing::RequestFacts facts;
        facts.id = request_.id;
        facts.model = request_.model;
        facts.prompt_tokens = script_.prompt_tokens;
        facts.cached_tokens = script_.cached_tokens;
        co_return billing::settle(facts, billing::Outcome::kCompleted, sampled_, sampled_, true);
    }

    void cancel() override {
        ended_ = true;
        node_.record([](Seen& seen) { seen.cancelled = true; });
        node_.changed_.notify();
    }

    void fail() override {
        ended_ = true;
        node_.record([](Seen& seen) { seen.failed = true; });
        node_.changed_.notify();
    }

    RequestTimes times() const override { return script_.times; }

private:
    FakeNode& node_;
    const Script script_;
    const GenerateRequest request_;
    size_t at_ = 0;
    uint32_t sampled_ = 0;
    uint32_t delivered_ = 0;
    bool ended_ = false;
};

// One line of progress, then the report.
class FakeBench final : public BenchStream {
public:
    explicit FakeBench(FakeNode& node) : node_(node) {}

    ~FakeBench() override {
        node_.record([](Seen& seen) { seen.bench_destroyed = true; });
    }

    FakeBench(const FakeBench&) = delete;
    FakeBench& operator=(const FakeBench&) = delete;

    Task<Result<Event>> next() override {
        const BenchRun run{.batch = 8, .prompt = 16, .answer = 4, .tokens_per_second = 250};
        if (!std::exchange(told_, true)) {
            co_return Event(BenchProgress{.done = 1, .total = 2, .run = run});
        }
        while (node_.bench_holds && !cancelled_) {
            co_await node_.changed_.wait();
        }
        if (cancelled_) {
            co_return Error{ErrorCode::kCancelled, "the bench has ended"};
        }
        if (node_.bench_breaks) {
            co_return *node_.bench_breaks;
        }
        BenchRow row{.median = run, .best_tokens_per_second = 260, .memory_share = 0.5};
        row.ops.push_back({.name = "down", .nanoseconds = 700, .calls = 3});
        BenchReport report{.model = "smol",
                           .revision = "0123",
                           .kernels = "scalar",
                           .kv_type = "f16",
                           .threads = 2,
                           .memory_bytes_per_second = 1000};
        report.rows.push_back(std::move(row));
        report.disturbed_by.emplace_back("model other");
        co_return Event(std::move(report));
    }

    void cancel() override {
        cancelled_ = true;
        node_.record([](Seen& seen) { seen.bench_cancelled = true; });
        node_.changed_.notify();
    }

private:
    FakeNode& node_;
    bool told_ = false;
    bool cancelled_ = false;
};

FakeNode::FakeNode(asio::io_context& context) : context_(context), changed_(context) {}

FakeNode::~FakeNode() = default;

std::vector<DeploymentInfo> FakeNode::deployments() const {
    return {smol()};
}

Result<DeploymentInfo> FakeNode::deployment(const std::string& name) const {
    if (name != "smol" && name != "gpt") {
        return Error{ErrorCode::kNotFound, "no model named \"" + name + "\" is deployed"};
    }
    return smol();
}

Task<Result<std::unique_ptr<GenerateStream>>> FakeNode::generate(GenerateRequest request) {
    record([&request](Seen& seen) { seen.requests.push_back(request); });
    if (script.generate_error) {
        co_return *script.generate_error;
    }
    std::unique_ptr<GenerateStream> stream =
        std::make_unique<FakeStream>(*this, std::move(request));
    co_return stream;
}

Task<Result<DeploymentInfo>> FakeNode::deploy(DeploySpec spec, UniqueFd source,
                                              OnProgress on_progress) {
    std::string bytes;
    const auto size = file_bytes(source.get());
    if (size) {
        bytes.resize(*size);
        const auto read = read_exact_at(source.get(), std::as_writable_bytes(std::span(bytes)), 0);
        static_cast<void>(read);  // A test that cares looks at the bytes.
    }
    record([&](Seen& seen) {
        seen.deploys.push_back(spec);
        seen.deployed_bytes = bytes;
    });
    if (deploy_error) {
        co_return *deploy_error;
    }
    on_progress(DeployProgress{"import", 1, 2});
    while (deploy_holds && !spec.cancelled->load()) {
        asio::steady_timer timer(context_, std::chrono::milliseconds(1));
        auto out = co_await timer.async_wait(kAsTuple);
        static_cast<void>(out);
    }
    record([&](Seen& seen) { seen.deploy_cancelled = spec.cancelled->load(); });
    co_return smol();
}

Task<Result<TransferInfo>> FakeNode::push(TransferSpec spec, OnProgress on_progress) {
    on_progress(DeployProgress{"push", 1, 2});
    TransferInfo info{.image = "aa", .image_bytes = 1000, .chunks = 2, .chunks_moved = 1};
    info.name = spec.name;
    record([&](Seen& seen) { seen.transfers.push_back(std::move(spec)); });
    co_return info;
}

Task<Result<TransferInfo>> FakeNode::pull(TransferSpec spec, OnProgress on_progress) {
    on_progress(DeployProgress{"pull", 1, 2});
    const bool serve = spec.serve;
    record([&](Seen& seen) { seen.transfers.push_back(std::move(spec)); });
    if (deploy_error) {
        co_return *deploy_error;
    }
    TransferInfo info{.image = "aa", .image_bytes = 1000, .chunks = 2, .chunks_moved = 1};
    info.arriving = serve;
    info.manifest = {{"name", "smol"}};
    co_return info;
}

Task<Result<DeployPlan>> FakeNode::plan(DeploySpec spec, UniqueFd /*source*/) {
    if (deploy_error) {
        co_return *deploy_error;
    }
    co_return DeployPlan{.name = spec.manifest.name,
                         .architecture = "llama",
                         .weights_bytes = 1000,
                         .tensors = 3,
                         .context = 2048,
                         .kv_bytes_per_sequence = 100,
                         .kv_bytes = 500,
                         .kv_type = "f16",
                         .price_input = "0.05",
                         .price_output = "0.1",
                         .price_cached = "0",
                         .currency = "USD"};
}

Task<Result<DeploymentInfo>> FakeNode::rollback(std::string name, std::string revision) {
    record([&](Seen& seen) { seen.changes.push_back("rollback " + name + " " + revision); });
    co_return deployment(name);
}

Task<Result<DeploymentDetails>> FakeNode::describe(std::string name) {
    const auto info = deployment(name);
    if (!info) {
        co_return info.error();
    }
    RevisionInfo earlier{.revision = "fedc",
                         .image = "bb",
                         .source = "old.gguf",
                         .image_bytes = 900,
                         .context = 1024,
                         .created_unix_s = 1'500'000'000,
                         .manifest = {{"rekindle", 1}}};
    RevisionInfo current{.source = "new.gguf", .manifest = {{"rekindle", 1}}};
    DeploymentDetails details{.info = *info, .current = std::move(current), .tensors = 3};
    details.history.push_back(std::move(earlier));
    co_return details;
}

std::vector<AliasInfo> FakeNode::aliases() const {
    return {{.alias = "gpt", .name = "smol", .by_manifest = true}};
}

Result<void> FakeNode::set_alias(const std::string& alias, const std::string& name) {
    record([&](Seen& seen) { seen.changes.push_back("set " + alias + " " + name); });
    const auto info = deployment(name);
    return info ? Result<void>() : info.error();
}

Result<void> FakeNode::remove_alias(const std::string& alias) {
    record([&](Seen& seen) { seen.changes.push_back("rm " + alias); });
    return alias == "gpt" ? Result<void>(Error{ErrorCode::kConflict, "in the manifest"})
                          : Result<void>();
}

Task<Result<void>> FakeNode::undeploy(std::string name) {
    if (name != "smol") {
        co_return Error{ErrorCode::kNotFound, "no model named \"" + name + "\" is deployed"};
    }
    record([&name](Seen& seen) { seen.undeployed.push_back(name); });
    co_return Result<void>();
}

Task<Result<std::unique_ptr<BenchStream>>> FakeNode::bench(BenchSpec spec) {
    record([&spec](Seen& seen) { seen.benches.push_back(spec); });
    const auto info = deployment(spec.model);
    if (bench_error || !info) {
        co_return bench_error ? *bench_error : info.error();
    }
    std::unique_ptr<BenchStream> stream = std::make_unique<FakeBench>(*this);
    co_return stream;
}

Task<Result<std::vector<billing::UsageRow>>> FakeNode::usage(billing::UsageQuery query) {
    record([&query](Seen& seen) { seen.usage_queries.push_back(query); });
    billing::UsageRow row{.group = query.by,
                          .requests = 2,
                          .prompt_tokens = 10,
                          .cached_tokens = 1,
                          .completion_tokens = 20,
                          .forgiven_tokens = 3,
                          .cost = 650'001,
                          .currency = "USD"};
    std::vector<billing::UsageRow> rows;
    rows.push_back(std::move(row));
    co_return rows;
}

Task<Result<billing::UsageFinal>> FakeNode::find_request(billing::RequestId id) {
    billing::RequestFacts facts;
    facts.id = id;
    facts.model = "smol";
    facts.prompt_tokens = 5;
    facts.price_input = 50'000;
    co_return billing::settle(facts, billing::Outcome::kCompleted, 3, 3, true);
}

std::vector<Unready> FakeNode::unready() const {
    std::vector<Unready> reasons = unready_for;
    if (is_draining) {
        reasons.push_back({"draining", "this node is shutting down"});
    }
    return reasons;
}

Result<UniqueFd> FakeNode::new_upload_file() {
    if (upload_error) {
        return *upload_error;
    }
    if (disk_full) {
        return UniqueFd(::open("/dev/full", O_WRONLY | O_CLOEXEC));
    }
    return create_memory_file("upload", 0);
}

void FakeNode::release() {
    asio::post(context_, [this] {
        released_ = true;
        changed_.notify();
    });
}

Seen FakeNode::seen() {
    const std::lock_guard lock(mutex_);
    return seen_;
}

bool FakeNode::wait_until(const std::function<bool(const Seen&)>& condition) {
    std::unique_lock lock(mutex_);
    return seen_changed_.wait_for(lock, kPatience, [&] { return condition(seen_); });
}

void FakeNode::record(const std::function<void(Seen&)>& change) {
    const std::lock_guard lock(mutex_);
    change(seen_);
    seen_changed_.notify_all();
}

}  // namespace rekindle::daemon
