#include "base/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <mutex>
#include <shared_mutex>
#include <utility>

namespace rekindle {
namespace {

spdlog::logger& logger() {
    static const std::shared_ptr<spdlog::logger> instance = [] {
        auto made = std::make_shared<spdlog::logger>(
            "rekindle", std::make_shared<spdlog::sinks::stderr_sink_mt>());
        made->set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %l %v", spdlog::pattern_time_type::utc);
        made->flush_on(spdlog::level::debug);
        return made;
    }();
    return *instance;
}

// The process's logger is one object, and so is what listens to it.
struct Tap {
    std::shared_mutex mutex;
    LogTap listener;
};

Tap& tap() {
    static Tap instance;
    return instance;
}

spdlog::level::level_enum to_spdlog(LogLevel level) noexcept {
    switch (level) {
        case LogLevel::kDebug:
            return spdlog::level::debug;
        case LogLevel::kInfo:
            return spdlog::level::info;
        case LogLevel::kWarning:
            return spdlog::level::warn;
        case LogLevel::kError:
            return spdlog::level::err;
        case LogLevel::kSilent:
            return spdlog::level::off;
    }
    return spdlog::level::info;
}

bool needs_quotes(std::string_view value) noexcept {
    if (value.empty()) {
        return true;
    }
    for (const char c : value) {
        if (c == ' ' || c == '"' || c == '=' || static_cast<unsigned char>(c) < 0x20) {
            return true;
        }
    }
    return false;
}

void append_value(std::string& line, std::string_view value) {
    if (!needs_quotes(value)) {
        line += value;
        return;
    }
    static constexpr char kHex[] = "0123456789abcdef";
    line += '"';
    for (const char c : value) {
        const auto byte = static_cast<unsigned char>(c);
        if (c == '"' || c == '\\') {
            line += '\\';
            line += c;
        } else if (byte < 0x20) {
            line += "\\x";
            line += kHex[byte >> 4];
            line += kHex[byte & 15];
        } else {
            line += c;
        }
    }
    line += '"';
}

}  // namespace

void set_log_level(LogLevel level) noexcept {
    logger().set_level(to_spdlog(level));
}

bool parse_log_level(std::string_view text, LogLevel& out) noexcept {
    if (text == "debug") {
        out = LogLevel::kDebug;
    } else if (text == "info") {
        out = LogLevel::kInfo;
    } else if (text == "warning") {
        out = LogLevel::kWarning;
    } else if (text == "error") {
        out = LogLevel::kError;
    } else {
        return false;
    }
    return true;
}

std::string_view log_level_name(LogLevel level) noexcept {
    switch (level) {
        case LogLevel::kDebug:
            return "debug";
        case LogLevel::kInfo:
            return "info";
        case LogLevel::kWarning:
            return "warning";
        case LogLevel::kError:
            return "error";
        case LogLevel::kSilent:
            return "silent";
    }
    return "info";
}

void set_log_tap(LogTap listener) {
    const std::unique_lock lock(tap().mutex);
    tap().listener = std::move(listener);
}

void log_line(LogLevel level, std::string_view event, std::initializer_list<LogField> fields) {
    {
        const std::shared_lock lock(tap().mutex);
        if (tap().listener) {
            tap().listener(level, event, std::span(fields.begin(), fields.size()));
        }
    }
    if (!logger().should_log(to_spdlog(level))) {
        return;
    }
    std::string line(event);
    for (const LogField& field : fields) {
        line += ' ';
        line += field.key;
        line += '=';
        append_value(line, field.value);
    }
    logger().log(to_spdlog(level), "{}", line);
}

}  // namespace rekindle
