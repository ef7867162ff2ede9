//! The numbers that the gateway shows, in the text formats of OpenMetrics and Prometheus.
//!
//! Parts of the gateway register what they count, and it is read when somebody asks.

use std::fmt;
use std::sync::Arc;

use prometheus_client::registry::Registry;

use super::format::{self, Format};
use crate::metrics::{MetricSet, Scrape, collector};

/// All numbers of the gateway.
#[derive(Debug)]
pub struct MetricsRegistry {
    /// What is ours; `hallward_` goes in front.
    own: Registry,
    /// What has the names that every program gives it.
    common: Registry,
}

impl Default for MetricsRegistry {
    fn default() -> MetricsRegistry {
        MetricsRegistry::new()
    }
}

impl MetricsRegistry {
    /// None yet, but for the version that is running.
    pub fn new() -> MetricsRegistry {
        let mut metrics = MetricsRegistry {
            own: Registry::with_prefix("hallward"),
            common: Registry::default(),
        };
        metrics.register(Arc::new(|scrape: &mut Scrape<'_>| {
            let help = "The version that is running, as a label; the number is always 1.";
            let running = ("version", [(env!("CARGO_PKG_VERSION"), 1.0)]);
            scrape.gauge("build", help, &running)
        }));
        metrics
    }

    /// Adds a part; `hallward_` goes in front of its names.
    pub fn register<S: MetricSet>(&mut self, part: Arc<S>) {
        self.own.register_collector(collector(part));
    }

    /// Adds a part whose numbers have the same names in every program: nothing goes in front.
    pub fn register_common<S: MetricSet>(&mut self, part: Arc<S>) {
        self.common.register_collector(collector(part));
    }

    /// Reads every part. Some look at files: not for a thread that must not wait.
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::metrics::{Count, Latency, labelled};

    labelled! {
        struct Dropped by "why" {
            /// No room.
            full,
            /// Too late.
            late,
        }
    }

    crate::metrics::metrics! {
        #[derive(Debug, Default)]
        struct Numbers {
            /// Messages
            /// of all kinds.
            counter messages: Count = "messages",
            /// Load.
            gauge load: f64 = "load",
            /// Dropped.
            counter dropped: Dropped = "dropped",
            /// For tests.
            hidden secret: u64,
        }
    }

    #[test]
    fn parts_are_read_at_every_scrape() {
        let numbers = Arc::new(Numbers {
            load: 0.5,
            ..Numbers::default()
        });
        let mut metrics = MetricsRegistry::new();
        metrics.register(Arc::clone(&numbers));
        numbers.messages.add_one();
        numbers.dropped.full.add(2);
        let first = metrics.encode(Format::OpenMetrics).expect("encodes");
        numbers.messages.add(6);
        let second = metrics.encode(Format::OpenMetrics).expect("encodes");
        assert!(first.contains("hallward_messages_total 1\n"), "{first}");
        assert!(second.contains("hallward_messages_total 7\n"), "{second}");
        assert!(second.contains("# TYPE hallward_load gauge\nhallward_load 0.5\n"));
        assert!(second.contains("hallward_dropped_total{why=\"full\"} 2\n"));
        assert!(second.contains("hallward_dropped_total{why=\"late\"} 0\n"));
        assert!(second.contains("# HELP hallward_messages Messages of all kinds.\n"));
        assert!(!second.contains("secret"));
        assert_eq!(numbers.secret, 0);
        assert!(second.ends_with("# EOF\n"));
    }

    #[test]
    fn both_formats_say_the_same_each_in_its_own_way() {
        let mut metrics = MetricsRegistry::new();
        metrics.register(Arc::new(|scrape: &mut Scrape<'_>| {
            const BOUNDS: &[Duration] = &[Duration::from_millis(500)];
            let waits = Latency::new(BOUNDS);
            waits.add(Duration::from_millis(125), 2);
            waits.add(Duration::from_secs(1), 1);
            scrape.counter("messages", "Messages.", &7_u64)?;
            scrape.histogram("wait_seconds", "Waits.", &("qos", [("1", waits)]))
        }));
        metrics.register_common(Arc::new(|scrape: &mut Scrape<'_>| {
            scrape.counter("process_cpu_seconds", "CPU.", &0.25)
        }));
        let waits = "# HELP hallward_wait_seconds Waits.\n\
             # TYPE hallward_wait_seconds histogram\n\
             hallward_wait_seconds_sum{qos=\"1\"} 1.25\n\
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
