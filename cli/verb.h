// A verb of the command line: it declares its options when it is made and runs once if it was
// chosen. Results go to standard output, everything else to standard error.
#pragma once
#include "base/result.h"
#include "cli/endpoint.h"

#include <CLI/App.hpp>

#include <memory>
#include <vector>

namespace rekindle::cli {

struct VerbContext {
    Endpoint endpoint;
    bool json = false;
};

class Verb {
public:
    virtual ~Verb() = default;
    virtual Result<void> run(const VerbContext& context) = 0;

    const CLI::App* command() const noexcept { return command_; }

protected:
    explicit Verb(CLI::App* command) : command_(command) {}

private:
    CLI::App* command_;  // Owned by the application.
};

std::unique_ptr<Verb> make_deploy(CLI::App& app);
std::unique_ptr<Verb> make_models(CLI::App& app);
std::unique_ptr<Verb> make_ps(CLI::App& app);
std::unique_ptr<Verb> make_chat(CLI::App& app);
std::unique_ptr<Verb> make_run(CLI::App& app);
std::unique_ptr<Verb> make_usage(CLI::App& app);
std::unique_ptr<Verb> make_trace(CLI::App& app);
std::unique_ptr<Verb> make_logs(CLI::App& app);
std::unique_ptr<Verb> make_undeploy(CLI::App& app);
std::unique_ptr<Verb> make_keys(CLI::App& app);
std::unique_ptr<Verb> make_backup(CLI::App& app);
std::unique_ptr<Verb> make_describe(CLI::App& app);
std::unique_ptr<Verb> make_rollback(CLI::App& app);
std::unique_ptr<Verb> make_aliases(CLI::App& app);
std::unique_ptr<Verb> make_bench(CLI::App& app);
std::unique_ptr<Verb> make_doctor(CLI::App& app);
std::unique_ptr<Verb> make_gc(CLI::App& app);
std::unique_ptr<Verb> make_verify(CLI::App& app);
std::unique_ptr<Verb> make_warm(CLI::App& app);
std::unique_ptr<Verb> make_cool(CLI::App& app);
std::unique_ptr<Verb> make_schema(CLI::App& app);

}  // namespace rekindle::cli
