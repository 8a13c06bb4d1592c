// What the HTTP front asks of the node: deployments, and requests that turn into streams of events.
// Behind it stand the catalog, the host tier, the worker pool, the gates and the ledger.
// Threading: every member on the node's io thread.
#pragma once
#include "base/async/asio.h"
#include "base/json.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "billing/ledger.h"
#include "daemon/api/manifest.h"
#include "daemon/frames.h"
#include "daemon/watch.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace rekindle::daemon {

// ---- Deployments ----

struct DeploySpec {
    api::Manifest manifest;
    // True once the client that deploys has left: the import may stop. Null: never. Shared, because
    // the client's request ends before the import notices.
    std::shared_ptr<const std::atomic<bool>> cancelled;
};

// Tokens that were guessed and computed, and those that were right; of them, those of the draft
// model.
struct GuessTotals {
    uint64_t computed = 0;
    uint64_t right = 0;
    uint64_t of_draft = 0;
    uint64_t of_draft_right = 0;
};

struct DeploymentInfo {
    std::string name;
    std::string revision;  // Digest of the canonical manifest.
    std::string image;     // Image digest.
    std::string architecture;
    uint64_t image_bytes = 0;
    uint32_t context = 0;
    std::string kv_type;
    int64_t created_unix_s = 0;
    std::string price_input;
    std::string price_output;
    std::string price_cached;
    std::string currency;
    std::vector<std::string> aliases;
    // Residency, for `ps`.
    std::string tier;             // "worker", "memory", "disk", "remote"
    uint64_t resident_bytes = 0;  // Weights and KV in memory.
    uint32_t active_requests = 0;
    std::optional<std::chrono::milliseconds> idle_for;  // Nothing while busy or never used.
    int32_t worker_pid = 0;                             // 0: no worker.
    bool restoring = false;  // Its weights are still on their way into memory.
    GuessTotals guesses;
    std::string draft_image;  // Digest; empty: it has no draft model.
    std::string draft_state;  // Of the worker's: "restoring", "ready", "failed"; else empty.
    // Its image is still on its way here.
    struct Arriving {
        uint64_t bytes_here = 0;
        uint64_t bytes = 0;
        std::string remote;
        std::string problem;  // Why nothing came last; empty: it does.
    };
    std::optional<Arriving> arriving;
};

struct DeployProgress {
    std::string phase;  // "fetch", "verify", "import", "check"; "push", "pull"
    uint64_t done = 0;
    uint64_t total = 0;
};

// An image to or from a remote place.
struct TransferSpec {
    std::string remote;  // file:///FOLDER, s3://BUCKET/PREFIX, https://HOST/PATH
    std::string what;    // Of a push a model's name, of a pull an image's: NAME or sha256:DIGEST.
    std::string name;    // Of a push: what the image is called there.
    bool serve = false;  // A pull: the index alone is waited for; chunks come behind.
    std::shared_ptr<const std::atomic<bool>> cancelled;  // As of a DeploySpec.
};

struct TransferInfo {
    std::string image;  // Digest.
    uint64_t image_bytes = 0;
    uint64_t chunks = 0;
    uint64_t chunks_moved = 0;  // The others were there.
    uint64_t bytes_moved = 0;   // On the wire.
    std::string name;           // Of a push.
    json::object manifest;      // Of a pull: the deployment that was pushed; may be empty.
    bool arriving = false;      // Of a pull that serves: chunks are still to come.
};

// One revision of a deployment, current or earlier.
struct RevisionInfo {
    std::string revision;
    std::string image;
    std::string source;  // What its manifest called the model.
    uint64_t image_bytes = 0;
    uint32_t context = 0;
    int64_t created_unix_s = 0;
    json::object manifest;  // Canonical.
};

struct DeploymentDetails {
    DeploymentInfo info;
    RevisionInfo current;
    std::vector<RevisionInfo> history;  // The latest replaced first.
    uint64_t tensors = 0;               // Of the image.
};

struct AliasInfo {
    std::string alias;
    std::string name;
    bool by_manifest = false;  // Else it was set by hand.
};

