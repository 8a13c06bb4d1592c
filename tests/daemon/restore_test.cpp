// Backups of real ledgers, stores and keys, and what comes of them.
#include "daemon/restore.h"

#include "base/random.h"
#include "billing/ledger.h"
#include "daemon/backup_writer.h"
#include "daemon/key_store.h"
#include "loader/chunk_store.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <iterator>
#include <string>

using namespace rekindle;          // NOLINT(google-build-using-namespace): test file.
using namespace rekindle::daemon;  // NOLINT(google-build-using-namespace): test file.

namespace {

// A node's data folder with what a daemon would have open.
class NodeData {
public:
    NodeData() {
        char name[] = "/tmp/rekindle_backup_XXXXXX";
        root = ::mkdtemp(name);
        auto opened = DataFolder::open(root + "/data");
        REQUIRE(opened);
        folder = std::make_unique<DataFolder>(std::move(opened).value());
        auto books = billing::Ledger::open(folder->at("ledger"), clock);
        REQUIRE(books);
        ledger = std::move(books).value();
        auto chunks = loader::ChunkStore::open(folder->at("chunks"));
        REQUIRE(chunks);
        store = std::move(chunks).value();
    }

    ~NodeData() {
        close();
        std::error_code ignored;
        std::filesystem::remove_all(root, ignored);
    }

    NodeData(const NodeData&) = delete;
    NodeData& operator=(const NodeData&) = delete;

    void close() {
        ledger.reset();
        store.reset();
        folder.reset();
    }

    void begin_request() {
        billing::RequestFacts facts{.id = billing::RequestId::make(clock, entropy),
                                    .organization = "o",
                                    .project = "p",
                                    .key = "k",
                                    .model = "m",
                                    .revision = "r",
                                    .currency = "USD"};
        std::promise<bool> done;
        ledger->begin(facts, [&done](Result<void> begun) { done.set_value(begun.ok()); });
        REQUIRE(done.get_future().get());
    }

    std::string make_key() {
        auto keys = KeyStore::open(folder->at("keys"), clock, entropy);
        REQUIRE(keys);
        auto key = keys->create({.project = "p"});
        REQUIRE(key);
        return key->text;
    }

    Result<std::unique_ptr<BackupStream>> begin(BackupOptions options) const {
        return begin_backup({clock, *folder, *ledger, *store}, options);
    }

    std::string saved(BackupOptions options) const {
        auto stream = begin(options);
        REQUIRE(stream);
        const std::string path = root + "/backup.tar";
        std::ofstream out(path, std::ios::binary);
        while (true) {
            const auto piece = (*stream)->next();
            REQUIRE(piece);
            if (piece->empty()) {
                return path;
            }
            out << *piece;
        }
    }

