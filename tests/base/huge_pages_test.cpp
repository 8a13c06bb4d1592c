#include "base/huge_pages.h"

#include "tests/base/temp_root.h"

#include <doctest/doctest.h>

using namespace rekindle;  // NOLINT(google-build-using-namespace): a test.
using test::TempRoot;

TEST_CASE("memory files get huge pages when the kernel's setting allows what is advised") {
    for (const char* setting : {"always", "within_size", "advise", "force"}) {
        TempRoot root;
        root.write(kShmemHugePages, "some [" + std::string(setting) + "] never deny\n");
        const HugePages pages = read_huge_pages(root.path());
        CHECK(pages.enabled);
        CHECK(pages.setting == setting);
    }
    for (const char* setting : {"never", "deny"}) {
        TempRoot root;
        root.write(kShmemHugePages, "always advise [" + std::string(setting) + "]\n");
        CHECK(read_huge_pages(root.path()).supported);
        CHECK_FALSE(read_huge_pages(root.path()).enabled);
    }
}

TEST_CASE("a setting for pages of 2 MiB counts before the general one unless it inherits that") {
    TempRoot root;
    root.write(kShmemHugePages, "always [advise] never\n");
    root.write(kShmemHugePages2M, "always inherit within_size advise [never]\n");
    CHECK_FALSE(read_huge_pages(root.path()).enabled);
    root.write(kShmemHugePages2M, "always [inherit] within_size advise never\n");
    CHECK(read_huge_pages(root.path()).enabled);
    root.write(kShmemHugePages, "always advise [never]\n");
    CHECK_FALSE(read_huge_pages(root.path()).enabled);
    root.write(kShmemHugePages2M, "always inherit within_size [advise] never\n");
    CHECK(read_huge_pages(root.path()).enabled);
}

TEST_CASE("enabling writes what is missing, and nothing where all is well") {
    TempRoot root;
    root.write(kShmemHugePages, "always advise [never]\n");
    root.write(kShmemHugePages2M, "always inherit advise [never]\n");
    REQUIRE(enable_huge_pages(root.path()).ok());
    CHECK(root.read(kShmemHugePages).starts_with("advise"));
    CHECK(root.read(kShmemHugePages2M).starts_with("inherit"));

    root.write(kShmemHugePages, "[always] advise never\n");
    root.write(kShmemHugePages2M, "always [inherit] advise never\n");
    REQUIRE(enable_huge_pages(root.path()).ok());
    CHECK(root.read(kShmemHugePages) == "[always] advise never\n");
}

TEST_CASE("a kernel without the files has no huge pages for memory files, and can't be given any") {
    TempRoot root;
    CHECK_FALSE(read_huge_pages(root.path()).supported);
    CHECK_FALSE(read_huge_pages(root.path()).enabled);
    const auto enabled = enable_huge_pages(root.path());
    REQUIRE_FALSE(enabled.ok());
    CHECK(enabled.error().code == ErrorCode::kUnsupported);
}
