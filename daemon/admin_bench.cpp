#include "daemon/admin_bench.h"

#include "daemon/openai_errors.h"
#include "daemon/openai_fields.h"

#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>

namespace rekindle::daemon {
namespace {

constexpr std::string_view kBatchesRule = "a list of 1 to 16 whole numbers, each 1 to 256";
static_assert(kBenchBatchesMax == 16 && kBenchBatchMax == 256, "as the rule says");

bool read_batches(const json::value& value, std::vector<uint32_t>& batches) {
    const json::array* list = value.if_array();
    if (list == nullptr || list->empty() || list->size() > kBenchBatchesMax) {
        return false;
    }
    batches.clear();
    for (const json::value& item : *list) {
        boost::system::error_code failed;
        const auto number = item.is_number() ? item.to_number<uint32_t>(failed) : 0;
        if (failed || number == 0 || number > kBenchBatchMax) {
            return false;
        }
        batches.push_back(number);
    }
    return true;
}

// Every field may be left out.
std::variant<BenchSpec, ApiError> read_spec(const json::object& body) {
    for (const auto& member : body) {
        const std::string_view key = member.key();
        const bool known = key == "batches" || key == "prompt" || key == "answer" ||
                           key == "prefill" || key == "repeat" || key == "profile";
        if (!known) {
            return unknown_parameter(std::string(key));
        }
    }
    BenchSpec spec{
        .batches = {1, 8, 32}, .prompt = 128, .answer = 128, .prefill = 512, .repeat = 3};
    FieldReader fields(body);
    const auto number = [&fields](std::string_view key, uint32_t high, uint32_t& out) {
        out = static_cast<uint32_t>(fields.integer(key, 1, high).value_or(out));
    };
    number("prompt", kBenchTokensMax, spec.prompt);
    number("answer", kBenchTokensMax, spec.answer);
    number("prefill", kBenchTokensMax, spec.prefill);
    number("repeat", kBenchRepeatMax, spec.repeat);
    spec.profile = fields.boolean("profile").value_or(false);
    const json::value* batches = fields.present("batches");
    if (batches != nullptr && !read_batches(*batches, spec.batches)) {
        fields.fail_value("batches", kBatchesRule);
    }
    if (fields.failed()) {
        return *fields.error();
    }
    return spec;
}

// ---- What the answer's lines hold ----

json::object run_json(const BenchRun& run) {
    return {{"batch", run.batch},
            {"prompt", run.prompt},
            {"answer", run.answer},
            {"tokens_per_second", run.tokens_per_second}};
}

json::object row_json(const BenchRow& row) {
    json::object out = run_json(row.median);
    out["best_tokens_per_second"] = row.best_tokens_per_second;
    out["memory_share"] = row.memory_share;
    out["int8_share"] = row.int8_share ? json::value(*row.int8_share) : json::value(nullptr);
    json::array ops;
    for (const BenchOpItem& op : row.ops) {
        ops.push_back(
            json::object{{"name", op.name}, {"nanoseconds", op.nanoseconds}, {"calls", op.calls}});
    }
    out["ops"] = std::move(ops);
    return out;
}

json::object report_json(const BenchReport& report) {
    json::object out{{"model", report.model},
                     {"revision", report.revision},
                     {"kernels", report.kernels},
                     {"kv_type", report.kv_type},
                     {"threads", report.threads},
                     {"memory_bytes_per_second", report.memory_bytes_per_second},
                     {"int8_per_second", report.int8_per_second}};
    out["guesses"] = json::object{{"computed", report.guesses.computed},
                                  {"right", report.guesses.right},
                                  {"of_draft", report.guesses.of_draft},
                                  {"of_draft_right", report.guesses.of_draft_right}};
    json::array rows;
    for (const BenchRow& row : report.rows) {
        rows.push_back(row_json(row));
    }
    out["rows"] = std::move(rows);
    out["disturbed_by"] = json::array(report.disturbed_by.begin(), report.disturbed_by.end());
    return out;
}

std::string line_of(const BenchProgress& progress) {
    json::object line{{"done", progress.done}, {"total", progress.total}};
    if (progress.run) {
        line["run"] = run_json(*progress.run);
    }
    return json::serialize(line) + "\n";
}

// Until the report, an error or the client's end; the answer's last line, if anybody reads it.
Task<std::optional<std::string>> tell_progress(HttpExchange* exchange, BenchStream* bench) {
    while (!exchange->interrupted()) {
        auto event = co_await bench->next();
        if (!event) {
            co_return error_json(api_error(event.error())) + "\n";
        }
        if (const auto* report = std::get_if<BenchReport>(&*event)) {
            co_return json::serialize(json::object{{"bench", report_json(*report)}}) + "\n";
        }
        const std::string line = line_of(std::get<BenchProgress>(*event));
        const bool sent = co_await exchange->send_part(line);
        if (!sent) {
            co_return std::nullopt;
        }
    }
    co_return std::nullopt;
}

Task<> bench_and_tell(HttpExchange& exchange, Node& node, BenchSpec spec) {
    auto begun = co_await node.bench(std::move(spec));
    if (!begun) {
        ApiError error = api_error(begun.error());
        co_await exchange.reply_error(std::move(error));
        co_return;
    }
    std::shared_ptr<BenchStream> bench = std::move(begun).value();  // With the interruption's part.
    exchange.begin_stream(lines_head());
    exchange.keep_alive("\n", lines_head());  // A case may take minutes.
    exchange.on_interrupt([weak = std::weak_ptr(bench)](Interrupt /*reason*/) {
        if (const auto running = weak.lock()) {
            running->cancel();
        }
    });
    const auto last = co_await tell_progress(&exchange, bench.get());
    bench.reset();  // Before the answer's end: who has read it may ask for the next bench.
    if (last && !exchange.interrupted()) {
        co_await exchange.end_stream(*last);
    } else {
        exchange.close_after();
    }
}

Task<> bench_model(HttpExchange& exchange, Node& node, std::string name) {
    std::string text;
    auto fault = co_await exchange.read_body(&text);
    if (fault) {
        co_await exchange.reply_error(std::move(*fault));
        co_return;
    }
    const auto body = parse_json(text.empty() ? "{}" : text, JsonLimits{.depth_max = 4});
    auto spec = body && body->is_object()
                    ? read_spec(body->get_object())
                    : invalid_value("", body ? "the body must be a JSON object, or empty"
                                             : "body: " + body.error().message);
    if (auto* refused = std::get_if<ApiError>(&spec)) {
        co_await exchange.reply_error(std::move(*refused));
        co_return;
    }
    auto asked = std::move(std::get<BenchSpec>(spec));
    asked.model = std::move(name);
    co_await bench_and_tell(exchange, node, std::move(asked));
}

}  // namespace

void add_bench_route(Node& node, std::vector<Route>& routes) {
    routes.push_back(Route{.method = "POST",
                           .pattern = "/admin/v1/bench/*",
                           .access = Access::kAdmin,
                           .handle = [&node](HttpExchange& exchange, std::string rest) {
                               return bench_model(exchange, node, std::move(rest));
                           }});
}

}  // namespace rekindle::daemon
