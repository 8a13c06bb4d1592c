#include "cli/trace_report.h"

#include "base/units.h"
#include "cli/api.h"
#include "cli/text.h"

#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include <ctime>
#include <iterator>

namespace rekindle::cli {

namespace {

std::string moment_text(int64_t unix_ms) {
    constexpr int64_t kMsPerSecond = 1000;
    const std::time_t seconds = static_cast<std::time_t>(unix_ms / kMsPerSecond);
    std::tm parts{};
    ::gmtime_r(&seconds, &parts);
    return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", parts.tm_year + 1900,
                       parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
                       unix_ms % kMsPerSecond);
}

std::string state_text(const json::object& trace) {
    std::string text = text_member(trace, "state");
    for (const char* key : {"outcome", "error"}) {
        if (trace.contains(key)) {
            text += ", " + text_member(trace, key);
        }
    }
    return text;
}

std::string tier_text(const json::object& trace) {
    const std::string tier = text_member(trace, "tier");
    if (tier == "worker") {
        return "worker (warm)";
    }
    return fmt::format("{}, {} read, {:.1f} ms waiting for weights", tier.empty() ? "-" : tier,
                       format_bytes(count_member(trace, "restore_bytes")),
                       number_member(trace, "weights_wait_ms"));
}

std::string tokens_text(const json::object& trace) {
    std::string text =
        fmt::format("{} prompt ({} cached), {} completion", count_member(trace, "prompt_tokens"),
                    count_member(trace, "cached_tokens"), count_member(trace, "completion_tokens"));
    const json::value* billed = trace.if_contains("billed");
    if (billed != nullptr && billed->is_object()) {
        const json::object& counts = billed->get_object();
        text += fmt::format("; billed {} + {}", count_member(counts, "prompt_tokens"),
                            count_member(counts, "completion_tokens"));
    }
    if (const uint64_t forgiven = count_member(trace, "forgiven_tokens"); forgiven > 0) {
        text += fmt::format(", forgiven {}", forgiven);
    }
    return text;
}

}  // namespace

std::string trace_text(const json::object& trace, const TimelineStyle& style) {
    std::string out;
    const auto add = [&out](std::string_view name, const std::string& text) {
        fmt::format_to(std::back_inserter(out), "{:<9} {}\n", name, printable(text));
    };
    add("request", text_member(trace, "id"));
    add("model", fmt::format("{}, revision {:.12}", text_member(trace, "model"),
                             text_member(trace, "revision")));
    add("project", text_member(trace, "project"));
    add("accepted", moment_text(static_cast<int64_t>(count_member(trace, "started"))));
    add("state", state_text(trace));
    const bool from_memory = text_member(trace, "source") == "memory";
    if (from_memory) {
        add("tier", tier_text(trace));
    } else {
        add("restore", fmt::format("{} ms", count_member(trace, "restore_ms")));
    }
    add("tokens", tokens_text(trace));
    if (trace.contains("cost")) {
        add("cost", text_member(trace, "cost") + " " + text_member(trace, "currency"));
    }
    if (from_memory) {
        out += draw_phases(trace, style);
        out += draw_layers(trace, style);
    } else {
        out +=
            "\nThe daemon no longer keeps this request's phases; the above is from the ledger.\n";
    }
    return out;
}

Result<std::string> log_text(const json::object& line) {
    if (line.contains("missed")) {
        return fmt::format("... {} lines were missed\n", count_member(line, "missed"));
    }
    const json::value* fields = line.if_contains("fields");
    if (fields == nullptr || !fields->is_object() || !line.contains("event")) {
        return Error{ErrorCode::kInternal, "the daemon sent a log line of an unknown form"};
    }
    std::string out =
        fmt::format("{} {} {}", moment_text(static_cast<int64_t>(count_member(line, "time"))),
                    text_member(line, "level"), text_member(line, "event"));
    for (const auto& [key, value] : fields->get_object()) {
        const std::string text = value.is_string() ? std::string(value.get_string()) : "";
        const bool plain = !text.empty() && text.find_first_of(" \"=\n\t") == std::string::npos;
        out += fmt::format(" {}={}", std::string_view(key), plain ? text : json::serialize(value));
    }
    return printable(out) + "\n";
}

}  // namespace rekindle::cli
