#include "base/unique_fd.h"
#include "base/units.h"
#include "cli/api.h"
#include "cli/terminal.h"
#include "cli/verb.h"

#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <span>
#include <string>
#include <unistd.h>

namespace rekindle::cli {

namespace {

class Backup final : public Verb {
public:
    explicit Backup(CLI::App* command) : Verb(command) {
        command->add_option("file", file_, "Where the archive goes")->required();
        command->add_flag("--with-images", with_images_, "Models, too: as large as they are");
        command->add_flag("--without-keys", without_keys_, "Leave the API keys out");
        command->footer(
            "The daemon goes on serving. `rekindled --offline restore` brings an archive back.");
    }

    Result<void> run(const VerbContext& context) override {
        if (::access(file_.c_str(), F_OK) == 0) {
            return Error{ErrorCode::kConflict, file_ + " exists: give another name"};
        }
        const std::string partial = file_ + ".partial";
        const UniqueFd fd(::open(partial.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
        if (!fd.valid()) {
            return errno_error(partial, errno);
        }
        auto written = fetch(context, fd.get());
        if (written && ::fsync(fd.get()) != 0) {
            written = errno_error(partial, errno);
        }
        if (written && std::rename(partial.c_str(), file_.c_str()) != 0) {
            written = errno_error(file_, errno);
        }
        if (!written) {
            ::unlink(partial.c_str());
            return written;
        }
        return tell(context);
    }

private:
    Result<void> fetch(const VerbContext& context, int fd) {
        auto interrupts = Interrupts::open();
        if (!interrupts) {
            return interrupts.error();
        }
        HttpClient client(context.endpoint, &*interrupts);
        const HttpRequest request{.target = fmt::format("/admin/v1/backup?images={}&keys={}",
                                                        with_images_, !without_keys_)};
        const auto response =
            send_checked(client, request, [this, fd](std::string_view bytes) -> Result<void> {
                bytes_ += bytes.size();
                return write_all(fd, std::as_bytes(std::span(bytes))).with_context(file_);
            });
        if (!response) {
            return response.error();
        }
        return {};
    }

    Result<void> tell(const VerbContext& context) const {
        if (context.json) {
            const json::object out{{"file", file_}, {"bytes", bytes_}};
            return write_out(json::serialize(out) + "\n");
        }
        return write_out(fmt::format("{}: {}\n", file_, format_bytes(bytes_)));
    }

    std::string file_;
    bool with_images_ = false;
    bool without_keys_ = false;
    uint64_t bytes_ = 0;
};

}  // namespace

std::unique_ptr<Verb> make_backup(CLI::App& app) {
    return std::make_unique<Backup>(
        app.add_subcommand("backup", "Copy ledger, deployments and keys into one file"));
}

}  // namespace rekindle::cli
