#include "cli/bench_text.h"

#include "cli/api.h"
#include "cli/text.h"

#include <fmt/format.h>

#include <optional>
#include <vector>

namespace rekindle::cli {

namespace {

std::optional<double> number_member(const json::object& object, std::string_view key) {
    const json::value* value = object.if_contains(key);
    if (value == nullptr || !value->is_number()) {
        return std::nullopt;
    }
    json::error_code failed;
    const auto number = value->to_number<double>(failed);
    return failed ? std::nullopt : std::optional(number);
}

// Element objects of a list that may be absent.
std::vector<json::object> objects_of(const json::object& object, std::string_view key) {
    std::vector<json::object> objects;
    const auto list = array_member(object, key);
    if (list) {
        for (const json::value& element : *list) {
            objects.push_back(element.get_object());
        }
    }
    return objects;
}

std::string rate_text(const json::object& run, std::string_view key) {
    const auto rate = number_member(run, key);
    return rate ? fmt::format("{:.1f}", *rate) : "-";
}

std::string share_text(const json::object& row, std::string_view key) {
    const auto share = number_member(row, key);
    return share ? fmt::format("{:.1f} %", *share * 100) : "-";
}

std::string limits_text(const json::object& bench) {
    constexpr double kGiga = 1e9;
    const double memory = number_member(bench, "memory_bytes_per_second").value_or(0);
    const double int8 = number_member(bench, "int8_per_second").value_or(0);
    std::string text =
        fmt::format("limits    memory {:.1f} GB/s, int8 {}, measured in this run on {} threads\n",
                    memory / kGiga,
                    int8 > 0 ? fmt::format("{:.0f} Gop/s", int8 / kGiga)
                             : std::string("not known for these kernels"),
                    count_member(bench, "threads"));
    return text;
}

std::string warning_text(const json::object& bench) {
    std::string others;
    const json::value* list = bench.if_contains("disturbed_by");
    if (list == nullptr || !list->is_array()) {
        return others;
    }
    for (const json::value& other : list->get_array()) {
        if (other.is_string()) {
            others +=
                (others.empty() ? "" : ", ") + printable(std::string_view(other.get_string()));
        }
    }
    return others.empty() ? others
                          : fmt::format("disturbed by {}: measure again on an idle node\n", others);
}

std::string cases_table(const std::vector<json::object>& rows) {
    std::vector<std::vector<std::string>> cells;
    for (const json::object& row : rows) {
        cells.push_back({bench_case_text(row), rate_text(row, "tokens_per_second"),
                         rate_text(row, "best_tokens_per_second"), share_text(row, "memory_share"),
                         share_text(row, "int8_share")});
    }
    return format_table(
        {{"CASE"}, {"TOK/S", true}, {"BEST", true}, {"OF MEMORY", true}, {"OF INT8", true}}, cells);
}

// Of requests, not of the bench: nothing before there were any.
std::string guesses_text(const json::object& bench) {
    const json::value* guesses = bench.if_contains("guesses");
    const bool told = guesses != nullptr && guesses->is_object();
    const uint64_t computed = told ? count_member(guesses->get_object(), "computed") : 0;
    if (computed == 0) {
        return {};
    }
    const uint64_t right = count_member(guesses->get_object(), "right");
    const uint64_t of_draft = count_member(guesses->get_object(), "of_draft");
    const uint64_t of_draft_right = count_member(guesses->get_object(), "of_draft_right");
    const std::string draft =
        of_draft == 0 ? "" : fmt::format("; the draft model's {} of {}", of_draft_right, of_draft);
    return fmt::format("guesses   {} of {} were right in requests so far{}\n", right, computed,
                       draft);
}

std::string ops_table(const std::vector<json::object>& ops) {
    constexpr double kNanosecondsPerMs = 1e6;
    constexpr double kNanosecondsPerUs = 1e3;
    double total = 0;
    for (const json::object& op : ops) {
        total += number_member(op, "nanoseconds").value_or(0);
    }
    std::vector<std::vector<std::string>> cells;
    for (const json::object& op : ops) {
        const double time = number_member(op, "nanoseconds").value_or(0);
        const double calls = number_member(op, "calls").value_or(0);
        cells.push_back(
            {printable(text_member(op, "name")), fmt::format("{:.1f}", time / kNanosecondsPerMs),
             total > 0 ? fmt::format("{:.1f} %", time / total * 100) : "-",
             fmt::format("{:.0f}", calls),
             calls > 0 ? fmt::format("{:.1f}", time / calls / kNanosecondsPerUs) : "-"});
    }
    return format_table(
        {{"OPERATION"}, {"MS", true}, {"SHARE", true}, {"CALLS", true}, {"US EACH", true}}, cells);
}

}  // namespace

std::string bench_case_text(const json::object& run) {
    const uint64_t batch = count_member(run, "batch");
    const uint64_t prompt = count_member(run, "prompt");
    const uint64_t answer = count_member(run, "answer");
    return answer == 0 ? fmt::format("prefill {}", prompt)
                       : fmt::format("decode {} x {} + {}", batch, prompt, answer);
}

std::string bench_progress_text(const json::object& line) {
    const json::value* run = line.if_contains("run");
    if (run == nullptr || !run->is_object()) {
        return {};
    }
    return fmt::format("{}/{}  {}: {} tok/s\n", count_member(line, "done"),
                       count_member(line, "total"), bench_case_text(run->get_object()),
                       rate_text(run->get_object(), "tokens_per_second"));
}

std::string bench_text(const json::object& bench) {
    const std::vector<json::object> rows = objects_of(bench, "rows");
    std::string out = cases_table(rows) + "\n" + limits_text(bench);
    out += fmt::format("kernels   {}, KV cache {}\n", printable(text_member(bench, "kernels")),
                       printable(text_member(bench, "kv_type")));
    out += guesses_text(bench);
    for (const json::object& row : rows) {
        const std::vector<json::object> ops = objects_of(row, "ops");
        if (!ops.empty()) {
            out += "\n" + bench_case_text(row) + "\n" + ops_table(ops);
        }
    }
    const std::string warning = warning_text(bench);
    return warning.empty() ? out : out + "\n" + warning;
}

}  // namespace rekindle::cli
