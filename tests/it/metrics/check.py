"""Reads /metrics in both formats with the parsers of Prometheus' own Python client, and holds the names to Prometheus' rules.

The parser of OpenMetrics is strict: order, suffixes, units, buckets and the end mark are its affair.
"""

import sys
import urllib.request

from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_families
from prometheus_client.parser import text_string_to_metric_families as plain_families

# What Prometheus 3.5 sends.
SCRAPER = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
NOT_BASE_UNITS = {
    "nanoseconds", "ns", "microseconds", "micros", "us", "milliseconds", "millis", "ms", "minutes", "hours", "days",
    "bits", "kilobytes", "kb", "kib", "megabytes", "mb", "mib", "gib", "percent", "secs", "sec",
}  # fmt: skip
TYPES = {"counter", "gauge", "histogram", "summary", "untyped"}
RESERVED = ("_bucket", "_count", "_sum", "_info", "_created")


def fetch(port, accept):
    request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers={"Accept": accept})
    with urllib.request.urlopen(request) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


def faults_of(family):
    words = family.name.split("_")
    if not family.name.startswith(("hallward_", "process_")):
        yield "neither ours nor the process's"
    if family.name != family.name.lower() or "" in words:
        yield "not snake_case"
    if NOT_BASE_UNITS & set(words):
        yield f"not in base units: {NOT_BASE_UNITS & set(words)}"
    if TYPES & set(words):
        yield "names its own type"
    if not family.documentation.endswith("."):
        yield f"no sentence as help: {family.documentation!r}"
    if family.name.endswith(RESERVED) or (family.type != "counter" and family.name.endswith("_total")):
        yield "ends as if it were another type"
    if family.type not in TYPES - {"untyped", "summary"}:
        yield f"of type {family.type}"


def shape(families):
    """What must be the same in both formats; the values move on between two readings."""
    return {
        (family.name, family.type, family.documentation): sorted(
            (sample.name, *sorted(sample.labels.items())) for sample in family.samples
        )
        for family in families
    }


def main(port):
    kind, text = fetch(port, SCRAPER)
    assert kind.startswith("application/openmetrics-text; version=1.0.0"), kind
    families = list(open_families(text))
    kind, plain = fetch(port, "*/*")
    assert kind.startswith("text/plain; version=0.0.4"), kind
    assert shape(families) == shape(plain_families(plain)), "the formats differ"
    names = [family.name for family in families]
    assert len(names) == len(set(names)), "a family comes twice"
    faults = [f"{family.name}: {fault}" for family in families for fault in faults_of(family)]
    assert not faults, "\n".join(faults)
    print(f"ok {len(names)} families")


main(int(sys.argv[1]))
