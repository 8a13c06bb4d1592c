#include "base/units.h"
#include "cli/api.h"
#include "cli/terminal.h"
#include "cli/text.h"
#include "cli/verb.h"

#include <boost/json/serialize.hpp>
#include <fmt/format.h>

namespace rekindle::cli {

namespace {

// How long it has been idle; "busy" with requests, "-" when it was never used.
std::string idle_text(const json::object& deployment) {
    if (count_member(deployment, "active_requests") > 0) {
        return "busy";
    }
    const json::value* idle = deployment.if_contains("idle_ms");
    if (idle == nullptr || !idle->is_number()) {
        return "-";
    }
    return format_duration(
        std::chrono::milliseconds(static_cast<int64_t>(count_member(deployment, "idle_ms"))));
}

// "restoring" while a worker waits for weights; how much is here of an image that arrives.
std::string tier_text(const json::object& deployment) {
    const json::value* restoring = deployment.if_contains("restoring");
    const bool waiting = restoring != nullptr && restoring->is_bool() && restoring->get_bool();
    std::string text = waiting ? "restoring" : text_member(deployment, "tier");
    const json::value* const arriving = deployment.if_contains("arriving");
    if (arriving != nullptr && arriving->is_object()) {
        const uint64_t bytes = count_member(arriving->get_object(), "bytes");
        const uint64_t here = count_member(arriving->get_object(), "bytes_here");
        text += fmt::format(" {} %", bytes == 0 ? 0 : 100 * here / bytes);
    }
    return text;
}

// How many of the guesses that were computed were right; "-" before there were any.
std::string guessed_text(const json::object& deployment) {
    const json::value* guesses = deployment.if_contains("guesses");
    if (guesses == nullptr || !guesses->is_object()) {
        return "-";
    }
    const uint64_t computed = count_member(guesses->get_object(), "computed");
    const uint64_t right = count_member(guesses->get_object(), "right");
    return computed == 0 ? "-" : fmt::format("{} %", 100 * right / computed);
}

std::vector<std::string> row_of(const json::object& deployment) {
    const uint64_t pid = count_member(deployment, "worker_pid");
    return {text_member(deployment, "name"),
            tier_text(deployment),
            format_bytes(count_member(deployment, "resident_bytes")),
            std::to_string(count_member(deployment, "active_requests")),
            idle_text(deployment),
            guessed_text(deployment),
            pid == 0 ? "-" : std::to_string(pid)};
}

class Ps final : public Verb {
public:
    explicit Ps(CLI::App* command) : Verb(command) {
        command->add_flag("--all", all_, "Also what lies on disk alone");
    }

    Result<void> run(const VerbContext& context) override {
        HttpClient client(context.endpoint, nullptr);
        const auto answer = get_json(client, "/admin/v1/deployments");
        if (!answer) {
            return answer.error();
        }
        const auto deployments = array_member(*answer, "deployments");
        if (!deployments) {
            return deployments.error();
        }
        json::array resident;
        std::vector<std::vector<std::string>> rows;
        for (const json::value& deployment : *deployments) {
            if (all_ || text_member(deployment.get_object(), "tier") != "disk") {
                resident.push_back(deployment);
                rows.push_back(row_of(deployment.get_object()));
            }
        }
        if (context.json) {
            return write_out(json::serialize(json::object{
                                 {"deployments", resident},
                                 {"ready_bytes", count_member(*answer, "ready_bytes")}}) +
                             "\n");
        }
        if (const uint64_t ready = count_member(*answer, "ready_bytes"); ready > 0) {
            write_err(fmt::format("{} of memory are ready for restores\n", format_bytes(ready)));
        }
        if (rows.empty()) {
            write_err("no model is in memory: the next request brings one back\n");
            return {};
        }
        return write_out(format_table({{"NAME"},
                                       {"TIER"},
                                       {"MEMORY", true},
                                       {"REQUESTS", true},
                                       {"IDLE FOR", true},
                                       {"GUESSED", true},
                                       {"PID", true}},
                                      rows));
    }

private:
    bool all_ = false;
};

}  // namespace

std::unique_ptr<Verb> make_ps(CLI::App& app) {
    return std::make_unique<Ps>(app.add_subcommand("ps", "List what is in memory, and where"));
}

}  // namespace rekindle::cli
