#include "daemon/frames.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <type_traits>

namespace rekindle::daemon {
namespace {

constexpr uint32_t kExtentsMax = 250;  // One sendmsg carries at most 253 descriptors.
constexpr uint32_t kStopStringsMax = 64;
constexpr uint32_t kLogprobsPerFrameMax = 1U << 20;

// Each frame has one `fields` function that names its members once; Encoder and Decoder apply it.
class Encoder {
public:
    template <FixedWidth T>
    void operator()(const T& value) {
        out.write(value);
    }
    void operator()(const std::string& text) { out.write_string(text); }
    template <FixedWidth T>
    void operator()(const std::vector<T>& items) {
        out.write(static_cast<uint32_t>(items.size()));
        out.write_span(std::as_bytes(std::span(items)));
    }
    void operator()(const std::vector<std::string>& items) {
        out.write(static_cast<uint32_t>(items.size()));
        for (const std::string& item : items) {
            out.write_string(item);
        }
    }
    void operator()(const std::vector<TokenBias>& items) {
        out.write(static_cast<uint32_t>(items.size()));
        for (const TokenBias& item : items) {
            out.write(item.token);
            out.write(item.bias);
        }
    }
    void operator()(const std::vector<LogprobItem>& items) {
        out.write(static_cast<uint32_t>(items.size()));
        for (const LogprobItem& item : items) {
            logprob(item);
            out.write(static_cast<uint32_t>(item.top.size()));
            for (const LogprobItem& top : item.top) {
                logprob(top);
            }
        }
    }

    void operator()(const BenchPhaseItem& phase) {
        out.write(phase.nanoseconds);
        out.write(phase.tokens);
        out.write(phase.bytes);
        out.write(phase.operations);
    }
    void operator()(const std::vector<BenchOpItem>& items) {
        out.write(static_cast<uint32_t>(items.size()));
        for (const BenchOpItem& item : items) {
            out.write_string(item.name);
            out.write(item.nanoseconds);
            out.write(item.calls);
        }
    }

    void operator()(const std::vector<PartItem>& items) {
        out.write(static_cast<uint32_t>(items.size()));
        out.write_span(std::as_bytes(std::span(items)));
    }

    ByteWriter out;  // The result.

private:
    void logprob(const LogprobItem& item) {
        out.write_string(item.bytes);
        out.write(item.token);
        out.write(item.logprob);
    }
};

class Decoder {
public:
    explicit Decoder(std::span<const std::byte> payload) : in_(payload) {}

    void operator()(bool& value) { value = in_.read<uint8_t>() != 0; }
    void operator()(ErrorCode& value) { enumerator(value, ErrorCode::kInternal); }
    void operator()(PromptKind& value) { enumerator(value, PromptKind::kChat); }
    void operator()(kernels::KvType& value) { enumerator(value, kernels::KvType::kQ8_0); }
    void operator()(Finish& value) { enumerator(value, Finish::kLength); }
    template <FixedWidth T>
        requires(!std::is_enum_v<T>)
    void operator()(T& value) {
        value = in_.read<T>();
    }
    void operator()(std::string& text) { text = in_.read_string(); }
    void operator()(std::vector<int32_t>& items) { numbers(items); }
    void operator()(std::vector<uint64_t>& items) {
        numbers(items);
        bad_ = bad_ || items.size() > kExtentsMax;
    }
    void operator()(std::vector<std::string>& items) {
        const uint32_t count = bounded(in_.read<uint32_t>(), kStopStringsMax);
        items.reserve(count);
        for (uint32_t i = 0; i < count && !in_.failed(); ++i) {
            items.push_back(in_.read_string());
        }
    }
    void operator()(std::vector<TokenBias>& items) {
        const uint32_t count = bounded(in_.read<uint32_t>(), kLogitBiasMax);
        for (uint32_t i = 0; i < count && !in_.failed(); ++i) {
            const auto token = in_.read<int32_t>();
            items.push_back({token, in_.read<float>()});
        }
    }
    void operator()(std::vector<LogprobItem>& items) {
        const uint32_t count = bounded(in_.read<uint32_t>(), kLogprobsPerFrameMax);
        for (uint32_t i = 0; i < count && !in_.failed(); ++i) {
            LogprobItem item = logprob();
            const uint32_t top = bounded(in_.read<uint32_t>(), kTopLogprobsMax);
            for (uint32_t j = 0; j < top && !in_.failed(); ++j) {
                item.top.push_back(logprob());
            }
            items.push_back(std::move(item));
        }
    }

