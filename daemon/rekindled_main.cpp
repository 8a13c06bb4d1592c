// rekindled: the node daemon. Reads as a list of steps; each library does its own.
#include "base/async/spawn.h"
#include "base/async/timer.h"
#include "base/clock.h"
#include "base/huge_pages.h"
#include "base/log.h"
#include "base/log_ring.h"
#include "base/random.h"
#include "base/version.h"
#include "billing/ledger.h"
#include "daemon/backup_writer.h"
#include "daemon/catalog.h"
#include "daemon/config.h"
#include "daemon/data_folder.h"
#include "daemon/http_front.h"
#include "daemon/key_store.h"
#include "daemon/node_impl.h"
#include "daemon/offline.h"
#include "daemon/worker_path.h"
#include "loader/chunk_store.h"
#include "snapshot/tiers/host_tier.h"

#include <boost/asio/signal_set.hpp>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>

namespace rekindle::daemon {
namespace {

constexpr std::chrono::seconds kDrainMax{60};  // SIGTERM: running answers get this long.
constexpr std::chrono::seconds kStopMax{5};    // After that, connections are closed.

// Everything that lives as long as the daemon, in order of dependence.
struct Services {
    SystemClock clock;
    SystemEntropy entropy;
    LogRing logs{clock};
    asio::io_context context{1};
    SystemTimers timers{context};
    std::unique_ptr<DataFolder> folder;
    std::unique_ptr<billing::Ledger> ledger;
    std::unique_ptr<loader::ChunkStore> store;
    remote::Environment environment = remote::process_environment;
    std::unique_ptr<remote::ArrivingImages> arriving;
    std::unique_ptr<snapshot::HostTier> tier;
    std::unique_ptr<KeyStore> keys;
    std::unique_ptr<WorkerLauncher> launcher;
    std::unique_ptr<NodeImpl> node;
    std::unique_ptr<HttpFront> front;
};

// Everything works without them, at a price that a person should know of once.
void tell_of_huge_pages() {
    const HugePages pages = read_huge_pages("");
    if (!pages.enabled) {
        log_warning("huge_pages_off", {{"shmem_enabled", pages.setting},
                                       {"effect", "slower restores and answers"},
                                       {"remedy", "rekindle doctor --fix"}});
    }
}

Result<void> open_storage(const Config& config, Services& services) {
    auto folder = DataFolder::open(config.data_dir);
    if (!folder) {
        return folder.error();
    }
    services.folder = std::make_unique<DataFolder>(std::move(folder).value());
    auto ledger = billing::Ledger::open(services.folder->at("ledger"), services.clock);
    if (!ledger) {
        return ledger.error();
    }
    services.ledger = std::move(ledger).value();
    auto store = loader::ChunkStore::open(services.folder->at("chunks"));
    if (!store) {
        return store.error();
    }
    services.store = std::move(store).value();
    services.arriving = remote::ArrivingImages::open(
        {.store = *services.store,
         .folder = services.folder->at("arriving"),
         .context = {config.remote, services.environment, services.clock},
         .pauses = {}});
    auto tier = snapshot::HostTier::create(
        *services.store, services.clock,
        snapshot::HostTierOptions{.budget_bytes = config.host_memory_bytes,
                                  .kept_bytes = config.ready_memory_bytes.value_or(0),
                                  .through_buffers = !read_huge_pages("").enabled,
                                  .supply = services.arriving.get()});
    if (!tier) {
        return tier.error();
    }
    services.tier = std::move(tier).value();
    return {};
}

Result<void> start_serving(const Config& config, Services& services) {
    auto catalog = Catalog::open(services.folder->at("deployments"));
    if (!catalog) {
        return catalog.error();
    }
    auto keys = KeyStore::open(services.folder->at("keys"), services.clock, services.entropy);
    if (!keys) {
        return keys.error();
    }
    services.keys = std::make_unique<KeyStore>(std::move(keys).value());
    auto worker = worker_executable();
    if (!worker) {
        return worker.error();
    }
    services.launcher = make_process_launcher(services.context, *worker);
    services.node = std::make_unique<NodeImpl>(
        NodeServices{services.context, services.clock, *services.folder, *services.ledger,
                     *services.store, *services.tier, *services.launcher, services.timers,
                     services.entropy, std::move(worker).value(), services.arriving.get()},
        config, std::move(catalog).value());
    const auto started = services.node->start();
    if (!started) {
        return started;
    }
    services.front = std::make_unique<HttpFront>(
        services.context, *services.node, services.clock, services.entropy,
        FrontOptions{.keys = *services.keys,
                     .listen = config.listen,
                     .unix_path = services.folder->at("admin.sock"),
                     .backup =
                         [&services](BackupOptions options) {
                             return begin_backup({services.clock, *services.folder,
                                                  *services.ledger, *services.store},
                                                 options);
                         },
                     .upkeep = services.node.get(),
                     .logs = &services.logs});
    const auto port = services.front->start();
    if (!port) {
        return port.error();
    }
    const std::string address = config.listen.substr(0, config.listen.rfind(':'));
    std::printf("rekindled %s ready http://%s:%u data %s\n", std::string(version()).c_str(),
                address.c_str(), static_cast<unsigned>(*port), services.folder->path().c_str());
    std::fflush(stdout);
    log_info("ready", {{"listen", address + ":" + std::to_string(*port)},
                       {"data_folder", services.folder->path()}});
    return {};
}

// When this has ended nothing is left for the io thread, and run() returns.
Task<> shut_down(Services* services, asio::signal_set* signals) {
    log_info("draining", {});
    co_await services->node->drain(kDrainMax);
    co_await services->front->stop(kStopMax);
    co_await services->node->stop();
    signals->cancel();
    log_info("stopped", {});
}

// A start that failed after workers were started.
Task<> stop_unserved(Services* services) {
    co_await services->node->stop();
}

// First signal drains; a second one ends the daemon at once (the ledger recovers).
void stop_on_signal(asio::signal_set& signals, Services& services, Gate& gate, bool again) {
    signals.async_wait([&signals, &services, &gate, again](boost::system::error_code ec, int) {
        if (ec) {
            return;
        }
        if (again) {
            std::_Exit(EXIT_FAILURE);
        }
        auto stopping = shut_down(&services, &signals);
        static_cast<void>(spawn(services.context, "shut_down", gate, std::move(stopping)));
        stop_on_signal(signals, services, gate, true);
    });
}

int run(int argc, char** argv) {
    // 1. Options.
    const auto parsed = parse_config(argc, argv);
    if (!parsed) {
        std::fprintf(stderr, "rekindled: %s\n", parsed.error().message.c_str());
        return 2;
    }
    if (parsed->exit_now) {
        return parsed->exit_code;
    }
    LogLevel level = LogLevel::kInfo;
    if (parse_log_level(parsed->config.log_level, level)) {
        set_log_level(level);
    }
    if (parsed->offline.action != OfflineAction::kNone) {
        return run_offline(parsed->config, parsed->offline);
    }
    std::signal(SIGPIPE, SIG_IGN);  // A client that left is an error code, not a signal.
    Services services;
    services.logs.attach();
    tell_of_huge_pages();
    // 2. Data folder, ledger (closes what a crash left open), chunks, memory for images.
    const auto opened = open_storage(parsed->config, services);
    if (!opened) {
        std::fprintf(stderr, "rekindled: %s\n", opened.error().message.c_str());
        return EXIT_FAILURE;
    }
    // 3. Deployments at zero, spare workers, listeners.
    const auto serving = start_serving(parsed->config, services);
    int exit_code = EXIT_SUCCESS;
    Gate gate(services.context);
    asio::signal_set signals(services.context, SIGINT, SIGTERM);
    if (serving) {
        stop_on_signal(signals, services, gate, false);
    } else {
        std::fprintf(stderr, "rekindled: %s\n", serving.error().message.c_str());
        exit_code = EXIT_FAILURE;
        if (services.node != nullptr) {
            auto stopping = stop_unserved(&services);
            static_cast<void>(spawn(services.context, "stop", gate, std::move(stopping)));
        }
    }
    // 4. Serve on this thread until the drain has ended. Workers are its children: they die with
    // it.
    services.context.run();
    return exit_code;
}

}  // namespace
}  // namespace rekindle::daemon

int main(int argc, char** argv) {
    return rekindle::daemon::run(argc, argv);
}
