#include "daemon/admin_backup.h"

#include "base/log.h"

#include <optional>
#include <utility>
#include <variant>

namespace rekindle::daemon {
namespace {

std::variant<BackupOptions, ApiError> read_options(std::string_view query) {
    const auto parameters = parse_query(query);
    if (!parameters) {
        return invalid_value("", "the query is malformed");
    }
    BackupOptions options;
    for (const auto& [name, value] : *parameters) {
        if (name != "keys" && name != "images") {
            return unknown_parameter(name);
        }
        if (value != "true" && value != "false") {
            return invalid_value(name, name + ": must be true or false");
        }
        (name == "keys" ? options.with_keys : options.with_images) = value == "true";
    }
    return options;
}

HttpReply archive_head() {
    HttpReply head;
    head.content_type = "application/x-tar";
    head.fields.push_back({"Cache-Control", "no-store"});
    return head;
}

}  // namespace

void AdminBackup::add_routes(std::vector<Route>& routes) {
    routes.push_back(Route{.method = "GET",
                           .pattern = "/admin/v1/backup",
                           .access = Access::kAdmin,
                           .handle = [this](HttpExchange& exchange, const std::string& /*rest*/) {
                               return save(exchange);
                           }});
}

Task<> AdminBackup::save(HttpExchange& exchange) {
    auto options = read_options(exchange.request().query);
    if (auto* refused = std::get_if<ApiError>(&options)) {
        co_await exchange.reply_error(std::move(*refused));
        co_return;
    }
    if (saving_) {
        ApiError busy = api_error(
            Error{ErrorCode::kConflict, "another backup is being made: wait for its end"});
        co_await exchange.reply_error(std::move(busy));
        co_return;
    }
    saving_ = true;
    auto work = [this, chosen = std::get<BackupOptions>(options)] { return begin_(chosen); };
    auto beginning = offload(files_, std::move(work));
    auto stream = co_await std::move(beginning);
    if (!stream) {
        saving_ = false;
        ApiError error = api_error(stream.error());
        co_await exchange.reply_error(std::move(error));
        co_return;
    }
    // Shared: the work on the pool has it while this coroutine waits.
    std::shared_ptr<BackupStream> shared = std::move(stream).value();
    const bool complete = co_await send(&exchange, shared);
    auto last_work = [shared = std::move(shared)]() mutable {
        shared.reset();  // Removes files.
        return true;
    };
    auto removing = offload(files_, std::move(last_work));
    co_await std::move(removing);
    saving_ = false;  // Before the answer's end: who has read it may ask for the next backup.
    if (complete) {
        const std::string nothing;
        co_await exchange.end_stream(nothing);
    } else {
        exchange.close_after();
    }
}

// An archive that breaks off has no list at its end, and its chunked answer no last chunk: neither
// can be taken for a whole one.
Task<bool> AdminBackup::send(HttpExchange* exchange, std::shared_ptr<BackupStream> stream) {
    exchange->on_interrupt([](Interrupt /*reason*/) {});
    exchange->begin_stream(archive_head());
    while (!exchange->interrupted()) {
        auto work = [stream] { return stream->next(); };
        auto reading = offload(files_, std::move(work));
        auto piece = co_await std::move(reading);
        if (!piece) {
            log_error("backup_failed", {{"reason", piece.error().message}});
            co_return false;
        }
        if (piece->empty()) {
            co_return true;
        }
        const bool sent = co_await exchange->send_part(*piece);
        if (!sent) {
            co_return false;
        }
    }
    co_return false;
}

}  // namespace rekindle::daemon
