#include "base/metrics.h"

#include <doctest/doctest.h>

#include <limits>
#include <string>

using namespace rekindle;

namespace {

std::string text_of(const MetricRegistry& registry) {
    return registry.text(MetricFormat::kPrometheus);
}

}  // namespace

TEST_CASE("a counter shows its name, help, type and value") {
    MetricRegistry registry;
    Counter& hits = registry.counter({.name = "hits_total", .help = "Hits."}, 0);
    CHECK(text_of(registry) == "# HELP hits_total Hits.\n# TYPE hits_total counter\n");
    hits.add(2);
    hits.add(40);
    CHECK(text_of(registry) ==
          "# HELP hits_total Hits.\n# TYPE hits_total counter\nhits_total 42\n");
}

TEST_CASE("a counter is exact beyond what a double can hold") {
    MetricRegistry registry;
    Counter& cost = registry.counter({.name = "cost_total", .help = "."}, 0);
    cost.add((Int128{1} << 80) + 1);
    CHECK(text_of(registry).ends_with("cost_total 1208925819614629174706177\n"));
}

TEST_CASE("a counter of nanoseconds is shown in seconds") {
    MetricRegistry registry;
    Counter& time = registry.counter({.name = "time_total", .help = "."}, 9);
    time.add(0);
    CHECK(text_of(registry).ends_with("time_total 0\n"));
    time.add(1);
    CHECK(text_of(registry).ends_with("time_total 0.000000001\n"));
    time.add(12'499'999'999);
    CHECK(text_of(registry).ends_with("time_total 12.5\n"));
}

TEST_CASE("label values are escaped, and help texts in their own way") {
    MetricRegistry registry;
    registry.gauge({.name = "g", .help = "a\"b\\c\nd", .labels = {"l"}}).add({"a\"b\\c\nd"}, 1.5);
    CHECK(text_of(registry) ==
          "# HELP g a\"b\\\\c\\nd\n# TYPE g gauge\ng{l=\"a\\\"b\\\\c\\nd\"} 1.5\n");
}

TEST_CASE("a label value that is no UTF-8 is repaired, and a long one cut") {
    MetricRegistry registry;
    Gauge& gauge = registry.gauge({.name = "g", .help = ".", .labels = {"l"}});
    gauge.add({"\xff"}, 1);
    CHECK(gauge.value({"\xEF\xBF\xBD"}) == 1.0);
    gauge.add({std::string(kMetricLabelBytesMax, 'x')}, 2);
    gauge.add({std::string(kMetricLabelBytesMax + 1, 'x')}, 3);
    CHECK(gauge.value({std::string(kMetricLabelBytesMax, 'x')}) == 5.0);
}

TEST_CASE("a gauge shows infinity and not-a-number as Prometheus reads them") {
    MetricRegistry registry;
    Gauge& gauge = registry.gauge({.name = "g", .help = "."});
    gauge.set(-std::numeric_limits<double>::infinity());
    CHECK(text_of(registry).ends_with("g -Inf\n"));
    gauge.set(std::numeric_limits<double>::quiet_NaN());
    CHECK(text_of(registry).ends_with("g NaN\n"));
    gauge.set(0.1);
    CHECK(text_of(registry).ends_with("g 0.1\n"));
}

TEST_CASE("a histogram counts values up to and including each bound") {
    MetricRegistry registry;
    Histogram& h = registry.histogram({.name = "h", .help = ".", .labels = {"m"}}, {0.5, 1, 10});
    for (const double value : {0.25, 1.0, 1.5, 99.0}) {
        h.observe({"x"}, value);
    }
    CHECK(
        text_of(registry).ends_with("h_bucket{m=\"x\",le=\"0.5\"} 1\n"
                                    "h_bucket{m=\"x\",le=\"1.0\"} 2\n"
                                    "h_bucket{m=\"x\",le=\"10.0\"} 3\n"
                                    "h_bucket{m=\"x\",le=\"+Inf\"} 4\n"
                                    "h_sum{m=\"x\"} 101.75\n"
                                    "h_count{m=\"x\"} 4\n"));
    CHECK(h.quantile_bound({"x"}, 0.5) == 1.0);
    CHECK(h.quantile_bound({"x"}, 0.75) == 10.0);
    CHECK_FALSE(h.quantile_bound({"x"}, 0.99).has_value());
    CHECK_FALSE(h.quantile_bound({"y"}, 0.5).has_value());
}

TEST_CASE("an alias shows the same series under another name") {
    MetricRegistry registry;
    registry.gauge({.name = "new", .help = "Use.", .labels = {}, .aliases = {"old"}}).set(3);
    CHECK(text_of(registry) ==
          "# HELP new Use.\n# TYPE new gauge\nnew 3\n# HELP old Use.\n# TYPE old gauge\nold 3\n");
}

TEST_CASE("OpenMetrics names a counter's family without its suffix and ends the text") {
    MetricRegistry registry;
    registry.counter({.name = "hits_total", .help = "\"Hits\"."}, 0).add(1);
    CHECK(registry.text(MetricFormat::kOpenMetrics) ==
          "# HELP hits \\\"Hits\\\".\n# TYPE hits counter\nhits_total 1\n# EOF\n");
}

TEST_CASE("a family holds so many series, and what comes beyond is added up in one") {
    MetricRegistry registry;
    Counter& hits = registry.counter({.name = "hits_total", .help = ".", .labels = {"l"}}, 0);
    for (size_t i = 0; i < kMetricSeriesMax; ++i) {
        hits.add({std::to_string(i)}, 1);
    }
    CHECK(hits.series() == kMetricSeriesMax);
    CHECK(hits.value({"other"}) == 0);
    hits.add({"one too many"}, 1);
    hits.add({"two too many"}, 1);
    CHECK(hits.series() == kMetricSeriesMax + 1);
    CHECK(hits.value({"one too many"}) == 0);
    CHECK(hits.value({"other"}) == 2);
    hits.add({"7"}, 1);  // One that it knows goes on.
    CHECK(hits.value({"7"}) == 2);
}

TEST_CASE("gauges and histograms keep the same limit") {
    MetricRegistry registry;
    Gauge& gauge = registry.gauge({.name = "g", .help = ".", .labels = {"l"}});
    Histogram& histogram = registry.histogram({.name = "h", .help = ".", .labels = {"l"}}, {1});
    for (size_t i = 0; i < kMetricSeriesMax + 5; ++i) {
        gauge.add({std::to_string(i)}, 1);
        histogram.observe({std::to_string(i)}, 0.5);
    }
    CHECK(gauge.value({"other"}) == 5.0);
    CHECK(histogram.count({"other"}) == 5);
}
