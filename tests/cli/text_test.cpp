#include "cli/text.h"

#include <doctest/doctest.h>

namespace rekindle::cli {

TEST_CASE("a table aligns words left, numbers right, and ends lines without spaces") {
    const std::string table = format_table({{"NAME"}, {"BYTES", true}, {"NOTE"}},
                                           {{"a", "1", ""}, {"long", "1234", "x"}});
    CHECK(table ==
          "NAME  BYTES  NOTE\n"
          "a         1\n"
          "long   1234  x\n");
}

TEST_CASE("a table measures code points, not bytes") {
    CHECK(format_table({{"N"}, {"V"}}, {{"h\xC3\xA9", "1"}, {"abc", "2"}}) ==
          "N    V\n"
          "h\xC3\xA9   1\n"
          "abc  2\n");
}

TEST_CASE("a table without rows is its titles") {
    CHECK(format_table({{"A"}, {"B", true}}, {}) == "A  B\n");
}

TEST_CASE("CSV quotes cells with commas, quotes and line ends, and no others") {
    CHECK(format_csv_row({"plain", "", "a b"}) == "plain,,a b\n");
    CHECK(format_csv_row({"a,b", "say \"x\"", "two\nlines", "cr\r"}) ==
          "\"a,b\",\"say \"\"x\"\"\",\"two\nlines\",\"cr\r\"\n");
}

TEST_CASE("progress shows phase, bar, percents and sizes") {
    CHECK(format_progress("import", 1 << 20, 4 << 20, 100) ==
          "import  [#######.......................]  25%  1.0 MiB of 4.0 MiB");
    CHECK(format_progress("store", 4 << 20, 4 << 20, 100) ==
          "store   [##############################] 100%  4.0 MiB of 4.0 MiB");
}

TEST_CASE("progress never is wider than the terminal") {
    for (size_t columns = 12; columns < 100; ++columns) {
        CAPTURE(columns);
        CHECK(format_progress("import", 123456789, 987654321, columns).size() <= columns);
    }
    CHECK(format_progress("check", 1, 1, 60) == "check   [##############################] 100%");
    CHECK(format_progress("import", 1, 4, 0) == "import   25%");
}

TEST_CASE("percents stay within 0 and 100") {
    CHECK(percent_of(0, 0) == 100);
    CHECK(percent_of(0, 5) == 0);
    CHECK(percent_of(999, 1000) == 99);
    CHECK(percent_of(7, 5) == 100);
    CHECK(percent_of(UINT64_MAX / 2, UINT64_MAX) == 50);
}

TEST_CASE("control characters other than line feed and tab do not reach a terminal") {
    CHECK(printable("a\tb\nc") == "a\tb\nc");
    CHECK(printable("\x1B[2Jgone\x07\r\x7F") == "[2Jgone");
    CHECK(printable("c1\xC2\x9B"
                    "31m h\xC3\xA9 \xF0\x9F\x91\x8D") == "c131m h\xC3\xA9 \xF0\x9F\x91\x8D");
}

}  // namespace rekindle::cli