// What a deployment would need; nothing is changed to find out.
struct DeployPlan {
    std::string name;
    std::string architecture;
    std::string revision;  // Empty while the image is not made.
    std::string replaces;  // The revision that it would replace; empty: a new name.
    uint64_t weights_bytes = 0;
    uint64_t tensors = 0;
    uint32_t context = 0;
    uint64_t kv_bytes_per_sequence = 0;  // At the whole context; 0: not known.
    uint64_t kv_bytes = 0;
    std::string kv_type;
    std::optional<std::chrono::milliseconds> restore;  // Nothing: no restore was measured yet.
    std::string price_input;
    std::string price_output;
    std::string price_cached;
    std::string currency;
};

// What deployments do to request bodies, by every name that a model has. Never changed once made.
using RequestRuleBook =
    std::map<std::string, std::shared_ptr<const api::RequestRules>, std::less<>>;

// ---- Requests ----

struct GenerateRequest {
    billing::RequestId id;
    std::string model;
    SubmitFrame submit;         // `id` is filled by the node.
    uint64_t prompt_bytes = 0;  // Upper bound of the prompt's tokens, for gate 1.
    bool streamed = false;
    std::string organization = "default";
    std::string project = "default";
    std::string key = "default";  // The API key's id.
};

struct PromptReady {
    uint32_t prompt_tokens = 0;
    uint32_t cached_tokens = 0;
};

struct Delta {
    TokensFrame tokens;
};

// All times of one request, for Server-Timing and traces.
struct RequestTimes {
    std::chrono::nanoseconds queue{};
    std::chrono::nanoseconds restore{};
    std::chrono::nanoseconds first_layer{};  // Of restore or prefill, held up by the first layer.
    std::chrono::nanoseconds prefill{};
    std::chrono::nanoseconds decode{};
};

// One running request. Every stream ends with exactly one settle() call, made by finish() or by the
// destructor (which counts as a disconnect); nothing is billed twice.
class GenerateStream {
public:
    virtual ~GenerateStream() = default;
    // The prompt's size first, then deltas until one carries a finish, or an error. After a finish
    // or an error: no more calls.
    using Event = std::variant<PromptReady, Delta>;
    virtual Task<Result<Event>> next() = 0;
    // `tokens` completion tokens were handed to the socket (streamed answers; call after the
    // write).
    virtual void delivered(uint32_t tokens) = 0;
    // Settles and makes the record durable: call before the last event is sent. For a whole answer
    // in one body, pass all of its tokens as delivered first. kUnavailable: the ledger is broken.
    virtual Task<Result<billing::UsageFinal>> finish() = 0;
    // The client is gone: work stops within a step, billed is what was delivered.
    virtual void cancel() = 0;
    // We break the answer off (shutdown): as cancel(), but nothing is billed.
    virtual void fail() = 0;
    virtual RequestTimes times() const = 0;
};

// ---- Benches ----

inline constexpr size_t kBenchBatchesMax = 16;    // Batch sizes of one bench.
inline constexpr uint32_t kBenchRepeatMax = 100;  // Rounds of all its cases.

// A prompt of `prefill` tokens alone, then for each batch size as many prompts and answers; all of
// it `repeat` times.
struct BenchSpec {
    std::string model;  // Name or alias.
    std::vector<uint32_t> batches;
    uint32_t prompt = 0;  // Tokens of each sequence of a batch.
    uint32_t answer = 0;
    uint32_t prefill = 0;
    uint32_t repeat = 0;
    bool profile = false;
};

// One case, once.
struct BenchRun {
    uint32_t batch = 0;
    uint32_t prompt = 0;
    uint32_t answer = 0;  // 0: the prompt alone was measured, else the answers.
    double tokens_per_second = 0;
};

struct BenchProgress {
    uint32_t done = 0;
    uint32_t total = 0;  // Cases in all rounds.
    std::optional<BenchRun> run;
};

// One case over all rounds.
struct BenchRow {
    BenchRun median;
    double best_tokens_per_second = 0;
    double memory_share = 0;           // Of the median run: what it read, of what could be read.
    std::optional<double> int8_share;  // Nothing: these kernels have no such limit.
    std::vector<BenchOpItem> ops;      // Of all rounds; the longest first.
};

