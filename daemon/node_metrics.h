// What the node counts, under the names that dashboards know: vLLM's, llama.cpp's, and ours for
// cold starts, tiers and money (docs/metrics.md). A value is shown only where it is true: gauges of
// workers exist while their worker does.
// Threading: the io thread. Ownership: the node.
#pragma once
#include "base/clock.h"
#include "base/metrics.h"
#include "billing/usage_event.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace rekindle::daemon {

// vLLM's names; label model_name. The finished_reason is "stop", "length", "abort" (the client
// left) or "error".
struct VllmMetrics {
    explicit VllmMetrics(MetricRegistry& registry);

    Gauge& requests_running;
    Gauge& requests_waiting;
    Gauge& kv_cache_usage;  // 0 to 1.
    Counter& prompt_tokens;
    Counter& prefix_cache_queries;
    Counter& prefix_cache_hits;
    Counter& generation_tokens;
    Counter& drafts;
    Counter& draft_tokens;
    Counter& draft_accepted;
    Counter& request_success;
    Histogram& time_to_first_token;
    Histogram& inter_token_latency;
    Histogram& e2e_latency;
    Histogram& queue_time;
    Histogram& prefill_time;
    Histogram& decode_time;
    Histogram& request_prompt_tokens;
    Histogram& request_generation_tokens;
    Histogram& iteration_tokens;
};

// llama.cpp's names, over all models of the node, as its server has them: without labels.
struct LlamaMetrics {
    explicit LlamaMetrics(MetricRegistry& registry);

    Counter& prompt_tokens;
    Counter& prompt_seconds;
    Counter& tokens_predicted;
    Counter& tokens_predicted_seconds;
    Counter& decodes;
    Gauge& prompt_rate;
    Gauge& predicted_rate;
    Gauge& busy_per_decode;
    Gauge& requests_processing;
    Gauge& requests_deferred;
    Int128 busy_sum = 0;  // Sequences over all steps.
};

struct RekindleMetrics {
    explicit RekindleMetrics(MetricRegistry& registry);

    Histogram& cold_start;
    Counter& restores;
    Counter& self_checks;
    Counter& restore_bytes;
    Counter& weights_wait;
    Histogram& step_seconds;
    Counter& draft_guesses;
    Counter& draft_right;
    Counter& draft_computed;
    Counter& draft_seconds;
    Gauge& models;
    Gauge& resident_bytes;
    Gauge& retained_disk;
    Gauge& memory_budget;
    Counter& idle_seconds;
    Counter& worker_starts;
    Counter& worker_deaths;
    Gauge& pool_ready;
    Counter& cost;
    Counter& billed_tokens;
    Counter& forgiven_tokens;
    Counter& requests_settled;
    Gauge& ledger_healthy;
    Gauge& ledger_queue;
    Gauge& ledger_lag;
    Histogram& ledger_write;
    Counter& admission_refused;
    Gauge& requests_inside;
    Counter& http_requests;
    Gauge& build_info;
    Gauge& start_time;
    Counter& process_cpu;
    Gauge& process_resident;
    Gauge& process_fds;
};

// One cold start: durations from the moment when the model began to wake.
struct ColdStart {
    std::string_view tier;               // Where the image was: "memory" or "disk".
    Nanoseconds acquire{};               // Memory and a worker were taken, Assign was sent.
    std::optional<Nanoseconds> assign;   // The worker accepted the image.
    std::optional<Nanoseconds> restore;  // The image is whole.
    std::optional<Nanoseconds> first_token;
    Nanoseconds queue{};  // Before: from the request's arrival to the beginning of the wake.
};

struct FirstToken {
    Nanoseconds since_arrival{};
    Nanoseconds queue{};    // From arrival to Go.
    Nanoseconds prefill{};  // From Go to the token.
    uint32_t prompt_tokens = 0;
    uint32_t cached_tokens = 0;  // Of them.
    uint32_t tokens = 1;         // Sampled in its step.
};

struct EndedRequest {
    std::string_view reason;  // As finished_reason.
    Nanoseconds total{};
    Nanoseconds decode{};  // From the first token to the last.
    uint32_t prompt_tokens = 0;
    uint32_t completion_tokens = 0;
};

// One step of a worker's batch.
struct WorkerStep {
    Nanoseconds time{};
    uint32_t sequences = 0;  // Computed in it.
    uint32_t tokens = 0;     // Of prompts and answers.
    uint32_t drafts = 0;     // Sequences with guesses, guesses, and those that were right.
    uint32_t draft_tokens = 0;
    uint32_t draft_accepted = 0;
    // Of them, those of the draft model; what it computed, and how long that took.
    uint32_t model_tokens = 0;
    uint32_t model_accepted = 0;
    uint32_t model_rows = 0;
    Nanoseconds model_time{};
};

class NodeMetrics {
public:
    explicit NodeMetrics(const Clock& clock);

    void cold_start(const std::string& model, const ColdStart& times);
    void first_token(const std::string& model, const FirstToken& first);
    // `tokens` came together, `gap` after those before.
    void next_tokens(const std::string& model, Nanoseconds gap, uint32_t tokens);
    void ended(const std::string& model, const EndedRequest& request);
    void step(const std::string& model, const WorkerStep& step);
    // The final record is durable.
    void settled(const billing::UsageFinal& usage);
    // Rates over all time, and what the system says of this process.
    void refresh();

    MetricRegistry registry;
    VllmMetrics vllm{registry};
    LlamaMetrics llama{registry};
    RekindleMetrics own{registry};

private:
    void came_with_another(const std::string& model, uint32_t tokens);
};

}  // namespace rekindle::daemon
