#include "base/units.h"
#include "cli/api.h"
#include "cli/terminal.h"
#include "cli/text.h"
#include "cli/values.h"
#include "cli/verb.h"
#include "daemon/api/canonical_json.h"

#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include <string>

namespace rekindle::cli {

namespace {

constexpr size_t kShownDigits = 12;  // Of a revision or an image.

std::string short_digest(const json::object& object, std::string_view key) {
    return text_member(object, key).substr(0, kShownDigits);
}

std::string moment_member(const json::object& object) {
    return format_moment(static_cast<int64_t>(count_member(object, "created")));
}

std::string joined_aliases(const json::object& deployment) {
    const json::value* aliases = deployment.if_contains("aliases");
    std::string out;
    if (aliases != nullptr && aliases->is_array()) {
        for (const json::value& alias : aliases->get_array()) {
            out += out.empty() ? "" : ", ";
            out += alias.is_string() ? std::string(alias.get_string()) : std::string("-");
        }
    }
    return out.empty() ? "none" : out;
}

std::string facts_text(const json::object& deployment) {
    std::string out;
    out +=
        fmt::format("# {}, {} in {} tensors, context {}\n", text_member(deployment, "architecture"),
                    format_bytes(count_member(deployment, "image_bytes")),
                    count_member(deployment, "tensors"), count_member(deployment, "context"));
    out += fmt::format("# revision {}\n", text_member(deployment, "revision"));
    out += fmt::format("# deployed {} UTC from {}\n", moment_member(deployment),
                       printable(text_member(deployment, "source")));
    out += fmt::format("# tier     {}\n", text_member(deployment, "tier"));
    out += fmt::format("# aliases  {}\n", joined_aliases(deployment));
    return out;
}

std::string history_text(const json::array& history) {
    if (history.empty()) {
        return "# no earlier revision\n";
    }
    std::string out = "# earlier revisions, for `rekindle rollback`:\n";
    for (const json::value& element : history) {
        const json::object& revision = element.get_object();
        out += fmt::format("#   {}  deployed {} UTC  image {}  from {}\n",
                           short_digest(revision, "revision"), moment_member(revision),
                           short_digest(revision, "image"),
                           printable(text_member(revision, "source")));
    }
    return out;
}

class Describe final : public Verb {
public:
    explicit Describe(CLI::App* command) : Verb(command) {
        command->add_option("model", model_, "Model name or alias")->required();
        command->footer("What it prints is a manifest: `rekindle deploy` takes it back.");
    }

    Result<void> run(const VerbContext& context) override {
        if (auto checked = check_model_name(model_); !checked) {
            return checked;
        }
        HttpClient client(context.endpoint, nullptr);
        const auto deployment = get_json(client, "/admin/v1/deployments/" + url_encode(model_));
        if (!deployment) {
            return deployment.error();
        }
        if (context.json) {
            return write_out(json::serialize(*deployment) + "\n");
        }
        const json::value* manifest = deployment->if_contains("manifest");
        const auto history = array_member(*deployment, "history");
        if (manifest == nullptr || !manifest->is_object() || !history) {
            return Error{ErrorCode::kInternal, "the daemon's answer holds no manifest"};
        }
        return write_out(facts_text(*deployment) + history_text(*history) +
                         printable(daemon::api::block_yaml(manifest->get_object())));
    }

private:
    std::string model_;
};

}  // namespace

std::unique_ptr<Verb> make_describe(CLI::App& app) {
    return std::make_unique<Describe>(
        app.add_subcommand("describe", "Show a deployment's manifest and revisions"));
}

}  // namespace rekindle::cli
