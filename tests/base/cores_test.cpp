#include "base/cores.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

using namespace rekindle;  // NOLINT(google-build-using-namespace): a test.

namespace {

// A tree of control groups: root/pod with 3 cores, root/pod/box with 1.5.
class GroupTree {
public:
    GroupTree() {
        std::string name = std::filesystem::temp_directory_path() / "rekindle-cores-XXXXXX";
        REQUIRE(mkdtemp(name.data()) != nullptr);
        root_ = name;
        std::filesystem::create_directories(root_ + "/pod/box");
        std::filesystem::create_directories(root_ + "/free");
        std::ofstream(root_ + "/pod/cpu.max") << "300000 100000\n";
        std::ofstream(root_ + "/pod/box/cpu.max") << "150000 100000\n";
        std::ofstream(root_ + "/free/cpu.max") << "max 100000\n";
    }
    GroupTree(const GroupTree&) = delete;
    GroupTree& operator=(const GroupTree&) = delete;
    ~GroupTree() { std::filesystem::remove_all(root_); }

    const std::string& root() const { return root_; }

private:
    std::string root_;
};

}  // namespace

TEST_CASE("cpu.max states a number of cores, or none") {
    CHECK(parse_cpu_max("200000 100000\n") == 2.0);
    CHECK(parse_cpu_max("50000 100000") == 0.5);
    for (const char* text : {"max 100000\n", "", "200000", "200000 ", "0 100000", "1 0", "x y"}) {
        CHECK_FALSE(parse_cpu_max(text));
    }
}

TEST_CASE("the tightest control group around the process counts") {
    const GroupTree tree;
    CHECK(cgroup_cpu_limit("0::/pod/box\n", tree.root()) == 1.5);
    CHECK(cgroup_cpu_limit("1:name=systemd:/x\n0::/pod\n", tree.root()) == 3.0);
    CHECK(cgroup_cpu_limit("0::/pod/gone\n", tree.root()) == 3.0);
    CHECK_FALSE(cgroup_cpu_limit("0::/free\n", tree.root()));
    CHECK_FALSE(cgroup_cpu_limit("0::/\n", tree.root()));
    CHECK_FALSE(cgroup_cpu_limit("", tree.root()));
}

TEST_CASE("at least one core is usable, and no more than the machine has") {
    CHECK(usable_cores() >= 1);
    CHECK(usable_cores() <= std::thread::hardware_concurrency());
}
