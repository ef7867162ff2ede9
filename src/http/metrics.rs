//! The numbers that the gateway shows, in the text formats of OpenMetrics and Prometheus.
//!
//! Parts of the gateway count with their own atomics and register a [`Source`] that reads them when somebody asks: nothing is
//! copied or formatted between scrapes.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::format::{self, Format};

/// What one part of the gateway shows, read at every scrape.
pub trait Source: Send + Sync + 'static {
    /// The numbers as they stand. Names must be unique over all sources.
    fn metrics(&self) -> Vec<Metric>;
}

impl<F> Source for F
where
    F: Fn() -> Vec<Metric> + Send + Sync + 'static,
{
    fn metrics(&self) -> Vec<Metric> {
        self()
    }
}

/// A named number, or several that one label tells apart.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    name: &'static str,
    help: &'static str,
    values: Values,
}

#[derive(Debug, Clone, PartialEq)]
enum Values {
    Counter(u64),
    Seconds(f64),
    Gauge(f64),
    Histogram(Histogram),
    Counters(&'static str, Vec<(String, u64)>),
    Gauges(&'static str, Vec<(String, f64)>),
    Histograms(&'static str, Vec<(String, Histogram)>),
}

/// How often something took how long, or was how large.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    /// Of all of them.
    pub sum: f64,
    /// Upper bounds that rise, the last one infinite, and how many lie between that bound and the one before.
    pub buckets: Vec<(f64, u64)>,
}

impl Histogram {
    fn encode(&self, encoder: &mut MetricEncoder<'_>) -> fmt::Result {
        // Of one reading of the buckets: count and buckets never contradict each other.
        let count = self.buckets.iter().map(|(_, count)| count).sum();
        encoder.encode_histogram::<NoLabelSet>(self.sum, count, &self.buckets, None)
    }
}

impl Metric {
    /// A number that only grows; `_total` is appended to the name.
    pub fn counter(name: &'static str, help: &'static str, value: u64) -> Metric {
        Metric {
            name,
            help,
            values: Values::Counter(value),
        }
    }

    /// Seconds that only grow; `_total` is appended to the name.
    pub fn seconds(name: &'static str, help: &'static str, value: f64) -> Metric {
        Metric {
            name,
            help,
            values: Values::Seconds(value),
        }
    }

    /// How a number is spread.
    pub fn histogram(name: &'static str, help: &'static str, value: Histogram) -> Metric {
        Metric {
            name,
            help,
            values: Values::Histogram(value),
        }
    }

    /// A number that goes up and down.
    pub fn gauge(name: &'static str, help: &'static str, value: f64) -> Metric {
        Metric {
            name,
            help,
            values: Values::Gauge(value),
        }
    }

    /// Counters told apart by `label`, whose values must be few and never a client's text.
    pub fn counters<L: Into<String>>(
        name: &'static str,
        help: &'static str,
        label: &'static str,
        values: impl IntoIterator<Item = (L, u64)>,
    ) -> Metric {
        let values = values.into_iter().map(|(l, n)| (l.into(), n)).collect();
        Metric {
            name,
            help,
            values: Values::Counters(label, values),
        }
    }

    /// Gauges told apart by `label`, whose values must be few and never a client's text.
    pub fn gauges<L: Into<String>>(
        name: &'static str,
        help: &'static str,
        label: &'static str,
        values: impl IntoIterator<Item = (L, f64)>,
    ) -> Metric {
        let values = values.into_iter().map(|(l, n)| (l.into(), n)).collect();
        Metric {
            name,
            help,
            values: Values::Gauges(label, values),
        }
    }

    /// Histograms told apart by `label`, whose values must be few and never a client's text.
    pub fn histograms<L: Into<String>>(
        name: &'static str,
        help: &'static str,
        label: &'static str,
        values: impl IntoIterator<Item = (L, Histogram)>,
    ) -> Metric {
        let values = values.into_iter().map(|(l, n)| (l.into(), n)).collect();
        Metric {
            name,
            help,
            values: Values::Histograms(label, values),
        }
    }

    fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let kind = match self.values {
            Values::Counter(_) | Values::Seconds(_) | Values::Counters(..) => MetricType::Counter,
            Values::Gauge(_) | Values::Gauges(..) => MetricType::Gauge,
            Values::Histogram(_) | Values::Histograms(..) => MetricType::Histogram,
        };
        let mut encoder = encoder.encode_descriptor(self.name, self.help, None, kind)?;
        match &self.values {
            Values::Counter(value) => encode_counter(&mut encoder, *value),
            Values::Seconds(value) => encoder.encode_counter::<NoLabelSet, _, f64>(value, None),
            Values::Gauge(value) => encoder.encode_gauge(value),
            Values::Histogram(value) => value.encode(&mut encoder),
            Values::Counters(label, values) => each(&mut encoder, label, values, |one, value| {
                encode_counter(one, *value)
            }),
            Values::Gauges(label, values) => each(&mut encoder, label, values, |one, value| {
                one.encode_gauge(value)
            }),
            Values::Histograms(label, values) => {
                each(&mut encoder, label, values, |one, value| value.encode(one))
            }
        }
    }
}

/// Encodes each value under its label.
fn each<T>(
    encoder: &mut MetricEncoder<'_>,
    label: &str,
    values: &[(String, T)],
    encode: impl Fn(&mut MetricEncoder<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    values.iter().try_for_each(|(text, value)| {
        let labels = [(label, text.as_str())];
        encode(&mut encoder.encode_family(&labels)?, value)
    })
}

fn encode_counter(encoder: &mut MetricEncoder<'_>, value: u64) -> fmt::Result {
    encoder.encode_counter::<NoLabelSet, _, u64>(&value, None)
}

/// All numbers of the gateway.
#[derive(Debug)]
pub struct Metrics {
    /// What is ours; `hallward_` goes in front.
    own: Registry,
    /// What has the names that every program gives it.
    common: Registry,
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics::new()
    }
}

impl Metrics {
    /// None yet, but for the version that is running.
    pub fn new() -> Metrics {
        let mut metrics = Metrics {
            own: Registry::with_prefix("hallward"),
            common: Registry::default(),
        };
        metrics.register(|| {
            let running = [(env!("CARGO_PKG_VERSION"), 1.0)];
            vec![Metric::gauges(
                "build",
                "The version that is running, as a label; the number is always 1.",
                "version",
                running,
            )]
        });
        metrics
    }

