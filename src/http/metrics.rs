//! The numbers that the gateway shows, in the OpenMetrics text format.
//!
//! Parts of the gateway count with their own atomics and register a [`Source`] that reads them when somebody asks: nothing is
//! copied or formatted between scrapes.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

/// What one part of the gateway shows, read at every scrape.
pub trait Source: Send + Sync + 'static {
    /// The numbers as they stand. Names must be unique over all sources; `hallward_` goes in front.
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
    Gauge(f64),
    Counters(&'static str, Vec<(String, u64)>),
    Gauges(&'static str, Vec<(String, f64)>),
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

    fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let kind = match self.values {
            Values::Counter(_) | Values::Counters(..) => MetricType::Counter,
            Values::Gauge(_) | Values::Gauges(..) => MetricType::Gauge,
        };
        let mut encoder = encoder.encode_descriptor(self.name, self.help, None, kind)?;
        match &self.values {
            Values::Counter(value) => encode_counter(&mut encoder, *value),
            Values::Gauge(value) => encoder.encode_gauge(value),
            Values::Counters(label, values) => values.iter().try_for_each(|(text, value)| {
                let labels = [(*label, text.as_str())];
                encode_counter(&mut encoder.encode_family(&labels)?, *value)
            }),
            Values::Gauges(label, values) => values.iter().try_for_each(|(text, value)| {
                let labels = [(*label, text.as_str())];
                encoder.encode_family(&labels)?.encode_gauge(value)
            }),
        }
    }
}

fn encode_counter(encoder: &mut MetricEncoder<'_>, value: u64) -> fmt::Result {
    encoder.encode_counter::<NoLabelSet, _, u64>(&value, None)
}

/// All numbers of the gateway.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics::new()
    }
}

impl Metrics {
    /// What [`Metrics::encode`] returns, as HTTP names it.
    pub const CONTENT_TYPE: &'static str =
        "application/openmetrics-text; version=1.0.0; charset=utf-8";

    /// None yet, but for the version that is running.
    pub fn new() -> Metrics {
        let mut metrics = Metrics {
            registry: Registry::with_prefix("hallward"),
        };
        metrics.register(|| {
            let running = [(env!("CARGO_PKG_VERSION"), 1.0)];
            vec![Metric::gauges(
                "build",
                "The version that is running, as a label; the number is always 1",
                "version",
                running,
            )]
        });
        metrics
    }

    /// Adds a source.
    pub fn register(&mut self, source: impl Source) {
        self.registry
            .register_collector(Box::new(Registered(Box::new(source))));
    }

    /// Where histograms and the like can be registered that keep their own state.
    pub fn registry(&mut self) -> &mut Registry {
        &mut self.registry
    }

    /// Reads every source.
    ///
    /// # Errors
    /// None in practice: writing to a string does not fail.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::with_capacity(8 * 1024);
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
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
        let first = metrics.encode().expect("encodes");
        count.store(7, Ordering::Relaxed);
        let second = metrics.encode().expect("encodes");
        assert!(first.contains("hallward_messages_total 1\n"), "{first}");
        assert!(second.contains("hallward_messages_total 7\n"), "{second}");
        assert!(second.contains("# TYPE hallward_load gauge\nhallward_load 0.5\n"));
        assert!(second.contains("hallward_dropped_total{why=\"full\"} 2\n"));
        assert!(second.contains("hallward_dropped_total{why=\"late\"} 3\n"));
        assert!(second.ends_with("# EOF\n"));
    }
}