    void operator()(BenchPhaseItem& phase) {
        phase.nanoseconds = in_.read<uint64_t>();
        phase.tokens = in_.read<uint64_t>();
        phase.bytes = in_.read<uint64_t>();
        phase.operations = in_.read<uint64_t>();
    }
    void operator()(std::vector<BenchOpItem>& items) {
        const uint32_t count = bounded(in_.read<uint32_t>(), kBenchOpsMax);
        for (uint32_t i = 0; i < count && !in_.failed(); ++i) {
            BenchOpItem item;
            item.name = in_.read_string();
            item.nanoseconds = in_.read<uint64_t>();
            item.calls = in_.read<uint64_t>();
            items.push_back(std::move(item));
        }
    }

    void operator()(std::vector<PartItem>& items) {
        numbers(items);
        bad_ = bad_ || items.empty() || items.size() > kPartsMax;
    }

    Result<void> finish() const {
        if (bad_) {
            return Error{ErrorCode::kCorrupt, "worker frame: a value lies outside its range"};
        }
        return in_.finish("worker frame");
    }

private:
    template <typename T>
    void enumerator(T& value, T last) {
        const auto raw = in_.read<std::underlying_type_t<T>>();
        bad_ = bad_ || raw > static_cast<std::underlying_type_t<T>>(last) || raw < 0;
        value = bad_ ? T{} : static_cast<T>(raw);
    }
    template <typename T>
        requires std::is_trivially_copyable_v<T>
    void numbers(std::vector<T>& items) {
        const uint32_t count = in_.read<uint32_t>();
        const auto raw = in_.read_span(uint64_t{count} * sizeof(T));
        if (!raw.empty()) {
            items.resize(count);
            std::memcpy(items.data(), raw.data(), raw.size());
        }
    }
    uint32_t bounded(uint32_t count, uint32_t limit) {
        bad_ = bad_ || count > limit;
        return bad_ ? 0 : count;
    }
    LogprobItem logprob() {
        LogprobItem item;
        item.bytes = in_.read_string();
        item.token = in_.read<int32_t>();
        item.logprob = in_.read<float>();
        return item;
    }