    ManualClock clock;
    SeededEntropy entropy{5};
    std::string root;
    std::unique_ptr<DataFolder> folder;
    std::unique_ptr<billing::Ledger> ledger;
    std::unique_ptr<loader::ChunkStore> store;
};

std::string read_file(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace

TEST_CASE("a backup brings ledger and keys back") {
    NodeData node;
    node.begin_request();
    const std::string key = node.make_key();
    const std::string file = node.saved({});
    node.begin_request();  // Later: not in it.
    CHECK_FALSE(std::filesystem::exists(node.folder->at(kBackupFolder)));
    const std::string target = node.root + "/restored";
    const auto report = restore_backup(file, target, node.clock);
    REQUIRE_MESSAGE(report.ok(), report.error().message);
    CHECK(report->ledger_records == 1);
    CHECK(report->keys == 1);
    CHECK(report->images == 0);
    auto keys = KeyStore::open(target + "/keys", node.clock, node.entropy);
    REQUIRE(keys);
    CHECK(keys->authenticate(key));
    // The open request is closed as after a crash.
    auto ledger = billing::Ledger::open(target + "/ledger", node.clock);
    REQUIRE(ledger);
    const auto rows = (*ledger)->usage({.by = {"outcome"}});
    REQUIRE(rows);
    REQUIRE(rows->size() == 1);
    CHECK(rows->at(0).group == std::vector<std::string>{"crashed"});
}

TEST_CASE("a backup without keys has none") {
    NodeData node;
    node.make_key();
    const auto report =
        restore_backup(node.saved({.with_keys = false}), node.root + "/restored", node.clock);
    REQUIRE(report);
    CHECK(report->keys == 0);
    CHECK_FALSE(std::filesystem::exists(node.root + "/restored/keys"));
}

TEST_CASE("a backup takes its copy away, and what a killed one left is no obstacle") {
    NodeData node;
    {
        const auto first = node.begin({});
        REQUIRE(first);
        CHECK(std::filesystem::exists(node.folder->at(kBackupFolder)));
    }
    CHECK_FALSE(std::filesystem::exists(node.folder->at(kBackupFolder)));
    std::filesystem::create_directory(node.folder->at(kBackupFolder));
    CHECK(node.begin({}));
}

TEST_CASE("a folder with something in it is not restored into, and stays as it is") {
    NodeData node;
    const std::string file = node.saved({});
    const std::string target = node.root + "/restored";
    std::filesystem::create_directory(target);
    std::ofstream(target + "/note") << "mine";
    const auto refused = restore_backup(file, target, node.clock);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == ErrorCode::kConflict);
    CHECK(read_file(target + "/note") == "mine");
    CHECK(restore_backup(file, node.folder->path(), node.clock).error().code ==
          ErrorCode::kConflict);
}

TEST_CASE("a damaged backup is refused by its file's name and leaves the folder empty") {
    NodeData node;
    node.make_key();
    const std::string file = node.saved({});
    const std::string good = read_file(file);
    const std::string target = node.root + "/restored";
    for (size_t at = 100; at < good.size(); at += good.size() / 40) {
        CAPTURE(at);
        std::string bad = good;
        bad[at] = static_cast<char>(bad[at] ^ 1);
        std::ofstream(file, std::ios::binary | std::ios::trunc) << bad;
        const auto refused = restore_backup(file, target, node.clock);
        if (refused) {  // A byte of filling.
            std::filesystem::remove_all(target);
            continue;
        }
        CHECK(std::filesystem::is_empty(target));
        std::ofstream(file, std::ios::binary | std::ios::trunc) << good.substr(0, at);
        CHECK(restore_backup(file, target, node.clock).error().code == ErrorCode::kCorrupt);
        CHECK(std::filesystem::is_empty(target));
    }
    std::ofstream(file, std::ios::binary | std::ios::trunc) << good;
    CHECK(restore_backup(file, target, node.clock));
}

TEST_CASE("no rekindled starts on a restore that did not end") {
    NodeData node;
    REQUIRE(node.folder->mark_unfinished());
    const std::string path = node.folder->path();
    node.close();
    const auto refused = DataFolder::open(path);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == ErrorCode::kConflict);
}

TEST_CASE("a folder is verified: whole, damaged, in use, and none") {
    NodeData node;
    node.begin_request();
    node.make_key();
    const std::string path = node.folder->path();
    CHECK(verify_folder(path, node.clock).error().code == ErrorCode::kConflict);
    node.close();
    const auto report = verify_folder(path, node.clock);
    REQUIRE(report);
    CHECK(report->faults.empty());
    CHECK(report->found.ledger_records == 1);
    CHECK(report->found.keys == 1);
    std::filesystem::resize_file(path + "/keys/pepper", 3);
    const auto damaged = verify_folder(path, node.clock);
    REQUIRE(damaged);
    REQUIRE(damaged->faults.size() == 1);
    CHECK(damaged->faults[0].find("pepper") != std::string::npos);
    CHECK(verify_folder(node.root + "/nowhere", node.clock).error().code == ErrorCode::kNotFound);
    CHECK_FALSE(std::filesystem::exists(node.root + "/nowhere"));
}
