#include "cli/plan_text.h"

#include "base/units.h"
#include "cli/api.h"
#include "cli/text.h"

#include <fmt/format.h>

#include <chrono>

namespace rekindle::cli {

namespace {

constexpr size_t kShownDigits = 12;  // Of a revision.

std::string restore_text(const json::object& plan) {
    const json::value* ms = plan.if_contains("restore_ms");
    if (ms == nullptr || !ms->is_number()) {
        return "unknown: this node has restored nothing from disk since it started";
    }
    const auto estimate = std::chrono::milliseconds(count_member(plan, "restore_ms"));
    return fmt::format("about {} from disk, at the speed of the last restore",
                       format_duration(estimate));
}

std::string price_line(const json::object& plan) {
    const json::value* price = plan.if_contains("price");
    if (price == nullptr || !price->is_object()) {
        return "-";
    }
    const json::object& prices = price->get_object();
    return fmt::format("{} input, {} cached, {} output ({} per million tokens); cold starts free",
                       text_member(prices, "input"), text_member(prices, "cached"),
                       text_member(prices, "output"), text_member(prices, "currency"));
}

}  // namespace

std::string plan_text(const json::object& plan) {
    const std::string replaces = text_member(plan, "replaces");
    std::string out;
    out += fmt::format("{}: {}, {}; nothing was changed\n", text_member(plan, "name"),
                       text_member(plan, "architecture"),
                       replaces == "-" ? std::string("a new name")
                                       : "replaces " + replaces.substr(0, kShownDigits));
    out += fmt::format("weights   {} in {} tensors\n",
                       format_bytes(count_member(plan, "weights_bytes")),
                       count_member(plan, "tensors"));
    out += fmt::format(
        "KV cache  {} of {}, {} for a sequence of {} tokens\n",
        format_bytes(count_member(plan, "kv_bytes")), printable(text_member(plan, "kv_type")),
        format_bytes(count_member(plan, "kv_bytes_per_sequence")), count_member(plan, "context"));
    out += fmt::format("memory    {} while a worker serves it, KV cache as far as it is used\n",
                       format_bytes(count_member(plan, "memory_bytes")));
    out += fmt::format("restore   {}\n", restore_text(plan));
    out += fmt::format("price     {}\n", price_line(plan));
    return out;
}

}  // namespace rekindle::cli