    /// Adds a source; `hallward_` goes in front of its names.
    pub fn register(&mut self, source: impl Source) {
        let source = Registered(Box::new(source));
        self.own.register_collector(Box::new(source));
    }

    /// Adds a source of numbers that have the same names in every program: nothing goes in front.
    pub fn register_common(&mut self, source: impl Source) {
        let source = Registered(Box::new(source));
        self.common.register_collector(Box::new(source));
    }

    /// Where histograms and the like can be registered that keep their own state.
    pub fn registry(&mut self) -> &mut Registry {
        &mut self.own
    }

    /// Reads every source. Some look at files: not for a thread that must not wait.
    ///
    /// # Errors
    /// None in practice: writing to a string does not fail.
    pub fn encode(&self, as_format: Format) -> Result<String, fmt::Error> {
        let mut text = String::with_capacity(32 * 1024);
        for registry in [&self.own, &self.common] {
            prometheus_client::encoding::text::encode_registry(&mut text, registry)?;
        }
        match as_format {
            Format::OpenMetrics => prometheus_client::encoding::text::encode_eof(&mut text)?,
            Format::Prometheus => text = format::of_prometheus(&text),
        }
        Ok(text)
    }
}

struct Registered(Box<dyn Source>);

impl fmt::Debug for Registered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Source")
    }
}

impl Collector for Registered {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let metrics = self.0.metrics();
        metrics
            .iter()
            .try_for_each(|metric| metric.encode(&mut encoder))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn sources_are_read_at_every_scrape() {
        let count = Arc::new(AtomicU64::new(1));
        let mut metrics = Metrics::new();
        let counted = Arc::clone(&count);
        metrics.register(move || {
            let count = counted.load(Ordering::Relaxed);
            vec![
                Metric::counter("messages", "Messages", count),
                Metric::gauge("load", "Load", 0.5),
                Metric::counters("dropped", "Dropped", "why", [("full", 2), ("late", 3)]),
            ]
        });
        let first = metrics.encode(Format::OpenMetrics).expect("encodes");
        count.store(7, Ordering::Relaxed);
        let second = metrics.encode(Format::OpenMetrics).expect("encodes");
        assert!(first.contains("hallward_messages_total 1\n"), "{first}");
        assert!(second.contains("hallward_messages_total 7\n"), "{second}");
        assert!(second.contains("# TYPE hallward_load gauge\nhallward_load 0.5\n"));
        assert!(second.contains("hallward_dropped_total{why=\"full\"} 2\n"));
        assert!(second.ends_with("# EOF\n"));
    }

    #[test]
    fn both_formats_say_the_same_each_in_its_own_way() {
        let mut metrics = Metrics::new();
        metrics.register(|| {
            let waits = Histogram {
                sum: 0.75,
                buckets: vec![(0.5, 2), (f64::INFINITY, 1)],
            };
            vec![
                Metric::counter("messages", "Messages.", 7),
                Metric::histograms("wait_seconds", "Waits.", "qos", [("1", waits)]),
            ]
        });
        metrics.register_common(|| vec![Metric::seconds("process_cpu_seconds", "CPU.", 0.25)]);
        let waits = "# HELP hallward_wait_seconds Waits.\n\
             # TYPE hallward_wait_seconds histogram\n\
             hallward_wait_seconds_sum{qos=\"1\"} 0.75\n\
             hallward_wait_seconds_count{qos=\"1\"} 3\n\
             hallward_wait_seconds_bucket{le=\"0.5\",qos=\"1\"} 2\n\
             hallward_wait_seconds_bucket{le=\"+Inf\",qos=\"1\"} 3\n";
        let open = metrics.encode(Format::OpenMetrics).expect("encodes");
        let (_, open) = open.split_once("\"} 1.0\n").expect("the version is first");
        let counter = "# HELP hallward_messages Messages.\n\
             # TYPE hallward_messages counter\nhallward_messages_total 7\n";
        let seconds = "# HELP process_cpu_seconds CPU.\n\
             # TYPE process_cpu_seconds counter\nprocess_cpu_seconds_total 0.25\n";
        assert_eq!(open, format!("{counter}{waits}{seconds}# EOF\n"));
        let plain = metrics.encode(Format::Prometheus).expect("encodes");
        let (_, plain) = plain.split_once("\"} 1.0\n").expect("the version is first");
        let counter = "# HELP hallward_messages_total Messages.\n\
             # TYPE hallward_messages_total counter\nhallward_messages_total 7\n";
        let seconds = "# HELP process_cpu_seconds_total CPU.\n\
             # TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total 0.25\n";
        assert_eq!(plain, format!("{counter}{waits}{seconds}"));
    }
}
