// Structured log lines on stderr: time, level, event name, then key=value pairs.
//   log_info("worker_started", {{"pid", pid}, {"ms", 3}});
// Model text, prompts and keys are never logged. Threading: any thread.
#pragma once
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

namespace rekindle {

enum class LogLevel { kDebug, kInfo, kWarning, kError, kSilent /* nothing: simulations */ };

struct LogField {
    std::string_view key;
    std::string value;

    LogField(std::string_view k, std::string_view v) : key(k), value(v) {}
    LogField(std::string_view k, const char* v) : key(k), value(v) {}
    LogField(std::string_view k, bool v) : key(k), value(v ? "true" : "false") {}
    template <typename T>
        requires(std::is_arithmetic_v<T> && !std::is_same_v<T, bool>)
    LogField(std::string_view k, T v) : key(k), value(std::to_string(v)) {}
};

void set_log_level(LogLevel level) noexcept;
// "debug", "info", "warning", "error"; false for anything else.
bool parse_log_level(std::string_view text, LogLevel& out) noexcept;
std::string_view log_level_name(LogLevel level) noexcept;

// Gets every line of any level, on the thread that writes it, whatever goes to stderr; empty: none.
// It must not log itself.
using LogTap =
    std::function<void(LogLevel level, std::string_view event, std::span<const LogField> fields)>;
void set_log_tap(LogTap tap);

void log_line(LogLevel level, std::string_view event, std::initializer_list<LogField> fields);

inline void log_debug(std::string_view event, std::initializer_list<LogField> fields) {
    log_line(LogLevel::kDebug, event, fields);
}
inline void log_info(std::string_view event, std::initializer_list<LogField> fields) {
    log_line(LogLevel::kInfo, event, fields);
}
inline void log_warning(std::string_view event, std::initializer_list<LogField> fields) {
    log_line(LogLevel::kWarning, event, fields);
}
inline void log_error(std::string_view event, std::initializer_list<LogField> fields) {
    log_line(LogLevel::kError, event, fields);
}

}  // namespace rekindle
