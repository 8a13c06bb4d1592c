// Counters, gauges and histograms with labels, and their text for Prometheus (format 0.0.4, or
// OpenMetrics 1.0). Counters are exact integers with a fixed number of decimals, so that money and
// nanoseconds add up as they do in the ledger.
// Invariant: a family holds at most kMetricSeriesMax label sets; what comes beyond is added up in
// one series whose labels all say "other", so that totals stay right.
// Threading: one thread. Ownership: a registry owns its families; references are good as long as
// it.
#pragma once
#include "base/decimal.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rekindle {

inline constexpr size_t kMetricSeriesMax = 1024;
inline constexpr std::string_view kMetricOverflowLabel = "other";
inline constexpr size_t kMetricLabelBytesMax = 256;  // Longer values are cut.

enum class MetricType : uint8_t { kCounter, kGauge, kHistogram };
enum class MetricFormat : uint8_t { kPrometheus, kOpenMetrics };

struct MetricOptions {
    std::string name;  // A counter's ends in "_total".
    std::string help;
    std::vector<std::string> labels = {};  // Names; each series has one value for each.
    // Older or other names under which the same series are shown, too.
    std::vector<std::string> aliases = {};
};

using MetricLabels = std::vector<std::string>;

class MetricFamily {
public:
    virtual ~MetricFamily() = default;
    MetricFamily(const MetricFamily&) = delete;
    MetricFamily& operator=(const MetricFamily&) = delete;

    const MetricOptions& options() const noexcept { return options_; }

    virtual MetricType type() const noexcept = 0;
    virtual size_t series() const noexcept = 0;
    // The samples' lines, under `name`.
    virtual void append_samples(std::string& out, const std::string& name) const = 0;

protected:
    explicit MetricFamily(MetricOptions options) : options_(std::move(options)) {}

    // The labels as they are shown: valid UTF-8 of bounded length.
    MetricLabels shown(const MetricLabels& labels) const;
    // Where a sample of `labels` is kept: of its own series, or of the one that takes what is
    // beyond the limit.
    template <typename Values>
    typename Values::iterator slot(Values& values, const MetricLabels& labels) const {
        const auto known = values.find(labels);  // What is shown as it is, found without a copy.
        if (known != values.end()) {
            return known;
        }
        auto key = shown(labels);
        if (const auto found = values.find(key); found != values.end()) {
            return found;
        }
        if (!key.empty() && values.size() >= kMetricSeriesMax) {
            key.assign(key.size(), std::string(kMetricOverflowLabel));
        }
        return values.try_emplace(std::move(key)).first;
    }

private:
    MetricOptions options_;
};

class Counter final : public MetricFamily {
public:
    // Values are `by` / 10^decimals: 9 for nanoseconds shown as seconds, 0 for plain counts.
    Counter(MetricOptions options, unsigned decimals)
        : MetricFamily(std::move(options)), decimals_(decimals) {}

    // Adds `by` >= 0; 0 makes the series appear.
    void add(const MetricLabels& labels, Int128 by);

    void add(Int128 by) { add({}, by); }

    Int128 value(const MetricLabels& labels) const;

    MetricType type() const noexcept override { return MetricType::kCounter; }

    size_t series() const noexcept override { return values_.size(); }

    void append_samples(std::string& out, const std::string& name) const override;

private:
    const unsigned decimals_;
    std::map<MetricLabels, Int128> values_;
};

class Gauge final : public MetricFamily {
public:
    explicit Gauge(MetricOptions options) : MetricFamily(std::move(options)) {}

    // Adds up what is set to one label set since clear(), so that the series beyond the limit
    // shows a sum.
    void add(const MetricLabels& labels, double value);

    void set(double value) { values_[{}] = value; }

    // Before what is true now is added: series of things that are gone disappear.
    void clear() { values_.clear(); }

    std::optional<double> value(const MetricLabels& labels) const;

    MetricType type() const noexcept override { return MetricType::kGauge; }

    size_t series() const noexcept override { return values_.size(); }

    void append_samples(std::string& out, const std::string& name) const override;

private:
    std::map<MetricLabels, double> values_;
};

class Histogram final : public MetricFamily {
public:
    // `bounds`: upper bounds, rising, without infinity.
    Histogram(MetricOptions options, std::vector<double> bounds);

    void observe(const MetricLabels& labels, double value);
    uint64_t count(const MetricLabels& labels) const;
    // An upper bound of the share `q` of all values: the bound of the bucket that it falls in.
    // Nothing without values, or when it lies beyond the last bound.
    std::optional<double> quantile_bound(const MetricLabels& labels, double q) const;

    MetricType type() const noexcept override { return MetricType::kHistogram; }

    size_t series() const noexcept override { return values_.size(); }

    void append_samples(std::string& out, const std::string& name) const override;

private:
    struct Values {
        std::vector<uint64_t> buckets;  // One more than bounds_: the last is up to infinity.
        double sum = 0;
        uint64_t count = 0;
    };

    const std::vector<double> bounds_;
    std::vector<std::string> bound_texts_;
    std::map<MetricLabels, Values> values_;
};

class MetricRegistry {
public:
    Counter& counter(MetricOptions options, unsigned decimals);
    Gauge& gauge(MetricOptions options);
    Histogram& histogram(MetricOptions options, std::vector<double> bounds);

    // All families, in order of registration; those without series have only HELP and TYPE.
    std::string text(MetricFormat format) const;
    // The same in parts: one family with its aliases, at most some 3 ms; then the text's end.
    static void append_family(std::string& out, const MetricFamily& family, MetricFormat format);
    static void append_end(std::string& out, MetricFormat format);

    std::span<const std::unique_ptr<MetricFamily>> families() const noexcept { return families_; }

private:
    template <typename Family>
    Family& keep(std::unique_ptr<Family> family);

    std::vector<std::unique_ptr<MetricFamily>> families_;
};

// "text/plain; version=0.0.4; charset=utf-8", or OpenMetrics' own.
std::string_view metric_content_type(MetricFormat format) noexcept;

}  // namespace rekindle
