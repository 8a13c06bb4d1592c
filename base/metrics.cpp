#include "base/metrics.h"

#include "base/check.h"
#include "base/utf8.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <utility>

namespace rekindle {
namespace {

constexpr std::string_view kTotal = "_total";

bool is_name(std::string_view name, bool colons) noexcept {
    const auto letter = [colons](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (colons && c == ':');
    };
    return !name.empty() && letter(name.front()) &&
           std::all_of(name.begin(), name.end(),
                       [letter](char c) { return letter(c) || (c >= '0' && c <= '9'); });
}

// In HELP a quote stands for itself; in a label's value it is escaped.
void append_escaped(std::string& out, std::string_view text, bool quotes) {
    for (const char c : text) {
        if (c == '\\' || (quotes && c == '"')) {
            out += '\\';
            out += c;
        } else if (c == '\n') {
            out += "\\n";
        } else {
            out += c;
        }
    }
}

// `a="1",b="2"`, without braces.
std::string label_text(const std::vector<std::string>& names, const MetricLabels& values) {
    std::string out;
    for (size_t i = 0; i < names.size(); ++i) {
        if (i > 0) {
            out += ',';
        }
        out += names[i];
        out += "=\"";
        append_escaped(out, values[i], /*quotes=*/true);
        out += '"';
    }
    return out;
}

// `name{labels} value`. A scrape of a hundred models is 20,000 lines: nothing is formatted twice.
void append_sample(std::string& out, std::string_view name, std::string_view labels,
                   std::string_view value) {
    out += name;
    if (!labels.empty()) {
        out += '{';
        out += labels;
        out += '}';
    }
    out += ' ';
    out += value;
    out += '\n';
}

// The shortest text that reads back as the same number; whole numbers as OpenMetrics wants them.
std::string number(double value) {
    if (std::isnan(value)) {
        return "NaN";
    }
    if (std::isinf(value)) {
        return value > 0 ? "+Inf" : "-Inf";
    }
    return fmt::format("{}", value);
}

std::string bound_text(double bound) {
    const std::string text = number(bound);
    return text.find_first_of(".e") == std::string::npos ? text + ".0" : text;
}

std::string exact(Int128 value, unsigned decimals) {
    std::string digits;
    for (; value > 0 || digits.size() <= decimals; value /= 10) {
        digits += static_cast<char>('0' + static_cast<int>(value % 10));
    }
    std::reverse(digits.begin(), digits.end());
    if (decimals > 0) {
        digits.insert(digits.size() - decimals, 1, '.');
        digits.erase(digits.find_last_not_of('0') + 1);
        if (digits.back() == '.') {
            digits.pop_back();
        }
    }
    return digits;
}

std::string_view type_name(MetricType type) noexcept {
    switch (type) {
        case MetricType::kCounter:
            return "counter";
        case MetricType::kGauge:
            return "gauge";
        case MetricType::kHistogram:
            return "histogram";
    }
    return "untyped";
}

void append_under_name(std::string& out, const MetricFamily& family, const std::string& name,
                       MetricFormat format) {
    // OpenMetrics names a counter's family without its suffix, and its sample with it.
    std::string_view shown = name;
    if (format == MetricFormat::kOpenMetrics && family.type() == MetricType::kCounter) {
        shown.remove_suffix(kTotal.size());
    }
    fmt::format_to(std::back_inserter(out), "# HELP {} ", shown);
    append_escaped(out, family.options().help, /*quotes=*/format == MetricFormat::kOpenMetrics);
    fmt::format_to(std::back_inserter(out), "\n# TYPE {} {}\n", shown, type_name(family.type()));
    family.append_samples(out, name);
}

}  // namespace

MetricLabels MetricFamily::shown(const MetricLabels& labels) const {
    REKINDLE_CHECK(labels.size() == options_.labels.size(), "one value for each label");
    MetricLabels out;
    for (const std::string& value : labels) {
        out.push_back(sanitize_utf8(std::string_view(value).substr(0, kMetricLabelBytesMax)));
    }
    return out;
}

void Counter::add(const MetricLabels& labels, Int128 by) {
    REKINDLE_CHECK(by >= 0, "a counter never falls");
    slot(values_, labels)->second += by;
}

Int128 Counter::value(const MetricLabels& labels) const {
    const auto found = values_.find(labels);
    return found == values_.end() ? 0 : found->second;
}

void Counter::append_samples(std::string& out, const std::string& name) const {
    for (const auto& [labels, value] : values_) {
        append_sample(out, name, label_text(options().labels, labels), exact(value, decimals_));
    }
}

void Gauge::add(const MetricLabels& labels, double value) {
    slot(values_, labels)->second += value;
}

std::optional<double> Gauge::value(const MetricLabels& labels) const {
    const auto found = values_.find(labels);
    return found == values_.end() ? std::nullopt : std::optional(found->second);
}

void Gauge::append_samples(std::string& out, const std::string& name) const {
    for (const auto& [labels, value] : values_) {
        append_sample(out, name, label_text(options().labels, labels), number(value));
    }
}

Histogram::Histogram(MetricOptions options, std::vector<double> bounds)
    : MetricFamily(std::move(options)), bounds_(std::move(bounds)) {
    REKINDLE_CHECK(!bounds_.empty() && std::is_sorted(bounds_.begin(), bounds_.end()),
                   "a histogram's bounds rise");
    for (const double bound : bounds_) {
        bound_texts_.push_back(bound_text(bound));
    }
}

void Histogram::observe(const MetricLabels& labels, double value) {
    Values& values = slot(values_, labels)->second;
    values.buckets.resize(bounds_.size() + 1);
    const auto bucket = std::lower_bound(bounds_.begin(), bounds_.end(), value) - bounds_.begin();
    ++values.buckets[static_cast<size_t>(bucket)];
    values.sum += value;
    ++values.count;
}

uint64_t Histogram::count(const MetricLabels& labels) const {
    const auto found = values_.find(labels);
    return found == values_.end() ? 0 : found->second.count;
}

std::optional<double> Histogram::quantile_bound(const MetricLabels& labels, double q) const {
    const auto found = values_.find(labels);
    if (found == values_.end()) {
        return std::nullopt;
    }
    const double rank = q * static_cast<double>(found->second.count);
    uint64_t below = 0;
    for (size_t i = 0; i < bounds_.size(); ++i) {
        below += found->second.buckets[i];
        if (static_cast<double>(below) >= rank) {
            return bounds_[i];
        }
    }
    return std::nullopt;
}

void Histogram::append_samples(std::string& out, const std::string& name) const {
    const std::string bucket = name + "_bucket";
    const std::string sum = name + "_sum";
    const std::string count = name + "_count";
    for (const auto& [labels, values] : values_) {
        const std::string plain = label_text(options().labels, labels);
        std::string with_bound = plain.empty() ? "le=\"" : plain + ",le=\"";
        const size_t prefix = with_bound.size();
        uint64_t below = 0;
        for (size_t i = 0; i <= bounds_.size(); ++i) {
            below += values.buckets[i];
            with_bound.resize(prefix);
            with_bound += i < bounds_.size() ? std::string_view(bound_texts_[i]) : "+Inf";
            with_bound += '"';
            const fmt::format_int digits(below);
            append_sample(out, bucket, with_bound, {digits.data(), digits.size()});
        }
        append_sample(out, sum, plain, number(values.sum));
        append_sample(out, count, plain, std::to_string(values.count));
    }
}

template <typename Family>
Family& MetricRegistry::keep(std::unique_ptr<Family> family) {
    const MetricOptions& options = family->options();
    const auto check = [&](const std::string& name) {
        REKINDLE_CHECK(is_name(name, /*colons=*/true), "a metric's name");
        REKINDLE_CHECK(family->type() != MetricType::kCounter || name.ends_with(kTotal),
                       "a counter's name ends in _total");
        for (const auto& other : families_) {
            const auto& aliases = other->options().aliases;
            REKINDLE_CHECK(other->options().name != name &&
                               std::find(aliases.begin(), aliases.end(), name) == aliases.end(),
                           "a metric's name is used once");
        }
    };
    check(options.name);
    std::for_each(options.aliases.begin(), options.aliases.end(), check);
    for (const std::string& label : options.labels) {
        REKINDLE_CHECK(is_name(label, /*colons=*/false) && label != "le", "a label's name");
    }
    Family& kept = *family;
    families_.push_back(std::move(family));
    return kept;
}

Counter& MetricRegistry::counter(MetricOptions options, unsigned decimals) {
    return keep(std::make_unique<Counter>(std::move(options), decimals));
}

Gauge& MetricRegistry::gauge(MetricOptions options) {
    return keep(std::make_unique<Gauge>(std::move(options)));
}

Histogram& MetricRegistry::histogram(MetricOptions options, std::vector<double> bounds) {
    return keep(std::make_unique<Histogram>(std::move(options), std::move(bounds)));
}

void MetricRegistry::append_family(std::string& out, const MetricFamily& family,
                                   MetricFormat format) {
    append_under_name(out, family, family.options().name, format);
    for (const std::string& alias : family.options().aliases) {
        append_under_name(out, family, alias, format);
    }
}

void MetricRegistry::append_end(std::string& out, MetricFormat format) {
    if (format == MetricFormat::kOpenMetrics) {
        out += "# EOF\n";
    }
}

std::string MetricRegistry::text(MetricFormat format) const {
    std::string out;
    for (const auto& family : families_) {
        append_family(out, *family, format);
    }
    append_end(out, format);
    return out;
}

std::string_view metric_content_type(MetricFormat format) noexcept {
    return format == MetricFormat::kPrometheus
               ? "text/plain; version=0.0.4; charset=utf-8"
               : "application/openmetrics-text; version=1.0.0; charset=utf-8";
}

}  // namespace rekindle
