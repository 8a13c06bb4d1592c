#include "daemon/doctor_checks.h"

#include "base/units.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

namespace rekindle::daemon {
namespace {

// The first version with each: Landlock in 5.13; close_range, pidfd and sealed memory files by 5.9.
constexpr std::pair<int, int> kKernelMin{5, 9};
constexpr std::pair<int, int> kKernelLandlock{5, 13};
constexpr int64_t kPlausibleUnixS = 1'735'689'600;  // 2025-01-01: earlier, no clock was set.

constexpr const char* kPermanent =
    "for good: a line `w {} - - - - {}` in /etc/tmpfiles.d/rekindle.conf";

Finding ok(std::string name, std::string found) {
    return {.name = std::move(name), .found = std::move(found)};
}

// "6.1.0-13-amd64" is {6, 1}; {0, 0} for what is none.
std::pair<int, int> version_of(std::string_view release) {
    std::pair<int, int> version{0, 0};
    const char* const end = release.data() + release.size();
    const auto [dot, status] = std::from_chars(release.data(), end, version.first);
    if (status != std::errc() || dot == end) {
        return {0, 0};
    }
    std::from_chars(dot + 1, end, version.second);
    return version;
}

Finding kernel(const DoctorFacts& facts) {
    Finding finding = ok("kernel", "Linux " + facts.kernel);
    const auto version = version_of(facts.kernel);
    if (version < kKernelMin) {
        finding.health = Health::kFailed;
        finding.remedy = "rekindled needs 5.9 or later: upgrade the system";
    } else if (version < kKernelLandlock) {
        finding.health = Health::kWarning;
        finding.remedy = "workers are confined without Landlock, which came with 5.13";
    }
    return finding;
}

Finding kernels(const WorkerFacts& worker) {
    Finding finding = ok("kernels", worker.kernels);
    if (!worker.error.empty()) {
        finding.health = Health::kFailed;
        finding.found = worker.error;
        finding.remedy = "no model can be served: install rekindle-worker of the same build";
    } else if (worker.kernels == "scalar") {
        finding.health = Health::kWarning;
        finding.remedy =
            "without AVX2 models run some twenty times slower: use another machine, give the "
            "virtual machine its host's processor (-cpu host), or unset REKINDLE_ISA";
    }
    return finding;
}

Finding cores(const DoctorFacts& facts) {
    Finding finding = ok("cores", fmt::format("{} of {}", facts.usable_cores, facts.machine_cores));
    if (facts.usable_cores < facts.machine_cores) {
        finding.found += ", by CPU affinity or the control group's cpu.max";
    }
    return finding;
}

Finding memory(const DoctorFacts& facts) {
    Finding finding = ok("memory", format_bytes(facts.memory_bytes));
    if (facts.memory_limit && *facts.memory_limit < facts.memory_bytes) {
        finding.found =
            fmt::format("{} of {}, by the control group's memory.max",
                        format_bytes(*facts.memory_limit), format_bytes(facts.memory_bytes));
    }
    return finding;
}

Finding huge_pages(const DoctorFacts& facts) {
    const HugePages& pages = facts.huge_pages;
    Finding finding = ok("huge_pages", "memory files get them (" + pages.setting + ")");
    if (!pages.supported) {
        finding.health = Health::kWarning;
        finding.found = "this kernel has none for memory files";
        finding.remedy =
            "restores take twice as long: use a kernel with CONFIG_TRANSPARENT_HUGEPAGE";
    } else if (!pages.enabled) {
        const bool second = pages.setting == "advise" || pages.setting == "always" ||
                            pages.setting == "within_size" || pages.setting == "force";
        const char* const path = second ? kShmemHugePages2M : kShmemHugePages;
        const char* const word = second ? "inherit" : "advise";
        finding.health = Health::kWarning;
        finding.found = fmt::format("memory files get none ({} is {})", path,
                                    second ? pages.setting_2m : pages.setting);
        finding.remedy = fmt::format(
            "restores and answers are slower: `rekindle doctor --fix`, or `echo {} | sudo tee {}`; "
            "{}",
            word, path, fmt::format(fmt::runtime(kPermanent), path, word));
    }
    return finding;
}

// Reads go straight into an image's memory and nothing is locked: the limit is told, not judged.
Finding locked_memory(const DoctorFacts& facts) {
    return ok("locked_memory",
              facts.locked_bytes_max
                  ? "up to " + format_bytes(*facts.locked_bytes_max) + ", of which none is needed"
                  : std::string("without limit"));
}

Finding io_uring(const DoctorFacts& facts) {
    if (facts.folder.error.empty() && facts.folder.disk.io_uring.empty()) {
        return ok("io_uring", "allowed");
    }
    const std::string& why =
        facts.folder.error.empty() ? facts.folder.disk.io_uring : facts.folder.error;
    return {.name = "io_uring",
            .health = Health::kWarning,
            .found = why,
            .remedy = facts.folder.error.empty()
                          ? "images are read by one thread, slower: `sysctl "
                            "kernel.io_uring_disabled=0`, and allow io_uring in the container's "
                            "seccomp profile"
                          : "not tried: run this as the user of rekindled"};
}

Finding data_folder(const DoctorFacts& facts) {
    const FolderFacts& folder = facts.folder;
    if (!folder.error.empty()) {
        return {.name = "data_folder",
                .health = Health::kFailed,
                .found = folder.error,
                .remedy =
                    "run this as the user of rekindled, or give it the folder "
                    "(`chown`)"};
    }
    Finding finding = ok("data_folder", facts.data_dir + ", O_DIRECT");
    if (!folder.disk.direct) {
        finding.health = Health::kWarning;
        finding.found = facts.data_dir + ", whose file system refuses O_DIRECT";
        finding.remedy =
            "images are read through the page cache, at about half the speed: put it on a "
            "local ext4 or XFS (--data-dir)";
    }
    return finding;
}

Finding disk_space(const DoctorFacts& facts) {
    const FolderFacts& folder = facts.folder;
    Finding finding = ok("disk_space", fmt::format("{} free of {}", format_bytes(folder.free_bytes),
                                                   format_bytes(folder.disk_bytes)));
    if (folder.free_bytes < kFreeBytesLow) {
        finding.health = folder.free_bytes < kFreeBytesMin ? Health::kFailed : Health::kWarning;
        finding.remedy =
            "make room: `rekindle undeploy MODEL`, then `rekindle gc`; without room "
            "for the ledger nothing is served";
    }
    return finding;
}

Finding sandbox(const WorkerFacts& worker) {
    if (!worker.error.empty()) {
        return {.name = "sandbox",
                .health = Health::kFailed,
                .found = "not tried",
                .remedy = "see kernels"};
    }
    if (worker.namespaces && worker.landlock) {
        return ok("sandbox", "seccomp, namespaces, Landlock");
    }
    Finding finding{.name = "sandbox", .health = Health::kWarning};
    finding.found = fmt::format("seccomp{}{}", worker.namespaces ? ", namespaces" : "",
                                worker.landlock ? ", Landlock" : "");
    if (!worker.namespaces) {
        finding.remedy =
            "no user namespaces: `sysctl user.max_user_namespaces=15000 "
            "kernel.unprivileged_userns_clone=1`, or allow them in the container";
    }
    if (!worker.landlock) {
        finding.remedy += finding.remedy.empty() ? "" : "; ";
        finding.remedy += "no Landlock: boot with `lsm=landlock,…`, or allow it in the container";
    }
    return finding;
}

Finding clock(const DoctorFacts& facts) {
    if (facts.unix_s < kPlausibleUnixS) {
        return {.name = "clock",
                .health = Health::kFailed,
                .found = fmt::format("{} s since 1970, which is long ago", facts.unix_s),
                .remedy = "bills carry this time: set it (`timedatectl set-ntp true`)"};
    }
    if (!facts.clock_synchronised) {
        return {.name = "clock",
                .health = Health::kWarning,
                .found = "not synchronised, says the kernel",
                .remedy =
                    "bills carry its time: `timedatectl set-ntp true`, unless the host "
                    "of this container or virtual machine keeps it"};
    }
    return ok("clock", "synchronised");
}

json::value number_or_null(uint64_t number) {
    return number == 0 ? json::value(nullptr) : json::value(number);
}

}  // namespace

std::vector<Finding> judge(const DoctorFacts& facts) {
    return {kernel(facts),
            kernels(facts.worker),
            cores(facts),
            memory(facts),
            huge_pages(facts),
            locked_memory(facts),
            io_uring(facts),
            data_folder(facts),
            disk_space(facts),
            sandbox(facts.worker),
            clock(facts),
            ok("gpu", facts.gpu ? "there is one; models run on the processor"
                                : "no GPU: models run on the processor")};
}

void fix(const DoctorPlaces& places, DoctorFacts& facts, std::vector<Finding>& findings) {
    const auto found = std::ranges::find(findings, "huge_pages", &Finding::name);
    if (found == findings.end() || facts.huge_pages.enabled || !facts.huge_pages.supported) {
        return;
    }
    const auto enabled = enable_huge_pages(places.root);
    if (!enabled) {
        found->remedy =
            fmt::format("not fixed, {}: as root, {}", enabled.error().message, found->remedy);
        return;
    }
    facts.huge_pages = read_huge_pages(places.root);
    if (!facts.huge_pages.enabled) {
        found->remedy = "it was written, and the kernel does not keep it: see its log (dmesg)";
        return;
    }
    found->health = Health::kFixed;
    found->found = "memory files get them from now on, until the next boot";
    found->remedy = fmt::format(fmt::runtime(kPermanent), kShmemHugePages, "advise");
}

std::string_view health_name(Health health) noexcept {
    switch (health) {
        case Health::kOk:
            return "ok";
        case Health::kFixed:
            return "fixed";
        case Health::kWarning:
            return "warning";
        case Health::kFailed:
            break;
    }
    return "failed";
}

json::object doctor_report(const DoctorFacts& facts, const std::vector<Finding>& findings) {
    json::array checks;
    for (const Finding& finding : findings) {
        json::object check{{"name", finding.name},
                           {"health", health_name(finding.health)},
                           {"found", finding.found}};
        if (!finding.remedy.empty()) {
            check["remedy"] = finding.remedy;
        }
        checks.push_back(std::move(check));
    }
    const json::object limits{
        {"disk_bytes_per_second", number_or_null(facts.folder.disk.bytes_per_second)},
        {"disk_direct", facts.folder.disk.direct},
        {"memory_bytes_per_second", number_or_null(facts.worker.memory_bytes_per_second)},
        {"int8_per_second", number_or_null(facts.worker.int8_per_second)},
        {"threads", facts.worker.threads},
        {"pcie_bytes_per_second", nullptr}};
    return {{"data_dir", facts.data_dir}, {"checks", std::move(checks)}, {"limits", limits}};
}

bool any_failed(const std::vector<Finding>& findings) noexcept {
    return std::ranges::any_of(
        findings, [](const Finding& finding) { return finding.health == Health::kFailed; });
}

}  // namespace rekindle::daemon
