#include "base/memory_limit.h"

#include "tests/base/temp_root.h"

#include <doctest/doctest.h>

using namespace rekindle;  // NOLINT(google-build-using-namespace): a test.
using test::TempRoot;

TEST_CASE("the tightest memory.max around a process is its limit") {
    TempRoot root;
    root.write("/pod/memory.max", "2147483648\n");
    root.write("/pod/box/memory.max", "4294967296\n");
    root.write("/free/memory.max", "max\n");
    CHECK(cgroup_memory_limit("0::/pod/box\n", root.path()) == 2147483648U);
    CHECK(cgroup_memory_limit("4:memory:/x\n0::/pod\n", root.path()) == 2147483648U);
    CHECK_FALSE(cgroup_memory_limit("0::/free\n", root.path()).has_value());
    CHECK_FALSE(cgroup_memory_limit("", root.path()).has_value());
}

TEST_CASE("text that is no number is no limit") {
    TempRoot root;
    for (const char* text : {"", "max", "-1", "0", "many"}) {
        root.write("/memory.max", text);
        CHECK_FALSE(cgroup_memory_limit("0::/\n", root.path()).has_value());
    }
}

TEST_CASE("this process may use some memory, at most the machine's") {
    CHECK(usable_memory_bytes() > 0);
    CHECK(usable_memory_bytes() <= machine_memory_bytes());
}
