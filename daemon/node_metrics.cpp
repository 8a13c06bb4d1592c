#include "daemon/node_metrics.h"

#include "base/version.h"

#include <chrono>
#include <dirent.h>
#include <fstream>
#include <iterator>
#include <sys/resource.h>
#include <unistd.h>
#include <vector>

namespace rekindle::daemon {
namespace {

constexpr unsigned kNanoDigits = 9;  // Nanoseconds shown as seconds.
constexpr int64_t kNanosPerSecond = 1'000'000'000;

double seconds(Nanoseconds time) {
    return std::chrono::duration<double>(time).count();
}

// From a token of a small model (0.1 ms) to a long answer: steps of 2 to 2.5.
std::vector<double> latency_bounds() {
    return {0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
            0.5,    1,       2.5,    5,     10,     25,    50,   100,   250,  500};
}

std::vector<double> token_bounds() {
    return {1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000};
}

// Tokens of one step: powers of two up to the largest batch.
std::vector<double> iteration_bounds() {
    return {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192};
}

MetricOptions of_model(std::string name, std::string help) {
    return {.name = std::move(name), .help = std::move(help), .labels = {"model_name"}};
}

MetricOptions plain(std::string name, std::string help) {
    return {.name = std::move(name), .help = std::move(help)};
}

double ratio(Int128 a, Int128 b) {
    return b == 0 ? 0 : static_cast<double>(a) / static_cast<double>(b);
}

// Pages of this process in memory; 0 where the system does not say.
double resident_bytes() {
    std::ifstream file("/proc/self/statm");
    uint64_t all = 0;
    uint64_t resident = 0;
    file >> all >> resident;
    return static_cast<double>(resident) * static_cast<double>(::sysconf(_SC_PAGESIZE));
}

double open_descriptors() {
    DIR* folder = ::opendir("/proc/self/fd");
    if (folder == nullptr) {
        return 0;
    }
    int count = 0;
    while (::readdir(folder) != nullptr) {
        ++count;
    }
    ::closedir(folder);
    return count - 3;  // ".", ".." and the one that reads the folder.
}

int64_t cpu_nanoseconds() {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    const auto nanos = [](const timeval& time) {
        return int64_t{time.tv_sec} * kNanosPerSecond + int64_t{time.tv_usec} * 1000;
    };
    return nanos(usage.ru_utime) + nanos(usage.ru_stime);
}

}  // namespace

VllmMetrics::VllmMetrics(MetricRegistry& registry)
    : requests_running(registry.gauge(
          of_model("vllm:num_requests_running", "Requests whose tokens are being computed."))),
      requests_waiting(registry.gauge(
          of_model("vllm:num_requests_waiting", "Requests that wait for the model or the batch."))),
      kv_cache_usage(registry.gauge({.name = "vllm:kv_cache_usage_perc",
                                     .help = "Share of the worker's KV pages in use, 0 to 1.",
                                     .labels = {"model_name"},
                                     .aliases = {"vllm:gpu_cache_usage_perc"}})),
      prompt_tokens(
          registry.counter(of_model("vllm:prompt_tokens_total", "Prompt tokens of requests."), 0)),
      prefix_cache_queries(registry.counter(
          of_model("vllm:prefix_cache_queries_total", "Prompt tokens looked up in the cache."), 0)),
      prefix_cache_hits(registry.counter(
          of_model("vllm:prefix_cache_hits_total", "Of them, those that were there."), 0)),
      generation_tokens(registry.counter(
          of_model("vllm:generation_tokens_total", "Completion tokens sampled."), 0)),
      drafts(registry.counter(of_model("vllm:spec_decode_num_drafts_total",
                                       "Times that next tokens were guessed and computed."),
                              0)),
      draft_tokens(registry.counter(
          of_model("vllm:spec_decode_num_draft_tokens_total", "Tokens guessed and computed."), 0)),
      draft_accepted(registry.counter(
          of_model("vllm:spec_decode_num_accepted_tokens_total", "Of them, those that were right."),
          0)),
      request_success(registry.counter({.name = "vllm:request_success_total",
                                        .help = "Requests that ended, by reason.",
                                        .labels = {"model_name", "finished_reason"}},
                                       0)),
      time_to_first_token(registry.histogram(of_model("vllm:time_to_first_token_seconds",
                                                      "From the request's arrival to its first "
                                                      "token."),
                                             latency_bounds())),
      inter_token_latency(registry.histogram({.name = "vllm:inter_token_latency_seconds",
                                              .help = "Between two tokens of one answer.",
                                              .labels = {"model_name"},
                                              .aliases = {"vllm:time_per_output_token_seconds"}},
                                             latency_bounds())),
      e2e_latency(registry.histogram(of_model("vllm:e2e_request_latency_seconds",
                                              "From the request's arrival to its last token."),
                                     latency_bounds())),
      queue_time(registry.histogram(
          of_model("vllm:request_queue_time_seconds", "From arrival until the worker may compute."),
          latency_bounds())),
      prefill_time(registry.histogram(
          of_model("vllm:request_prefill_time_seconds", "From then to the first token."),
          latency_bounds())),
      decode_time(registry.histogram(
          of_model("vllm:request_decode_time_seconds", "From the first token to the last."),
          latency_bounds())),
      request_prompt_tokens(registry.histogram(
          of_model("vllm:request_prompt_tokens", "Prompt tokens of a request."), token_bounds())),
      request_generation_tokens(registry.histogram(
          of_model("vllm:request_generation_tokens", "Completion tokens of a request."),
          token_bounds())),
      iteration_tokens(registry.histogram(
          of_model("vllm:iteration_tokens_total", "Tokens computed in one step of the batch."),
          iteration_bounds())) {}

LlamaMetrics::LlamaMetrics(MetricRegistry& registry)
    : prompt_tokens(
          registry.counter(plain("llamacpp:prompt_tokens_total", "Prompt tokens computed."), 0)),
      prompt_seconds(registry.counter(
          plain("llamacpp:prompt_seconds_total", "Time until first tokens, summed over requests."),
          kNanoDigits)),
      tokens_predicted(registry.counter(
          plain("llamacpp:tokens_predicted_total", "Completion tokens sampled."), 0)),
      tokens_predicted_seconds(
          registry.counter(plain("llamacpp:tokens_predicted_seconds_total",
                                 "Time from first to last tokens, summed over requests."),
                           kNanoDigits)),
      decodes(registry.counter(plain("llamacpp:n_decode_total", "Steps of all batches."), 0)),
      prompt_rate(registry.gauge(plain("llamacpp:prompt_tokens_seconds",
                                       "Prompt tokens per second of prompt time, since start."))),
      predicted_rate(
          registry.gauge(plain("llamacpp:predicted_tokens_seconds",
                               "Completion tokens per second of decode time, since start."))),
      busy_per_decode(registry.gauge(
          plain("llamacpp:n_busy_slots_per_decode", "Sequences in a step, on average."))),
      requests_processing(registry.gauge(
          plain("llamacpp:requests_processing", "Requests whose tokens are being computed."))),
      requests_deferred(registry.gauge(
          plain("llamacpp:requests_deferred", "Requests that wait for a model or its batch."))) {}

RekindleMetrics::RekindleMetrics(MetricRegistry& registry)
    : cold_start(
          registry.histogram({.name = "rekindle_cold_start_seconds",
                              .help = "Cold starts by phase; the tier is where the image was.",
                              .labels = {"model", "tier", "phase"}},
                             latency_bounds())),
      restores(registry.counter(
          {.name = "rekindle_restores_total",
           .help = "Images brought to a worker: read, resident, fetched or failed.",
           .labels = {"model", "outcome"}},
          0)),
      self_checks(registry.counter({.name = "rekindle_self_checks_total",
                                    .help = "Self-checks of workers before they serve.",
                                    .labels = {"model", "outcome"}},
                                   0)),
      restore_bytes(registry.counter({.name = "rekindle_restore_bytes_total",
                                      .help = "Bytes of images brought to workers, by source.",
                                      .labels = {"source"}},
                                     0)),
      weights_wait(registry.counter({.name = "rekindle_weights_wait_seconds_total",
                                     .help = "Time that computing waited for weights to arrive.",
                                     .labels = {"model"}},
                                    kNanoDigits)),
      step_seconds(registry.histogram({.name = "rekindle_step_seconds",
                                       .help = "One step of a model's batch.",
                                       .labels = {"model"}},
                                      latency_bounds())),
      draft_guesses(registry.counter({.name = "rekindle_draft_model_guesses_total",
                                      .help = "Tokens guessed by the draft model, and computed.",
                                      .labels = {"model"}},
                                     0)),
      draft_right(registry.counter({.name = "rekindle_draft_model_accepted_total",
                                    .help = "Of them, those that were right.",
                                    .labels = {"model"}},
                                   0)),
      draft_computed(registry.counter({.name = "rekindle_draft_model_tokens_total",
                                       .help = "Tokens that the draft model computed; never "
                                               "billed.",
                                       .labels = {"model"}},
                                      0)),
      draft_seconds(registry.counter({.name = "rekindle_draft_model_seconds_total",
                                      .help = "Time of the draft model's steps.",
                                      .labels = {"model"}},
                                     kNanoDigits)),
      models(registry.gauge({.name = "rekindle_models",
                             .help = "Deployments by tier: worker, memory, disk or remote.",
                             .labels = {"tier"}})),
      resident_bytes(
          registry.gauge({.name = "rekindle_resident_bytes",
                          .help = "Memory by kind: images; ready (kept for restores); "
                                  "kv (pages of workers); retained_kv (pages of models at zero).",
                          .labels = {"kind"}})),
      retained_disk(registry.gauge(
          plain("rekindle_retained_disk_bytes", "Keys and values of models at zero, on disk."))),
      memory_budget(registry.gauge(
          plain("rekindle_host_memory_budget_bytes", "What images may hold in memory."))),
      idle_seconds(registry.counter({.name = "rekindle_idle_seconds_total",
                                     .help = "Time that a worker was kept without a request.",
                                     .labels = {"model"}},
                                    kNanoDigits)),
      worker_starts(
          registry.counter(plain("rekindle_worker_starts_total", "Worker processes started."), 0)),
      worker_deaths(registry.counter({.name = "rekindle_worker_deaths_total",
                                      .help = "Workers that ended without being asked to.",
                                      .labels = {"state"}},
                                     0)),
      pool_ready(registry.gauge(
          plain("rekindle_pool_ready_workers", "Spare workers that are ready for an image."))),
      cost(registry.counter({.name = "rekindle_cost_pico_total",
                             .help = "Billed, in 10^-12 of the currency's unit; exact. Counted "
                                     "when the record is durable.",
                             .labels = {"model", "project", "meter", "currency"}},
                            0)),
      billed_tokens(registry.counter({.name = "rekindle_billed_tokens_total",
                                      .help = "Billed tokens by meter.",
                                      .labels = {"model", "project", "meter"}},
                                     0)),
      forgiven_tokens(registry.counter(
          {.name = "rekindle_forgiven_tokens_total",
           .help = "Tokens delivered but not billed, because the node broke the answer off.",
           .labels = {"model"}},
          0)),
      requests_settled(registry.counter({.name = "rekindle_requests_settled_total",
                                         .help = "Requests with a durable final record.",
                                         .labels = {"model", "outcome"}},
                                        0)),
      ledger_healthy(registry.gauge(
          plain("rekindle_ledger_healthy", "1 while the ledger can be written, else 0."))),
      ledger_queue(registry.gauge(
          plain("rekindle_ledger_queue", "Records handed to the ledger and not yet written."))),
      ledger_lag(registry.gauge(plain("rekindle_ledger_lag_seconds",
                                      "Age of the oldest record that is not yet written."))),
      ledger_write(registry.histogram({.name = "rekindle_ledger_write_seconds",
                                       .help = "From handing a record over to its "
                                               "acknowledgement.",
                                       .labels = {"record"}},
                                      latency_bounds())),
      admission_refused(registry.counter({.name = "rekindle_admission_refused_total",
                                          .help = "Requests refused before anything was woken.",
                                          .labels = {"reason"}},
                                         0)),
      requests_inside(registry.gauge(
          plain("rekindle_requests_inside", "Requests admitted and not yet ended."))),
      http_requests(registry.counter({.name = "rekindle_http_requests_total",
                                      .help = "HTTP answers by route and status.",
                                      .labels = {"route", "status"}},
                                     0)),
      build_info(registry.gauge({.name = "rekindle_build_info",
                                 .help = "1; the label names the version.",
                                 .labels = {"version"}})),
      start_time(registry.gauge(
          plain("process_start_time_seconds", "When rekindled began to serve, Unix time."))),
      process_cpu(registry.counter(
          plain("process_cpu_seconds_total", "Processor time of rekindled, without its workers."),
          kNanoDigits)),
      process_resident(registry.gauge(
          plain("process_resident_memory_bytes", "Memory of rekindled, shared images included."))),
      process_fds(registry.gauge(plain("process_open_fds", "Open descriptors of rekindled."))) {}

NodeMetrics::NodeMetrics(const Clock& clock) {
    own.build_info.add({std::string(version())}, 1);
    own.start_time.set(seconds(clock.wall()));
    // Known from the start, so that a first event shows as a rise.
    own.worker_deaths.add({"serving"}, 0);
    own.worker_deaths.add({"spare"}, 0);
    own.restore_bytes.add({"disk"}, 0);
    own.restore_bytes.add({"memory"}, 0);
    own.restore_bytes.add({"remote"}, 0);
}

void NodeMetrics::cold_start(const std::string& model, const ColdStart& times) {
    const auto observe = [&](const char* phase, const std::optional<Nanoseconds>& time) {
        if (time) {
            own.cold_start.observe({model, std::string(times.tier), phase}, seconds(*time));
        }
    };
    observe("queue", times.queue);
    observe("acquire", times.acquire);
    observe("assign", times.assign);
    observe("restore", times.restore);
    observe("first_token", times.first_token);
}

void NodeMetrics::first_token(const std::string& model, const FirstToken& first) {
    vllm.time_to_first_token.observe({model}, seconds(first.since_arrival));
    vllm.queue_time.observe({model}, seconds(first.queue));
    vllm.prefill_time.observe({model}, seconds(first.prefill));
    vllm.prompt_tokens.add({model}, first.prompt_tokens);
    vllm.prefix_cache_queries.add({model}, first.prompt_tokens);
    vllm.prefix_cache_hits.add({model}, first.cached_tokens);
    vllm.generation_tokens.add({model}, first.tokens);
    llama.prompt_tokens.add(first.prompt_tokens - first.cached_tokens);
    llama.prompt_seconds.add(first.prefill.count());
    llama.tokens_predicted.add(first.tokens);
    came_with_another(model, first.tokens - 1);
}

void NodeMetrics::next_tokens(const std::string& model, Nanoseconds gap, uint32_t tokens) {
    vllm.inter_token_latency.observe({model}, seconds(gap));
    came_with_another(model, tokens - 1);
    vllm.generation_tokens.add({model}, tokens);
    llama.tokens_predicted.add(tokens);
    llama.tokens_predicted_seconds.add(gap.count());
}

// Nobody waited for what one step sampled beside its first token.
void NodeMetrics::came_with_another(const std::string& model, uint32_t tokens) {
    for (uint32_t i = 0; i < tokens; ++i) {
        vllm.inter_token_latency.observe({model}, 0);
    }
}

void NodeMetrics::ended(const std::string& model, const EndedRequest& request) {
    vllm.request_success.add({model, std::string(request.reason)}, 1);
    vllm.e2e_latency.observe({model}, seconds(request.total));
    if (request.completion_tokens > 0) {
        vllm.decode_time.observe({model}, seconds(request.decode));
        vllm.request_prompt_tokens.observe({model}, request.prompt_tokens);
        vllm.request_generation_tokens.observe({model}, request.completion_tokens);
    }
}

void NodeMetrics::step(const std::string& model, const WorkerStep& step) {
    own.step_seconds.observe({model}, seconds(step.time));
    vllm.iteration_tokens.observe({model}, step.tokens);
    if (step.drafts > 0) {
        vllm.drafts.add({model}, step.drafts);
        vllm.draft_tokens.add({model}, step.draft_tokens);
        vllm.draft_accepted.add({model}, step.draft_accepted);
    }
    if (step.model_rows > 0) {
        own.draft_guesses.add({model}, step.model_tokens);
        own.draft_right.add({model}, step.model_accepted);
        own.draft_computed.add({model}, step.model_rows);
        own.draft_seconds.add({model}, step.model_time.count());
    }
    llama.decodes.add(1);
    llama.busy_sum += step.sequences;
}

void NodeMetrics::settled(const billing::UsageFinal& usage) {
    const billing::RequestFacts& facts = usage.facts;
    const auto bill = [&](const char* meter, uint32_t tokens, PicoPerToken price) {
        own.billed_tokens.add({facts.model, facts.project, meter}, tokens);
        own.cost.add({facts.model, facts.project, meter, facts.currency}, Int128{tokens} * price);
    };
    bill("input", usage.billed_prompt - usage.billed_cached, facts.price_input);
    bill("cached_input", usage.billed_cached, facts.price_cached);
    bill("output", usage.billed_completion, facts.price_output);
    own.forgiven_tokens.add({facts.model}, usage.forgiven_tokens);
    own.requests_settled.add({facts.model, std::string(billing::outcome_name(usage.outcome))}, 1);
}

void NodeMetrics::refresh() {
    llama.prompt_rate.set(ratio(Int128{kNanosPerSecond} * llama.prompt_tokens.value({}),
                                llama.prompt_seconds.value({})));
    llama.predicted_rate.set(ratio(Int128{kNanosPerSecond} * llama.tokens_predicted.value({}),
                                   llama.tokens_predicted_seconds.value({})));
    llama.busy_per_decode.set(ratio(llama.busy_sum, llama.decodes.value({})));
    own.process_cpu.add(cpu_nanoseconds() - own.process_cpu.value({}));
    own.process_resident.set(resident_bytes());
    own.process_fds.set(open_descriptors());
}

}  // namespace rekindle::daemon
