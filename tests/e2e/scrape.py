"""Reading a daemon's metrics with Prometheus' own parsers."""

import requests
from prometheus_client import parser
from prometheus_client.openmetrics import parser as open_metrics_parser


def scrape(daemon, open_metrics=False):
    """{sample name: [(labels, value text)]}, checked by the parser of the format."""
    accept = "application/openmetrics-text; version=1.0.0" if open_metrics else "text/plain"
    answer = requests.get(daemon.url + "/metrics", headers={"Accept": accept}, timeout=10)
    assert answer.status_code == 200
    kind = "application/openmetrics-text" if open_metrics else "text/plain; version=0.0.4"
    assert answer.headers["content-type"].startswith(kind)
    parse = open_metrics_parser.text_string_to_metric_families if open_metrics \
        else parser.text_string_to_metric_families
    samples = {}
    for family in parse(answer.text):
        assert family.documentation and family.type != "unknown", family.name
        for sample in family.samples:
            samples.setdefault(sample.name, []).append((sample.labels, sample.value))
    return samples


def names(daemon):
    """{family name as exported: type}, also of families that have no series yet."""
    text = requests.get(daemon.url + "/metrics", timeout=10).text
    return dict(line.split()[2:4] for line in text.splitlines() if line.startswith("# TYPE"))


def exact(daemon, name):
    """{labels as a sorted tuple: int} of a counter of whole numbers, without going through float."""
    text = requests.get(daemon.url + "/metrics", timeout=10).text
    found = {}
    for line in text.splitlines():
        if line.startswith(name + "{"):
            labels, value = line[len(name) + 1:].rsplit("} ", 1)
            found[tuple(sorted(labels.split(",")))] = int(value)
    return found


def value(samples, name, **labels):
    """The one sample with these labels."""
    (found,) = [v for have, v in samples.get(name, []) if labels.items() <= have.items()]
    return found
