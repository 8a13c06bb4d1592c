#include "daemon/api/manifest_fields.h"

#include <algorithm>
#include <array>
#include <limits>
#include <numeric>

namespace rekindle::daemon::api {
namespace {

using Kind = FieldKind;

constexpr int64_t kTokensMax = 1 << 24;  // Of a context: more than any model has.
constexpr int64_t kBatchMax = 256;
constexpr int64_t kQueueMax = 4096;  // As many as a node takes in.
constexpr int64_t kInt32Max = std::numeric_limits<int32_t>::max();
constexpr int64_t kInt64Max = std::numeric_limits<int64_t>::max();
constexpr int64_t kInt64Min = std::numeric_limits<int64_t>::min();

constexpr std::string_view kZeroPrice = R"("0")";
constexpr std::string_view kAuto = R"("auto")";

constexpr ManifestField later(std::string_view path) {
    return {path, Kind::kLater, 0, 0, "", ""};
}

constexpr std::array kFields{
    ManifestField{"rekindle", Kind::kVersion, 1, 1, "", "Version of the manifest's form."},
    ManifestField{"name", Kind::kName, 0, 0, "", "What clients call the model."},
    ManifestField{"aliases", Kind::kNames, 0, 0, "[]", "Further names for the same model."},
    ManifestField{"model", Kind::kModel, 0, 0, "",
                  "A GGUF file (a path, from the manifest's folder on, or an address that the node "
                  "fetches: https:, http:, hf:, s3:), or the digest of an image that the node has: "
                  "rekindle://sha256:…"},
    ManifestField{"digest", Kind::kDigest, 0, 0, "",
                  "SHA-256 of the model file or of its image: anything else is refused."},

    ManifestField{"runtime", Kind::kGroup, 0, 0, "", "How the model is run."},
    ManifestField{"runtime.quantize", Kind::kChoice, 0, 0, R"("none")",
                  "Weights are taken as they are in the file."},
    ManifestField{"runtime.context", Kind::kInteger, 1, kTokensMax, "",
                  "Longest prompt and answer together, in tokens. Left out: the model's own."},
    ManifestField{"runtime.max_batch", Kind::kInteger, 1, kBatchMax, "64",
                  "Requests that are computed together; further ones wait."},
    ManifestField{"runtime.kv", Kind::kBytes, 0, 0, kAuto,
                  "Memory for the KV cache, such as 512MiB; auto: what the node gives."},
    ManifestField{
        "runtime.kv_type", Kind::kKvType, 0, 0, R"("f16")",
        "Numbers of the KV cache: f16, bf16 (as wide, for larger values), or q8_0 (8 bits: "
        "about twice as many tokens in the same memory)."},
    ManifestField{"runtime.speculation", Kind::kBoolean, 0, 0, "true",
                  "Guess the next tokens and compute several in one step, where that pays. Never "
                  "changes a token."},
    ManifestField{"runtime.verify_on_restore", Kind::kBoolean, 0, 0, "false",
                  "Compare a few log-probabilities with those of the deployment before a restored "
                  "model serves."},
    ManifestField{
        "runtime.draft", Kind::kDraft, 0, 0, "",
        "A smaller model of the same vocabulary that guesses tokens for this one: the "
        "name of a deployment on the node, or rekindle://sha256:… Never changes a token."},

    later("adapters"),
    later("resources"),

    ManifestField{"scale", Kind::kGroup, 0, 0, "", "When the model has a worker."},
    ManifestField{"scale.min_warm", Kind::kInteger, 0, 1, "0",
                  "1: a worker stands ready at all times; 0: the model scales to zero."},
    ManifestField{"scale.max", Kind::kInteger, 1, 1, "1", "Workers of this model."},
    ManifestField{"scale.idle", Kind::kDuration, 0, 0, kAuto,
                  "Scale to zero after this time without a request; auto: the node's."},
    ManifestField{"scale.preload", Kind::kBoolean, 0, 0, "false",
                  "Read into memory when the node starts, so that the first request finds it "
                  "there."},
    ManifestField{"scale.wakes", Kind::kNames, 0, 0, "[]",
                  "Models that are woken with this one, for who asks it asks them next."},
    later("scale.max_idle_cost_per_hour"),
    later("scale.priority"),

    ManifestField{"admission", Kind::kGroup, 0, 0, "", "Which requests get in."},
    later("admission.concurrency"),
    ManifestField{"admission.queue", Kind::kInteger, 0, kQueueMax, "",
                  "Requests that may wait beside the max_batch that run; more are refused. Left "
                  "out: the node's limit."},
    ManifestField{"admission.max_wait", Kind::kTime, 0, 0, "",
                  "A request without a first token after this time is refused. Left out: it waits "
                  "as long as its client does."},
    ManifestField{"admission.max_tokens", Kind::kInteger, 1, kTokensMax, "",
                  "Longest answer: a request that asks for more is refused, one that says nothing "
                  "gets this."},

    later("slo"),

    ManifestField{"price", Kind::kGroup, 0, 0, "", "What tokens cost."},
    ManifestField{"price.currency", Kind::kCurrency, 0, 0, R"("USD")",
                  "ISO 4217 code of the prices."},
    ManifestField{"price.per_mtok", Kind::kGroup, 0, 0, "", "Prices of a million tokens."},
    ManifestField{"price.per_mtok.input", Kind::kMoney, 0, 0, kZeroPrice, "Prompt tokens."},
    ManifestField{"price.per_mtok.cached", Kind::kMoney, 0, 0, "",
                  "Prompt tokens that were in the prefix cache, at most the price of input. Left "
                  "out: the price of input."},
    ManifestField{"price.per_mtok.output", Kind::kMoney, 0, 0, kZeroPrice, "Answer tokens."},
    ManifestField{"price.per_mtok.reasoning", Kind::kChoice, 0, 0, R"("output")",
                  "Reasoning tokens cost what answer tokens cost."},
    ManifestField{"price.cold_start", Kind::kChoice, 0, 0, R"("free")",
                  "Waking the model costs nothing."},

    later("route"),
    later("cache"),

    ManifestField{"defaults", Kind::kGroup, 0, 0, "", "What a request that says nothing gets."},
    ManifestField{"defaults.temperature", Kind::kNumber, 0, 2, "", "Spread of the sampling."},
    ManifestField{"defaults.top_p", Kind::kShare, 0, 1, "", "Nucleus."},
    ManifestField{"defaults.top_k", Kind::kInteger, -1, kInt32Max, "",
                  "Most likely tokens to choose from; 0 or -1: all."},
    ManifestField{"defaults.min_p", Kind::kNumber, 0, 1, "", "Least share of the likeliest."},
    ManifestField{"defaults.seed", Kind::kInteger, kInt64Min, kInt64Max, "", "Of the sampling."},
    ManifestField{"defaults.stop", Kind::kStops, 0, 0, "", "Strings that end the answer."},
    ManifestField{"defaults.ignore_eos", Kind::kBoolean, 0, 0, "",
                  "Go on after the model's own end."},

    ManifestField{"force", Kind::kGroup, 0, 0, "", "What every request gets, whatever it says."},
    ManifestField{"force.temperature", Kind::kNumber, 0, 2, "", "Spread of the sampling."},
    ManifestField{"force.top_p", Kind::kShare, 0, 1, "", "Nucleus."},
    ManifestField{"force.top_k", Kind::kInteger, -1, kInt32Max, "",
                  "Most likely tokens to choose from; 0 or -1: all."},
    ManifestField{"force.min_p", Kind::kNumber, 0, 1, "", "Least share of the likeliest."},
    ManifestField{"force.seed", Kind::kInteger, kInt64Min, kInt64Max, "", "Of the sampling."},
    ManifestField{"force.stop", Kind::kStops, 0, 0, "", "Strings that end the answer."},
    ManifestField{"force.ignore_eos", Kind::kBoolean, 0, 0, "", "Go on after the model's own end."},

    ManifestField{"strip", Kind::kRequestFields, 0, 0, "[]",
                  "Request fields that are dropped before anything looks at them."},
    later("limits"),
    ManifestField{"tags", Kind::kTags, 0, 0, "{}", "Words of your own, kept and shown."},
};

constexpr std::array<std::string_view, 3> kKvTypes{"f16", "bf16", "q8_0"};

// What a request can leave out, in the API's order.
constexpr std::array<std::string_view, 35> kStrippable{"best_of",
                                                       "echo",
                                                       "frequency_penalty",
                                                       "function_call",
                                                       "functions",
                                                       "ignore_eos",
                                                       "logit_bias",
                                                       "logprobs",
                                                       "max_completion_tokens",
                                                       "max_tokens",
                                                       "metadata",
                                                       "min_p",
                                                       "modalities",
                                                       "n",
                                                       "parallel_tool_calls",
                                                       "prediction",
                                                       "presence_penalty",
                                                       "prompt_cache_key",
                                                       "reasoning_effort",
                                                       "repetition_penalty",
                                                       "response_format",
                                                       "safety_identifier",
                                                       "seed",
                                                       "service_tier",
                                                       "stop",
                                                       "store",
                                                       "suffix",
                                                       "temperature",
                                                       "tool_choice",
                                                       "tools",
                                                       "top_k",
                                                       "top_logprobs",
                                                       "top_p",
                                                       "user",
                                                       "verbosity"};

// Optimal string alignment: insertions, deletions, substitutions and swaps of neighbours.
size_t edit_distance(std::string_view a, std::string_view b) {
    std::vector<size_t> before(b.size() + 1);
    std::vector<size_t> above(b.size() + 1);
    std::vector<size_t> row(b.size() + 1);
    std::iota(above.begin(), above.end(), size_t{0});
    for (size_t i = 1; i <= a.size(); ++i) {
        row[0] = i;
        for (size_t j = 1; j <= b.size(); ++j) {
            const size_t change = a[i - 1] == b[j - 1] ? 0 : 1;
            row[j] = std::min({above[j] + 1, row[j - 1] + 1, above[j - 1] + change});
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                row[j] = std::min(row[j], before[j - 2] + 1);
            }
        }
        std::swap(before, above);
        std::swap(above, row);
    }
    return above[b.size()];
}

}  // namespace

