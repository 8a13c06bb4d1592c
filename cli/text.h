// Text for people: aligned tables, CSV, progress bars. Pure functions.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace rekindle::cli {

struct Column {
    std::string title;
    bool right = false;  // Numbers.
};

// One line per row, columns two spaces apart, no spaces at line ends. Width counts code points, so
// scripts whose letters are two cells wide are not aligned. Every row has a cell for each column.
std::string format_table(const std::vector<Column>& columns,
                         const std::vector<std::vector<std::string>>& rows);

// RFC 4180 with LF line ends: quotes where a cell holds a comma, quote or line end.
std::string format_csv_row(const std::vector<std::string>& cells);

// "import  [#######.......................]  26%  24.4 MiB of 93.8 MiB", at most `columns` wide;
// the bar is left out where there is no room for it.
std::string format_progress(std::string_view phase, uint64_t done, uint64_t total, size_t columns);

// Whole percents, 0 to 100; 100 for a total of 0.
unsigned percent_of(uint64_t done, uint64_t total) noexcept;

// Without control characters but LF and TAB, so that a model's words cannot steer a terminal.
// Valid UTF-8 in and out.
std::string printable(std::string_view text);

}  // namespace rekindle::cli
