#include "daemon/config.h"

#include "base/units.h"

#include <doctest/doctest.h>

#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

using namespace rekindle;          // NOLINT(google-build-using-namespace): test file.
using namespace rekindle::daemon;  // NOLINT(google-build-using-namespace): test file.

namespace {

Result<ParsedConfig> parse(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "rekindled");
    std::vector<char*> argv;
    for (std::string& argument : arguments) {
        argv.push_back(argument.data());
    }
    return parse_config(static_cast<int>(argv.size()), argv.data());
}

}  // namespace

TEST_CASE("a data folder is all that must be given") {
    const auto parsed = parse({"--data-dir", "/tmp/x"});
    REQUIRE(parsed.ok());
    CHECK(parsed->config.listen == "127.0.0.1:8080");
    CHECK(parsed->config.threads >= 1);
    CHECK(parsed->config.host_memory_bytes > 0);
    CHECK(parsed->config.kv_memory_bytes % kPageBytes == 0);
    CHECK_FALSE(parse({}).ok());
}

TEST_CASE("flags win over the file, and sizes and durations take units") {
    const std::string path = std::tmpnam(nullptr);
    std::ofstream(path) << "data_dir: /tmp/from-file\nidle: 10s\nhost_memory: 1GiB\n";
    const auto parsed = parse({"--config", path, "--idle", "250ms"});
    std::remove(path.c_str());
    REQUIRE(parsed.ok());
    CHECK(parsed->config.data_dir == "/tmp/from-file");
    CHECK(parsed->config.idle == std::chrono::milliseconds(250));
    CHECK(parsed->config.host_memory_bytes == kGiB);
}

TEST_CASE("a wrong value is named with its flag") {
    const auto parsed = parse({"--data-dir", "/tmp/x", "--threads", "0"});
    REQUIRE_FALSE(parsed.ok());
    CHECK(parsed.error().message.find("--threads") != std::string::npos);
    CHECK_FALSE(parse({"--data-dir", "/tmp/x", "--no-such-flag", "1"}).ok());
    CHECK_FALSE(parse({"--data-dir", "/tmp/x", "--host-memory", "much"}).ok());
}

TEST_CASE("the share of restores is a percentage") {
    CHECK(parse({"--data-dir", "/tmp/x", "--host-memory", "8GiB"})->config.ready_memory_bytes ==
          1 * kGiB);
    CHECK(parse({"--data-dir", "/tmp/x", "--ready-memory", "0"})->config.ready_memory_bytes == 0);
    CHECK(parse({"--data-dir", "/tmp/x", "--retained-kv", "1GiB"})->config.retained_kv_disk_bytes ==
          4 * kGiB);
    CHECK(
        parse({"--data-dir", "/tmp/x", "--retained-kv-disk", "0"})->config.retained_kv_disk_bytes ==
        0);
    CHECK(parse({"--data-dir", "/tmp/x"})->config.restore_share == 50);
    CHECK(parse({"--data-dir", "/tmp/x", "--restore-share", "1"})->config.restore_share == 1);
    CHECK(parse({"--data-dir", "/tmp/x", "--restore-share", "100"})->config.restore_share == 100);
    CHECK_FALSE(parse({"--data-dir", "/tmp/x", "--restore-share", "0"}).ok());
    CHECK_FALSE(parse({"--data-dir", "/tmp/x", "--restore-share", "101"}).ok());
}

TEST_CASE("the doctor is an offline task that alone may mend") {
    const auto doctor = parse({"--data-dir", "/tmp/x", "--offline", "doctor", "--fix"});
    REQUIRE(doctor.ok());
    CHECK(doctor->offline.action == OfflineAction::kDoctor);
    CHECK(doctor->offline.fix);
    CHECK_FALSE(parse({"--data-dir", "/tmp/x", "--fix"}).ok());
    CHECK_FALSE(parse({"--data-dir", "/tmp/x", "--offline", "verify", "--fix"}).ok());
    CHECK_FALSE(parse({"--data-dir", "/tmp/x", "--offline", "doctor", "--file", "x"}).ok());
}

TEST_CASE("an unknown key in the file is an error that names it") {
    const std::string path = std::tmpnam(nullptr);
    std::ofstream(path) << "data_dri: /tmp/x\n";
    const auto parsed = parse({"--config", path});
    std::remove(path.c_str());
    REQUIRE_FALSE(parsed.ok());
    CHECK(parsed.error().message.find("data_dri") != std::string::npos);
}

TEST_CASE("an offline task is taken with what belongs to it") {
    const auto restore =
        parse({"--data-dir", "/tmp/x", "--offline", "restore", "--file", "backup.tar"});
    REQUIRE(restore.ok());
    CHECK(restore->offline.action == OfflineAction::kRestore);
    CHECK(restore->offline.file == "backup.tar");
    CHECK(parse({"--data-dir", "/tmp/x"})->offline.action == OfflineAction::kNone);
    CHECK(parse({"--data-dir", "/tmp/x", "--offline", "verify"}).ok());
    CHECK_FALSE(parse({"--data-dir", "/tmp/x", "--offline", "restore"}).ok());
    CHECK_FALSE(parse({"--data-dir", "/tmp/x", "--file", "backup.tar"}).ok());
    CHECK_FALSE(parse({"--data-dir", "/tmp/x", "--offline", "mend"}).ok());
}