std::string_view ManifestField::leaf() const noexcept {
    return path.substr(path.find_last_of('.') + 1);
}

std::string_view ManifestField::group() const noexcept {
    const size_t dot = path.find_last_of('.');
    return dot == std::string_view::npos ? std::string_view{} : path.substr(0, dot);
}

std::span<const ManifestField> manifest_fields() noexcept {
    return kFields;
}

const ManifestField* find_manifest_field(std::string_view path) noexcept {
    const auto* const found =
        std::find_if(kFields.begin(), kFields.end(),
                     [path](const ManifestField& field) { return field.path == path; });
    return found == kFields.end() ? nullptr : found;
}

const ManifestField& nearest_manifest_field(std::string_view group, std::string_view leaf) {
    constexpr size_t kLeafBytesMax = 64;  // Longer than any key: the rest changes nothing.
    const std::string path = std::string(group) + (group.empty() ? "" : ".") +
                             std::string(leaf.substr(0, kLeafBytesMax));
    const ManifestField* nearest = nullptr;
    size_t least = 0;
    for (const ManifestField& field : kFields) {
        if (field.kind == Kind::kLater) {
            continue;
        }
        const size_t elsewhere = field.group() == group ? 0 : 1;
        const size_t of_leaf = edit_distance(leaf.substr(0, kLeafBytesMax), field.leaf());
        // Somebody may have written the whole path as one key.
        const size_t distance = 2 * std::min(of_leaf, edit_distance(path, field.path)) + elsewhere;
        if (nearest == nullptr || distance < least) {
            nearest = &field;
            least = distance;
        }
    }
    return *nearest;
}

std::span<const std::string_view> strippable_request_fields() noexcept {
    return kStrippable;
}

std::span<const std::string_view> kv_types() noexcept {
    return kKvTypes;
}

bool is_deployment_name(std::string_view name) noexcept {
    constexpr size_t kNameBytesMax = 63;
    const auto letter_or_digit = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    };
    return !name.empty() && name.size() <= kNameBytesMax && letter_or_digit(name.front()) &&
           std::all_of(name.begin(), name.end(), [&](char c) {
               return letter_or_digit(c) || c == '.' || c == '_' || c == '-';
           });
}

}  // namespace rekindle::daemon::api
