#include "base/units.h"
#include "cli/api.h"
#include "cli/terminal.h"
#include "cli/text.h"
#include "cli/values.h"
#include "cli/verb.h"

#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include <chrono>
#include <string>

namespace rekindle::cli {

namespace {

constexpr const char* kKeysPath = "/admin/v1/keys";

std::string moment_text(const json::object& key, std::string_view member) {
    const uint64_t time = count_member(key, member);
    return time == 0 ? "-" : format_moment(static_cast<int64_t>(time));
}

std::vector<std::string> row_of(const json::object& key) {
    return {
        text_member(key, "id"),      text_member(key, "role"),    text_member(key, "organization"),
        text_member(key, "project"), text_member(key, "name"),    text_member(key, "state"),
        moment_text(key, "created"), moment_text(key, "expires"), moment_text(key, "last_used")};
}

Result<json::object> ask(const VerbContext& context, const HttpRequest& request) {
    HttpClient client(context.endpoint, nullptr);
    return send_for_json(client, request);
}

class Keys final : public Verb {
public:
    explicit Keys(CLI::App* command) : Verb(command) {
        command->require_subcommand(1);
        add_create(command->add_subcommand("create", "Make a key and print it, this once"));
        command->add_subcommand("list", "List all keys, without their secrets");
        CLI::App* revoke = command->add_subcommand("revoke", "End a key, at once and for good");
        revoke->add_option("id", id_, "The key's id, as `keys list` shows it")->required();
    }

    Result<void> run(const VerbContext& context) override {
        const std::string chosen = command()->get_subcommands().front()->get_name();
        if (chosen == "create") {
            return create(context);
        }
        return chosen == "list" ? list(context) : revoke(context);
    }

private:
    void add_create(CLI::App* create) {
        create->add_option("--project", project_, "Whom the key's requests are billed to")
            ->required();
        create->add_option("--organization", organization_, "To whom the project belongs")
            ->capture_default_str();
        create->add_option("--name", name_, "A note for people: who has it, where it is used");
        auto* admin = create->add_flag("--admin", admin_, "It opens the admin routes, too");
        create->add_flag("--metrics", metrics_, "It opens /metrics alone")->excludes(admin);
        create->add_option("--expires", expires_, "For how long it is good, such as 30d");
        create->add_flag("--quiet", quiet_, "Print the key alone");
        create->footer(
            "The key goes to standard output, all else to standard error. The daemon keeps no copy "
            "of it.");
    }

    Result<void> create(const VerbContext& context) const {
        json::object body{{"project", project_},
                          {"organization", organization_},
                          {"name", name_},
                          {"role", admin_     ? "admin"
                                   : metrics_ ? "metrics"
                                              : "user"}};
        if (!expires_.empty()) {
            const auto lifetime = parse_duration(expires_);
            if (!lifetime) {
                return lifetime.error().with_context("--expires");
            }
            body["expires_in"] =
                std::chrono::duration_cast<std::chrono::seconds>(*lifetime).count();
        }
        HttpRequest request{.method = "POST", .target = kKeysPath, .json = json::serialize(body)};
        const auto key = ask(context, request);
        if (!key) {
            return key.error();
        }
        if (context.json) {
            return write_out(json::serialize(*key) + "\n");
        }
        if (!quiet_) {
            write_err(fmt::format(
                "Key {} for project {} ({}). It is shown this once: keep it where its user alone "
                "can\nread it. Over TCP the node now answers to keys alone, and on admin routes to "
                "admin keys;\nits admin socket needs none.\n",
                text_member(*key, "id"), printable(text_member(*key, "project")),
                text_member(*key, "role")));
        }
        return write_out(text_member(*key, "key") + "\n");
    }

    static Result<void> list(const VerbContext& context) {
        const auto answer = ask(context, HttpRequest{.target = kKeysPath});
        if (!answer) {
            return answer.error();
        }
        const auto keys = array_member(*answer, "keys");
        if (!keys) {
            return keys.error();
        }
        if (context.json) {
            return write_out(json::serialize(*answer) + "\n");
        }
        if (keys->empty()) {
            write_err("there is no key: `rekindle keys create --project NAME` makes one\n");
            return {};
        }
        std::vector<std::vector<std::string>> rows;
        for (const json::value& key : *keys) {
            rows.push_back(row_of(key.get_object()));
        }
        return write_out(format_table({{"ID"},
                                       {"ROLE"},
                                       {"ORGANIZATION"},
                                       {"PROJECT"},
                                       {"NAME"},
                                       {"STATE"},
                                       {"CREATED (UTC)"},
                                       {"EXPIRES"},
                                       {"LAST USED"}},
                                      rows));
    }

    Result<void> revoke(const VerbContext& context) const {
        const auto key =
            ask(context, HttpRequest{.method = "DELETE",
                                     .target = fmt::format("{}/{}", kKeysPath, url_encode(id_))});
        if (!key) {
            return key.error();
        }
        if (context.json) {
            return write_out(json::serialize(*key) + "\n");
        }
        return write_out(fmt::format("revoked {} of project {}\n", text_member(*key, "id"),
                                     text_member(*key, "project")));
    }

    std::string project_;
    std::string organization_ = "default";
    std::string name_;
    bool admin_ = false;
    bool metrics_ = false;
    bool quiet_ = false;
    std::string expires_;
    std::string id_;
};

}  // namespace

std::unique_ptr<Verb> make_keys(CLI::App& app) {
    return std::make_unique<Keys>(app.add_subcommand("keys", "Make, list and revoke API keys"));
}

}  // namespace rekindle::cli
