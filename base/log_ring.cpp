#include "base/log_ring.h"

#include "base/utf8.h"

#include <algorithm>
#include <chrono>

namespace rekindle {
namespace {

size_t bytes_of(const LogLine& line) noexcept {
    size_t bytes = sizeof(LogLine) + line.event.size();
    for (const auto& [key, value] : line.fields) {
        bytes += sizeof(line.fields.front()) + key.size() + value.size();
    }
    return bytes;
}

}  // namespace

std::string_view LogLine::field(std::string_view key) const noexcept {
    const auto found =
        std::find_if(fields.begin(), fields.end(), [key](const auto& f) { return f.first == key; });
    return found == fields.end() ? std::string_view() : found->second;
}

bool LogFilter::takes(const LogLine& line) const noexcept {
    return line.level >= level && line.unix_ms >= since_unix_ms &&
           (model.empty() || line.field("model") == model);
}

LogRing::~LogRing() {
    if (attached_) {
        detach();
    }
}

void LogRing::attach() {
    attached_ = true;
    set_log_tap([this](LogLevel level, std::string_view event, std::span<const LogField> fields) {
        add(level, event, fields);
    });
}

void LogRing::detach() {
    set_log_tap(nullptr);
    attached_ = false;
}

void LogRing::add(LogLevel level, std::string_view event, std::span<const LogField> fields) {
    if (level < LogLevel::kInfo) {
        return;
    }
    LogLine line{.level = level, .event = std::string(event)};
    line.unix_ms = std::chrono::duration_cast<std::chrono::milliseconds>(clock_.wall()).count();
    for (const LogField& field : fields) {
        line.fields.emplace_back(
            field.key, sanitize_utf8(std::string_view(field.value).substr(0, kLogValueBytesMax)));
    }
    const std::lock_guard lock(mutex_);
    line.sequence = next_++;
    bytes_ += bytes_of(line);
    lines_.push_back(std::move(line));
    while (lines_.size() > kLogLinesMax || bytes_ > kLogRingBytesMax) {
        bytes_ -= bytes_of(lines_.front());
        lines_.pop_front();
    }
    for (const auto& [id, on_line] : watchers_) {
        on_line();
    }
}

LogRing::Batch LogRing::read(uint64_t from, size_t count, const LogFilter& filter) const {
    const std::lock_guard lock(mutex_);
    const uint64_t first = next_ - lines_.size();
    Batch batch{.next = std::max(from, first), .missed = from < first ? first - from : 0};
    for (; batch.next < next_ && batch.lines.size() < count; ++batch.next) {
        const LogLine& line = lines_[batch.next - first];
        if (filter.takes(line)) {
            batch.lines.push_back(line);
        }
    }
    return batch;
}

uint64_t LogRing::first() const {
    const std::lock_guard lock(mutex_);
    return next_ - lines_.size();
}

uint64_t LogRing::watch(std::function<void()> on_line) {
    const std::lock_guard lock(mutex_);
    watchers_.emplace_back(next_watcher_, std::move(on_line));
    return next_watcher_++;
}

void LogRing::unwatch(uint64_t watcher) {
    const std::lock_guard lock(mutex_);
    std::erase_if(watchers_, [watcher](const auto& entry) { return entry.first == watcher; });
}

size_t LogRing::lines() const {
    const std::lock_guard lock(mutex_);
    return lines_.size();
}

size_t LogRing::bytes() const {
    const std::lock_guard lock(mutex_);
    return bytes_;
}

}  // namespace rekindle
