#include "base/json.h"
#include "daemon/doctor_checks.h"
#include "daemon/doctor_facts.h"
#include "tests/base/temp_root.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>

using namespace rekindle;          // NOLINT(google-build-using-namespace): a test.
using namespace rekindle::daemon;  // NOLINT(google-build-using-namespace): a test.
using test::TempRoot;

namespace {

// A machine without a fault.
DoctorFacts healthy() {
    DoctorFacts facts{.data_dir = "/srv/rekindle",
                      .kernel = "6.1.0-13-amd64",
                      .machine_cores = 8,
                      .usable_cores = 8,
                      .memory_bytes = 64ULL << 30,
                      .huge_pages = {.supported = true, .enabled = true, .setting = "advise"},
                      .clock_synchronised = true,
                      .unix_s = 1'800'000'000};
    facts.folder = {.folder = "/srv/rekindle",
                    .disk = {.direct = true, .bytes_per_second = 2'000'000'000},
                    .disk_bytes = 100ULL << 30,
                    .free_bytes = 50ULL << 30};
    facts.worker = {.kernels = "avx2",
                    .threads = 8,
                    .namespaces = true,
                    .landlock = true,
                    .memory_bytes_per_second = 30'000'000'000,
                    .int8_per_second = 400'000'000'000};
    return facts;
}

Finding finding_of(const DoctorFacts& facts, std::string_view name) {
    const auto findings = judge(facts);
    const auto found = std::ranges::find(findings, name, &Finding::name);
    REQUIRE(found != findings.end());
    return *found;
}

bool contains(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("a machine without a fault has no remedy") {
    for (const Finding& finding : judge(healthy())) {
        CHECK(finding.health == Health::kOk);
        CHECK(finding.remedy.empty());
        CHECK_FALSE(finding.found.empty());
    }
}

TEST_CASE("whatever is not well has a remedy") {
    DoctorFacts facts = healthy();
    facts.kernel = "5.10.0";
    facts.huge_pages = {.supported = true, .enabled = false, .setting = "never"};
    facts.folder.disk = {.direct = false, .io_uring = "Operation not permitted"};
    facts.folder.free_bytes = 1ULL << 30;
    facts.worker.kernels = "scalar";
    facts.worker.namespaces = facts.worker.landlock = false;
    facts.clock_synchronised = false;
    size_t warned = 0;
    for (const Finding& finding : judge(facts)) {
        CHECK((finding.health == Health::kOk) == finding.remedy.empty());
        warned += finding.health == Health::kWarning ? 1 : 0;
    }
    CHECK(warned == 8);
}

TEST_CASE("an old kernel fails, one without Landlock is told of") {
    DoctorFacts facts = healthy();
    for (const auto& [release, health] :
         {std::pair{"5.8.18", Health::kFailed}, std::pair{"5.9.0", Health::kWarning},
          std::pair{"5.12.9", Health::kWarning}, std::pair{"5.13", Health::kOk},
          std::pair{"6.18.44-fc", Health::kOk}, std::pair{"unknown", Health::kFailed}}) {
        facts.kernel = release;
        CHECK(finding_of(facts, "kernel").health == health);
    }
}

TEST_CASE("disk space is judged at its limits, locked memory only told") {
    DoctorFacts facts = healthy();
    facts.folder.free_bytes = kFreeBytesLow;
    CHECK(finding_of(facts, "disk_space").health == Health::kOk);
    facts.folder.free_bytes = kFreeBytesLow - 1;
    CHECK(finding_of(facts, "disk_space").health == Health::kWarning);
    facts.folder.free_bytes = kFreeBytesMin;
    CHECK(finding_of(facts, "disk_space").health == Health::kWarning);
    facts.folder.free_bytes = kFreeBytesMin - 1;
    CHECK(finding_of(facts, "disk_space").health == Health::kFailed);
    facts.locked_bytes_max = 8ULL << 20;
    CHECK(contains(finding_of(facts, "locked_memory").found, "8.0 MiB"));
}

TEST_CASE("the remedy for huge pages is the command and the line that keeps it") {
    DoctorFacts facts = healthy();
    facts.huge_pages = {.supported = true, .enabled = false, .setting = "never"};
    const Finding off = finding_of(facts, "huge_pages");
    CHECK(contains(off.remedy, "echo advise | sudo tee /sys/kernel/mm/transparent_hugepage/shm"));
    CHECK(contains(off.remedy, "/etc/tmpfiles.d/rekindle.conf"));
    facts.huge_pages = {
        .supported = true, .enabled = false, .setting = "advise", .setting_2m = "never"};
    CHECK(contains(finding_of(facts, "huge_pages").remedy,
                   "echo inherit | sudo tee /sys/kernel/mm/transparent_hugepage/hugepages-2048kB"));
}

TEST_CASE("fixing turns huge pages on and says how to keep them") {
    TempRoot root;
    // The kernel puts brackets around the word that was written. A plain file keeps what stood
    // behind it: here the rest of a word and the choice of the kernel.
    root.write(kShmemHugePages, "never_[never]");
    DoctorFacts facts = healthy();
    facts.huge_pages = read_huge_pages(root.path());
    root.write(kShmemHugePages, "------[advise]");
    auto findings = judge(facts);
    fix({.root = root.path()}, facts, findings);
    const auto found = std::ranges::find(findings, "huge_pages", &Finding::name);
    CHECK(found->health == Health::kFixed);
    CHECK(contains(found->remedy, "/etc/tmpfiles.d/rekindle.conf"));
    CHECK(facts.huge_pages.enabled);
}

TEST_CASE("a setting that the kernel does not keep is told of") {
    TempRoot root;
    root.write(kShmemHugePages, "always advise [never]\n");
    DoctorFacts facts = healthy();
    facts.huge_pages = read_huge_pages(root.path());
    auto findings = judge(facts);
    fix({.root = root.path()}, facts, findings);
    CHECK(root.read(kShmemHugePages) == "advise advise [never]\n");
    const auto found = std::ranges::find(findings, "huge_pages", &Finding::name);
    CHECK(found->health == Health::kWarning);
    CHECK(contains(found->remedy, "does not keep it"));
}

TEST_CASE("fixing where nothing may be written gives the command") {
    TempRoot root;
    DoctorFacts facts = healthy();
    facts.huge_pages = {.supported = true, .enabled = false, .setting = "never"};
    auto findings = judge(facts);
    fix({.root = root.path() + "/none"}, facts, findings);
    const auto found = std::ranges::find(findings, "huge_pages", &Finding::name);
    CHECK(found->health == Health::kWarning);
    CHECK(contains(found->remedy, "not fixed"));
    CHECK(contains(found->remedy, "echo advise | sudo tee"));
}

TEST_CASE("fixing a machine where all is well writes nothing") {
    TempRoot root;
    root.write(kShmemHugePages, "always [advise] never\n");
    DoctorFacts facts = healthy();
    auto findings = judge(facts);
    fix({.root = root.path()}, facts, findings);
    CHECK(root.read(kShmemHugePages) == "always [advise] never\n");
    CHECK_FALSE(any_failed(findings));
}

TEST_CASE("a data folder that can't be written and a missing worker fail") {
    DoctorFacts facts = healthy();
    facts.folder.error = "write a file in /srv/rekindle: Permission denied";
    CHECK(finding_of(facts, "data_folder").health == Health::kFailed);
    CHECK(any_failed(judge(facts)));
    facts = healthy();
    facts.worker.error = "rekindle-worker is missing";
    CHECK(finding_of(facts, "kernels").health == Health::kFailed);
}

TEST_CASE("a worker's report is read with bounds") {
    const WorkerFacts facts =
        parse_worker_facts(R"({"kernels":"avx2","threads":2,"namespaces":true,"landlock":false,)"
                           R"("memory_bytes_per_second":3.1e10,"int8_per_second":4e11})");
    CHECK(facts.error.empty());
    CHECK(facts.kernels == "avx2");
    CHECK(facts.threads == 2);
    CHECK(facts.namespaces);
    CHECK_FALSE(facts.landlock);
    CHECK(facts.memory_bytes_per_second == 31'000'000'000U);
    CHECK_FALSE(parse_worker_facts("").error.empty());
    CHECK_FALSE(parse_worker_facts("[1]").error.empty());
    CHECK_FALSE(parse_worker_facts(std::string(4097, ' ') + "{}").error.empty());
    CHECK(parse_worker_facts(R"({"error":"no seccomp"})").error == "no seccomp");
}

TEST_CASE("this machine is looked at, and its disk measured, without leaving a file") {
    TempRoot root;
    const SystemClock clock;
    const DoctorFacts facts = look_around({.data_dir = root.path() + "/not/yet/there",
                                           .worker_executable = "/no/such/worker",
                                           .disk_file_bytes = 1 << 20},
                                          clock);
    CHECK(facts.folder.folder == root.path());
    CHECK(facts.folder.error.empty());
    CHECK(facts.folder.disk.bytes_per_second > 0);
    CHECK(std::filesystem::is_empty(root.path()));
    CHECK_FALSE(facts.kernel.empty());
    CHECK_FALSE(facts.worker.error.empty());
    const json::object report = doctor_report(facts, judge(facts));
    CHECK(report.at("checks").as_array().size() == 12);
    CHECK(report.at("limits").at("memory_bytes_per_second").is_null());
}
