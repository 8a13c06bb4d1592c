// Standard output and error: whole writes, and what only a terminal gets (bars, colours).
// Threading: the main thread.
#pragma once
#include "base/result.h"

#include <cstddef>
#include <string>
#include <string_view>

namespace rekindle::cli {

bool is_terminal(int fd) noexcept;
// Width of the terminal, 80 when it does not say.
size_t terminal_columns(int fd) noexcept;

// It is a terminal, and its locale (LC_ALL, LC_CTYPE, LANG) is one of UTF-8.
bool draws_unicode(int fd) noexcept;

// All of `text` to standard output at once, unbuffered; kIo when it can't be written.
Result<void> write_out(std::string_view text);
// To standard error; failures are ignored, for there is nowhere to tell them.
void write_err(std::string_view text);
// "rekindle: MESSAGE" on one line of standard error, made printable.
void print_error(std::string_view message);

// Faint on a terminal (unless NO_COLOR is set), as it is elsewhere.
std::string faint(std::string_view text, int fd);

}  // namespace rekindle::cli
