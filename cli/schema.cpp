#include "cli/terminal.h"
#include "cli/verb.h"
#include "daemon/api/manifest_schema.h"

namespace rekindle::cli {

namespace {

class Schema final : public Verb {
public:
    explicit Schema(CLI::App* command) : Verb(command) {
        command->footer("Editors check and complete manifests by it; no daemon is asked.");
    }

    Result<void> run(const VerbContext& /*context*/) override {
        return write_out(daemon::api::manifest_schema_text());
    }
};

}  // namespace

std::unique_ptr<Verb> make_schema(CLI::App& app) {
    return std::make_unique<Schema>(
        app.add_subcommand("schema", "Print the JSON Schema of deployment manifests"));
}

}  // namespace rekindle::cli
