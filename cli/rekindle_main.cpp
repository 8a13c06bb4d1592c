// rekindle: the command line of a Rekindle daemon. One file per verb.
#include "base/version.h"
#include "cli/api_key.h"
#include "cli/exit_code.h"
#include "cli/remote.h"
#include "cli/terminal.h"
#include "cli/verb.h"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <fmt/format.h>

#include <curl/curl.h>
#include <memory>
#include <string>
#include <vector>

namespace rekindle::cli {

namespace {

constexpr const char* kExitCodes =
    "Exit codes: 0 done, 1 failed, 2 wrong command line or manifest, 3 no such model or file,\n"
    "4 no daemon answers, 5 refused by the daemon, 130 interrupted.";

constexpr const char* kGlobalsHint =
    "Every verb takes --url URL, --key-file FILE and --json: see rekindle --help.";

struct Globals {
    std::string url = kDefaultUrl;
    std::string key_file;
    bool json = false;
};

void add_globals(CLI::App& app, Globals& globals) {
    app.set_version_flag("--version", fmt::format("rekindle {}", version()));
    app.add_option("--url", globals.url,
                   "The daemon: http://HOST:PORT or unix:///path/to/admin.sock")
        ->envname("REKINDLE_URL")
        ->capture_default_str()
        ->type_name("URL");
    app.add_option("--key-file", globals.key_file,
                   "File that holds the API key (default: the environment's REKINDLE_API_KEY)")
        ->envname("REKINDLE_KEY_FILE")
        ->type_name("FILE");
    app.add_flag("--json", globals.json, "Print the result as JSON");
    app.fallthrough();  // The options above may stand after the verb, too.
    app.require_subcommand(1);
    app.footer(kExitCodes);
}

std::vector<std::unique_ptr<Verb>> make_verbs(CLI::App& app) {
    std::vector<std::unique_ptr<Verb>> verbs;
    verbs.push_back(make_deploy(app));
    verbs.push_back(make_models(app));
    verbs.push_back(make_describe(app));
    verbs.push_back(make_rollback(app));
    verbs.push_back(make_aliases(app));
    verbs.push_back(make_ps(app));
    verbs.push_back(make_chat(app));
    verbs.push_back(make_run(app));
    verbs.push_back(make_usage(app));
    verbs.push_back(make_trace(app));
    verbs.push_back(make_logs(app));
    verbs.push_back(make_undeploy(app));
    verbs.push_back(make_keys(app));
    verbs.push_back(make_backup(app));
    verbs.push_back(make_bench(app));
    verbs.push_back(make_warm(app));
    verbs.push_back(make_cool(app));
    verbs.push_back(make_gc(app));
    verbs.push_back(make_verify(app));
    verbs.push_back(make_doctor(app));
    verbs.push_back(make_push(app));
    verbs.push_back(make_pull(app));
    verbs.push_back(make_schema(app));
    for (CLI::App* command : app.get_subcommands(/*filter=*/{})) {
        const std::string footer = command->get_footer();
        command->footer(footer + (footer.empty() ? "" : "\n\n") + kGlobalsHint);
    }
    return verbs;
}

Result<void> run_chosen(const std::vector<std::unique_ptr<Verb>>& verbs, const Globals& globals) {
    auto endpoint = parse_endpoint(globals.url);
    if (!endpoint) {
        return endpoint.error();
    }
    auto key = find_api_key(globals.key_file);
    if (!key) {
        return key.error();
    }
    endpoint->key = *std::move(key);
    const VerbContext context{*std::move(endpoint), globals.json};
    for (const auto& verb : verbs) {
        if (verb->command()->parsed()) {
            return verb->run(context);
        }
    }
    return Error{ErrorCode::kInvalidArgument, "no verb was given"};
}

// Help and version go to standard output; a wrong command line is one clear line.
int leave_parser(const CLI::App& app, const CLI::ParseError& error) {
    if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success)) {
        return app.exit(error);
    }
    print_error(fmt::format("{}; `rekindle --help` shows how", error.what()));
    return kExitUsage;
}

int main_of(int argc, char** argv) {
    curl_global_init(CURL_GLOBAL_DEFAULT);
    CLI::App app{"Deploys, runs and bills models on a Rekindle daemon.", "rekindle"};
    Globals globals;
    add_globals(app, globals);
    const auto verbs = make_verbs(app);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return leave_parser(app, error);
    }
    const auto done = run_chosen(verbs, globals);
    if (!done) {
        print_error(done.error().message);
        return exit_code_of(done.error().code);
    }
    return kExitOk;
}

}  // namespace

}  // namespace rekindle::cli

int main(int argc, char** argv) {
    return rekindle::cli::main_of(argc, argv);
}
