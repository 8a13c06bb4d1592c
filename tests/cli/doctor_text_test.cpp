#include "cli/doctor_text.h"

#include <doctest/doctest.h>

using namespace rekindle;       // NOLINT(google-build-using-namespace): a test.
using namespace rekindle::cli;  // NOLINT(google-build-using-namespace): a test.

TEST_CASE("each check is one line, with its remedy where it has one") {
    const json::object report{
        {"checks",
         json::array{json::object{{"name", "kernel"}, {"health", "ok"}, {"found", "Linux 6.1.0"}},
                     json::object{{"name", "huge_pages"},
                                  {"health", "warning"},
                                  {"found", "none"},
                                  {"remedy", "rekindle doctor --fix"}}}}};
    CHECK(doctor_text(report) ==
          "ok       kernel         Linux 6.1.0\n"
          "warning  huge pages     none: rekindle doctor --fix\n");
}

TEST_CASE("limits stand below, and what was not measured is said to be that") {
    const json::object report{{"checks", json::array{}},
                              {"limits", json::object{{"disk_bytes_per_second", 2'670'000'000},
                                                      {"disk_direct", true},
                                                      {"memory_bytes_per_second", nullptr},
                                                      {"int8_per_second", 467'000'000'000},
                                                      {"threads", 2},
                                                      {"pcie_bytes_per_second", nullptr}}}};
    CHECK(doctor_text(report) ==
          "\nlimits of this machine, as measured now\n"
          "disk     2.67 GB/s, O_DIRECT reads of 1 MiB, 16 at a time\n"
          "memory   not measured\n"
          "int8     467 Gop/s on 2 threads\n"
          "PCIe     no GPU\n");
}

TEST_CASE("an empty report is an empty text") {
    CHECK(doctor_text({}).empty());
}