struct BenchReport {
    std::string model;
    std::string revision;
    std::string kernels;
    std::string kv_type;
    uint32_t threads = 0;
    uint64_t memory_bytes_per_second = 0;
    uint64_t int8_per_second = 0;  // 0: no such limit.
    std::vector<BenchRow> rows;
    // Of requests, as of the bench's beginning: nothing is guessed while it measures.
    GuessTotals guesses;
    // What else the node did meanwhile: such figures are worth little. Empty: nothing.
    std::vector<std::string> disturbed_by;
};

// A bench that is under way, in a worker of its own. Destroying it ends the worker.
class BenchStream {
public:
    virtual ~BenchStream() = default;
    // Progress until the report, or an error; no more calls after either.
    using Event = std::variant<BenchProgress, BenchReport>;
    virtual Task<Result<Event>> next() = 0;
    // Ends the worker; a next() that waits gives kCancelled.
    virtual void cancel() = 0;
};

class Node {
public:
    virtual ~Node() = default;

    // `source` is a readable descriptor of a model file (the client's own or an uploaded one);
    // invalid when the manifest names an image or an address.
    using OnProgress = std::function<void(DeployProgress)>;
    virtual Task<Result<DeploymentInfo>> deploy(DeploySpec spec, UniqueFd source,
                                                OnProgress on_progress) = 0;
    // Checks a deployment and tells what it would need.
    virtual Task<Result<DeployPlan>> plan(DeploySpec spec, UniqueFd source) = 0;
    // Makes an earlier revision the current one: the one whose digest begins with `revision`, or
    // the last one when that is empty.
    virtual Task<Result<DeploymentInfo>> rollback(std::string name, std::string revision) = 0;
    virtual Task<Result<DeploymentDetails>> describe(std::string name) = 0;
    virtual std::vector<AliasInfo> aliases() const = 0;
    virtual Result<void> set_alias(const std::string& alias, const std::string& name) = 0;
    virtual Result<void> remove_alias(const std::string& alias) = 0;
    virtual Task<Result<void>> undeploy(std::string name) = 0;
    virtual std::vector<DeploymentInfo> deployments() const = 0;
    // Memory that no image holds, kept ready for the next one.
    virtual uint64_t ready_bytes() const = 0;
    // By name or alias.
    virtual Result<DeploymentInfo> deployment(const std::string& name) const = 0;
    // Null: there are none.
    virtual std::shared_ptr<const RequestRuleBook> request_rules() const = 0;

    // Gate 1, then wakes the model. kNotFound, kOverloaded, kUnavailable (draining, ledger).
    virtual Task<Result<std::unique_ptr<GenerateStream>>> generate(GenerateRequest request) = 0;

    // kConflict while another bench runs, kInvalidArgument for cases beyond the model's context or
    // this node's memory.
    virtual Task<Result<std::unique_ptr<BenchStream>>> bench(BenchSpec spec) = 0;

    virtual Task<Result<std::vector<billing::UsageRow>>> usage(billing::UsageQuery query) = 0;
    virtual Task<Result<billing::UsageFinal>> find_request(billing::RequestId id) = 0;
    // An open file without a name in the data folder, for uploads. kNoSpace, kIo.
    virtual Result<UniqueFd> new_upload_file() = 0;
    // For DIR/admin.sock.
    virtual const std::string& data_folder() const = 0;
    virtual bool draining() const = 0;
    // Why requests should go elsewhere; empty when they should not. Never wakes a model.
    virtual std::vector<Unready> unready() const = 0;
    // Numbers as of the last refresh_metrics(), which wakes no model, and traces.
    virtual Watch& watch() = 0;
    virtual void refresh_metrics() = 0;

    // Moves what is missing on the other side. A pull makes no deployment.
    virtual Task<Result<TransferInfo>> push(TransferSpec spec, OnProgress on_progress) = 0;
    virtual Task<Result<TransferInfo>> pull(TransferSpec spec, OnProgress on_progress) = 0;
};

}  // namespace rekindle::daemon