    ByteReader in_;
    bool bad_ = false;
};

template <typename Coder, typename F>
void fields(Coder& code, F& frame) {
    using Plain = std::remove_const_t<F>;
    if constexpr (std::is_same_v<Plain, HelloFrame>) {
        code(frame.protocol), code(frame.kernels);
    } else if constexpr (std::is_same_v<Plain, AssignFrame>) {
        code(frame.model), code(frame.index_json), code(frame.extent_bytes), code(frame.kv_bytes);
        code(frame.kv_table_bytes), code(frame.kv_type), code(frame.context_max);
        code(frame.threads);
        code(frame.sequences_max), code(frame.speculation);
    } else if constexpr (std::is_same_v<Plain, AssignedFrame>) {
        code(frame.code), code(frame.error), code(frame.context_max), code(frame.vocabulary);
        code(frame.has_template);
    } else if constexpr (std::is_same_v<Plain, SubmitFrame>) {
        code(frame.id), code(frame.kind), code(frame.text), code(frame.tokens);
        code(frame.tokens_max), code(frame.tokens_cap), code(frame.temperature), code(frame.top_p),
            code(frame.top_k);
        code(frame.min_p), code(frame.repetition_penalty), code(frame.presence_penalty);
        code(frame.frequency_penalty), code(frame.logit_bias);
        code(frame.seed), code(frame.ignore_eos), code(frame.want_logprobs);
        code(frame.top_logprobs), code(frame.echo), code(frame.stop);
        code(frame.salt[0]), code(frame.salt[1]);
    } else if constexpr (std::is_same_v<Plain, TokenizedFrame>) {
        code(frame.id), code(frame.code), code(frame.error), code(frame.prompt_tokens);
        code(frame.cached_tokens), code(frame.tokens_max);
    } else if constexpr (std::is_same_v<Plain, GoFrame>) {
        code(frame.id), code(frame.lease);
    } else if constexpr (std::is_same_v<Plain, LeaseFrame>) {
        code(frame.id), code(frame.tokens);
    } else if constexpr (std::is_same_v<Plain, TokensFrame>) {
        code(frame.id), code(frame.sampled), code(frame.finish), code(frame.text);
        code(frame.logprobs), code(frame.matched_stop), code(frame.wait_us);
        code(frame.prefill_us);
    } else if constexpr (std::is_same_v<Plain, StepFrame>) {
        code(frame.step_us), code(frame.wait_us), code(frame.sequences), code(frame.tokens);
        code(frame.drafts), code(frame.draft_tokens), code(frame.draft_accepted);
        code(frame.model_tokens), code(frame.model_accepted), code(frame.model_rows);
        code(frame.model_us);
        code(frame.waiting), code(frame.pages_used), code(frame.pages_total);
    } else if constexpr (std::is_same_v<Plain, CoresFrame>) {
        code(frame.threads);
    } else if constexpr (std::is_same_v<Plain, BenchFrame>) {
        code(frame.batch), code(frame.prompt), code(frame.answer), code(frame.seed);
        code(frame.profile);
    } else if constexpr (std::is_same_v<Plain, BenchedFrame>) {
        code(frame.code), code(frame.error), code(frame.prefill), code(frame.decode);
        code(frame.memory_bytes_per_second), code(frame.int8_per_second), code(frame.ops);
    } else if constexpr (std::is_same_v<Plain, AssignDraftFrame>) {
        code(frame.index_json), code(frame.extent_bytes), code(frame.kv_bytes);
    } else if constexpr (std::is_same_v<Plain, FirstPassFrame>) {
        code(frame.parts);
    } else if constexpr (std::is_same_v<Plain, FailedFrame> ||
                         std::is_same_v<Plain, DraftAssignedFrame>) {
        code(frame.code), code(frame.error);
    } else {
        static_assert(std::is_same_v<Plain, RefuseFrame> || std::is_same_v<Plain, CancelFrame>);
        code(frame.id);
    }
}

template <typename F>
bool is_plausible(const F& /*frame*/) noexcept {
    return true;
}

bool is_plausible(const StepFrame& step) noexcept {
    return step.sequences <= step.tokens && step.tokens <= kStepTokensMax &&
           step.drafts <= step.sequences && step.drafts <= step.draft_tokens &&
           step.draft_accepted <= step.draft_tokens &&
           step.draft_tokens <= step.tokens - step.sequences &&
           step.model_tokens <= step.draft_tokens && step.model_accepted <= step.draft_accepted &&
           step.model_accepted <= step.model_tokens && step.model_us <= step.step_us &&
           step.pages_used <= step.pages_total && step.wait_us <= step.step_us;
}

// A part ends before the next one begins.
bool is_plausible(const FirstPassFrame& pass) noexcept {
    uint64_t last_ns = 0;
    return std::ranges::all_of(pass.parts, [&last_ns](const PartItem& part) {
        const bool in_order = last_ns <= part.asked_ns && part.asked_ns <= part.there_ns &&
                              part.there_ns <= part.ended_ns;
        last_ns = part.ended_ns;
        return in_order && part.bytes <= UINT64_MAX - part.offset;
    });
}

bool is_plausible(const BenchFrame& bench) noexcept {
    return bench.batch >= 1 && bench.batch <= kBenchBatchMax && bench.prompt >= 1 &&
           bench.prompt <= kBenchTokensMax && bench.answer <= kBenchTokensMax;
}

bool is_plausible(const BenchOpItem& op) noexcept {
    return !op.name.empty() && op.name.size() <= kBenchOpNameBytesMax &&
           op.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz_") == std::string::npos;
}

// What took no time can't be told as a speed; no operation is longer than what it is part of.
bool is_plausible(const BenchedFrame& benched) noexcept {
    constexpr uint64_t kNanosecondsMax = 1ULL << 56;  // Two years.
    if (!benched.error.empty()) {
        return true;
    }
    const BenchPhaseItem& prefill = benched.prefill;
    const BenchPhaseItem& decode = benched.decode;
    uint64_t rest = decode.tokens > 0 ? decode.nanoseconds : prefill.nanoseconds;
    const bool timed = prefill.tokens > 0 && prefill.nanoseconds > 0 &&
                       (decode.tokens > 0) == (decode.nanoseconds > 0) && rest <= kNanosecondsMax;
    for (const BenchOpItem& op : benched.ops) {
        if (!is_plausible(op) || op.nanoseconds > rest) {
            return false;
        }
        rest -= op.nanoseconds;
    }
    return timed && benched.memory_bytes_per_second > 0;
}

template <size_t Index = 0>
Result<Frame> parse_as(uint32_t type, std::span<const std::byte> payload) {
    if constexpr (Index == std::variant_size_v<Frame>) {
        return Error{ErrorCode::kCorrupt, fmt::format("worker frame: unknown type {}", type)};
    } else {
        if (type != Index) {
            return parse_as<Index + 1>(type, payload);
        }
        std::variant_alternative_t<Index, Frame> frame;
        Decoder decode(payload);
        fields(decode, frame);
        const auto whole = decode.finish();
        if (!whole) {
            return whole.error();
        }
        if (!is_plausible(frame)) {
            return Error{ErrorCode::kCorrupt, "worker frame: its counts contradict each other"};
        }
        return Frame(std::move(frame));
    }
}

}  // namespace

std::vector<std::byte> encode_frame(const Frame& frame) {
    Encoder encode;
    encode.out.write(static_cast<uint32_t>(frame.index()));
    encode.out.write(uint32_t{0});  // Payload size, known below.
    std::visit([&encode](const auto& f) { fields(encode, f); }, frame);
    std::vector<std::byte> bytes = encode.out.take();
    REKINDLE_CHECK(bytes.size() - kFrameHeaderBytes <= kFrameBytesMax, "a frame within its limit");
    const auto payload_bytes = static_cast<uint32_t>(bytes.size() - kFrameHeaderBytes);
    std::memcpy(bytes.data() + sizeof(uint32_t), &payload_bytes, sizeof(payload_bytes));
    return bytes;
}

Result<FrameHeader> parse_frame_header(std::span<const std::byte> header) {
    ByteReader in(header);
    FrameHeader parsed;
    parsed.type = in.read<uint32_t>();
    parsed.payload_bytes = in.read<uint32_t>();
    if (in.failed() || parsed.type >= std::variant_size_v<Frame>) {
        return Error{ErrorCode::kCorrupt,
                     fmt::format("worker frame: unknown type {}", parsed.type)};
    }
    if (parsed.payload_bytes > kFrameBytesMax) {
        return Error{ErrorCode::kCorrupt, fmt::format("worker frame: {} bytes, the limit is {}",
                                                      parsed.payload_bytes, kFrameBytesMax)};
    }
    return parsed;
}

Result<Frame> parse_frame(const FrameHeader& header, std::span<const std::byte> payload) {
    REKINDLE_CHECK(payload.size() == header.payload_bytes, "the payload that the header announced");
    return parse_as(header.type, payload);
}

}  // namespace rekindle::daemon
