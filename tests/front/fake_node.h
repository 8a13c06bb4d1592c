// A node that plays a script: what it says is fixed, what it is told is recorded.
// Threading: Node's members on the io thread; everything below "for tests" from the test's thread.
#pragma once
#include "base/async/event.h"
#include "daemon/node.h"

#include <condition_variable>
#include <functional>
#include <limits>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace rekindle::daemon {

// One request's events. At `hold_at` the node falls silent until release() or the request's end.
struct Script {
    std::vector<GenerateStream::Event> events;
    std::optional<Error> error;  // After the events.
    std::optional<Error> generate_error;
    std::optional<Error> finish_error;
    size_t hold_at = std::numeric_limits<size_t>::max();
    uint32_t prompt_tokens = 5;
    uint32_t cached_tokens = 0;
    RequestTimes times;
};

// PromptReady, then one frame a token: "Hel", "lo", then the end without text.
Script hello_script();
GenerateStream::Event text_event(std::string text);
GenerateStream::Event last_event(Finish finish);

struct Seen {
    std::vector<GenerateRequest> requests;
    std::vector<uint32_t> delivered;
    bool cancelled = false;
    bool failed = false;
    bool finished = false;
    bool destroyed = false;  // The stream's handle.
    std::vector<DeploySpec> deploys;
    std::string deployed_bytes;
    bool deploy_cancelled = false;
    std::vector<std::string> undeployed;
    std::vector<std::string> changes;  // "rollback smol ab", "set x smol", "rm x"
    std::vector<billing::UsageQuery> usage_queries;
    std::vector<BenchSpec> benches;
    std::vector<TransferSpec> transfers;  // Pushes have a name.
    bool bench_cancelled = false;
    bool bench_destroyed = false;
};

class FakeNode final : public Node {
public:
    explicit FakeNode(asio::io_context& context);
    ~FakeNode() override;

    Task<Result<DeploymentInfo>> deploy(DeploySpec spec, UniqueFd source,
                                        OnProgress on_progress) override;
    Task<Result<TransferInfo>> push(TransferSpec spec, OnProgress on_progress) override;
    Task<Result<TransferInfo>> pull(TransferSpec spec, OnProgress on_progress) override;
    Task<Result<DeployPlan>> plan(DeploySpec spec, UniqueFd source) override;
    Task<Result<DeploymentInfo>> rollback(std::string name, std::string revision) override;
    Task<Result<DeploymentDetails>> describe(std::string name) override;
    std::vector<AliasInfo> aliases() const override;
    Result<void> set_alias(const std::string& alias, const std::string& name) override;
    Result<void> remove_alias(const std::string& alias) override;

    std::shared_ptr<const RequestRuleBook> request_rules() const override { return rules; }

    Task<Result<void>> undeploy(std::string name) override;
    std::vector<DeploymentInfo> deployments() const override;
    uint64_t ready_bytes() const override { return 4096; }
    Result<DeploymentInfo> deployment(const std::string& name) const override;
    Task<Result<std::unique_ptr<GenerateStream>>> generate(GenerateRequest request) override;
    Task<Result<std::unique_ptr<BenchStream>>> bench(BenchSpec spec) override;
    Task<Result<std::vector<billing::UsageRow>>> usage(billing::UsageQuery query) override;
    Task<Result<billing::UsageFinal>> find_request(billing::RequestId id) override;
    Result<UniqueFd> new_upload_file() override;

    const std::string& data_folder() const override { return data_folder_; }

    bool draining() const override { return is_draining; }

    std::vector<Unready> unready() const override;

    Watch& watch() override { return watch_; }

    void refresh_metrics() override {}

    // ---- for tests ----
    Script script = hello_script();  // Set before a request is sent.
    bool is_draining = false;
    std::vector<Unready> unready_for;
    ManualClock clock;
    std::shared_ptr<const RequestRuleBook> rules;
    std::optional<Error> deploy_error;
    std::optional<Error> upload_error;
    bool disk_full = false;     // Uploads go where nothing can be written.
    bool deploy_holds = false;  // Until its client has left.
    std::optional<Error> bench_error;
    std::optional<Error> bench_breaks;  // After its first line.
    bool bench_holds = false;           // After its first line, until it is cancelled.
    void release();
    Seen seen();
    // False when `condition` did not come true for a long time.
    bool wait_until(const std::function<bool(const Seen&)>& condition);
    void record(const std::function<void(Seen&)>& change);

private:
    friend class FakeStream;
    friend class FakeBench;

    asio::io_context& context_;
    Event changed_;
    Watch watch_{clock};
    bool released_ = false;
    std::string data_folder_ = "/data";
    std::mutex mutex_;
    std::condition_variable seen_changed_;
    Seen seen_;
};

}  // namespace rekindle::daemon
