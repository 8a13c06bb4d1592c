#include "cli/text.h"

#include "base/check.h"
#include "base/units.h"
#include "base/utf8.h"

#include <fmt/format.h>

#include <algorithm>

namespace rekindle::cli {

namespace {

size_t count_codepoints(std::string_view text) {
    return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
        return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U;  // Not a continuation byte.
    }));
}

void append_line(std::string& out, const std::vector<Column>& columns,
                 const std::vector<std::string>& cells, const std::vector<size_t>& widths) {
    const size_t start = out.size();
    for (size_t i = 0; i < columns.size(); ++i) {
        const std::string padding(widths[i] - count_codepoints(cells[i]), ' ');
        out += i == 0 ? "" : "  ";
        out += columns[i].right ? padding + cells[i] : cells[i] + padding;
    }
    out.erase(std::max(start, out.find_last_not_of(' ') + 1));
    out += '\n';
}

}  // namespace

std::string format_table(const std::vector<Column>& columns,
                         const std::vector<std::vector<std::string>>& rows) {
    std::vector<std::string> titles;
    std::vector<size_t> widths;
    for (const Column& column : columns) {
        titles.push_back(column.title);
        widths.push_back(count_codepoints(column.title));
    }
    for (const auto& row : rows) {
        REKINDLE_CHECK(row.size() == columns.size(), "a table row has a cell for each column");
        for (size_t i = 0; i < row.size(); ++i) {
            widths[i] = std::max(widths[i], count_codepoints(row[i]));
        }
    }
    std::string out;
    append_line(out, columns, titles, widths);
    for (const auto& row : rows) {
        append_line(out, columns, row, widths);
    }
    return out;
}

std::string format_csv_row(const std::vector<std::string>& cells) {
    std::string out;
    for (const std::string& cell : cells) {
        if (&cell != &cells.front()) {
            out += ',';
        }
        if (cell.find_first_of(",\"\r\n") == std::string::npos) {
            out += cell;
            continue;
        }
        out += '"';
        for (const char c : cell) {
            out += c;
            if (c == '"') {
                out += '"';
            }
        }
        out += '"';
    }
    out += '\n';
    return out;
}

unsigned percent_of(uint64_t done, uint64_t total) noexcept {
    if (done >= total) {
        return 100;
    }
    return static_cast<unsigned>(static_cast<double>(done) * 100.0 / static_cast<double>(total));
}

std::string format_progress(std::string_view phase, uint64_t done, uint64_t total, size_t columns) {
    constexpr size_t kBarColumns = 30;
    constexpr size_t kBarColumnsMin = 5;
    const unsigned percent = percent_of(done, total);
    const std::string front = fmt::format("{:<7}", phase);
    const bool counts_bytes = total > 1;  // A total of 1 is a step, done or not.
    const std::string back = counts_bytes ? fmt::format("{:>4}%  {} of {}", percent,
                                                        format_bytes(done), format_bytes(total))
                                          : fmt::format("{:>4}%", percent);
    const size_t rest = front.size() + back.size() + 3;  // A space and two brackets.
    if (columns < rest + kBarColumnsMin) {
        return fmt::format("{}{:>4}%", front, percent);
    }
    const size_t width = std::min(kBarColumns, columns - rest);
    const size_t filled = width * percent / 100;
    return fmt::format("{} [{}{}]{}", front, std::string(filled, '#'),
                       std::string(width - filled, '.'), back);
}

std::string printable(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    while (!text.empty()) {
        const DecodedCodepoint next = decode_utf8(text);
        const uint32_t c = next.codepoint;
        const bool control = (c < 0x20 && c != '\n' && c != '\t') || (c >= 0x7F && c < 0xA0);
        if (!control) {
            out.append(text.substr(0, next.bytes));
        }
        text.remove_prefix(next.bytes);
    }
    return out;
}

}  // namespace rekindle::cli
