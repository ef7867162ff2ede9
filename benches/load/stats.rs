//! Latencies, percentiles and medians, and the unit-carrying reading that every scenario returns.
//! Pure. Called by the scenarios and by `report`.

use std::time::Duration;

use serde::Serialize;

/// What a number counts; decides how it is printed, compared and folded over runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Unit {
    /// Events per second; more is better.
    PerSecond,
    /// Microseconds; less is better.
    Micros,
    /// Things that should not have happened. The worst run counts, never the median.
    Faults,
    /// Percent of what was sent that did not arrive. The worst run counts.
    PercentLost,
    /// Percent of one core.
    PercentCpu,
    /// A latency divided by the same without disturbance; less is better.
    TimesQuiet,
    KiB,
    MiB,
}

/// One number of one run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Reading {
    pub(crate) measure: String,
    pub(crate) unit: Unit,
    pub(crate) value: f64,
}

impl Reading {
    pub(crate) fn new(measure: impl Into<String>, unit: Unit, value: f64) -> Self {
        Self {
            measure: measure.into(),
            unit,
            value,
        }
    }
}

/// Samples of one latency, in nanoseconds.
#[derive(Default)]
pub(crate) struct Latencies(Vec<u64>);

impl Latencies {
    pub(crate) fn record(&mut self, sample: Duration) {
        self.0
            .push(u64::try_from(sample.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Takes over the samples of another.
    pub(crate) fn absorb(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// The median and the 99th percentile, named `{prefix}p50` and `{prefix}p99`; nothing without
    /// samples.
    pub(crate) fn readings(mut self, prefix: &str) -> Vec<Reading> {
        self.0.sort_unstable();
        [(50, "p50"), (99, "p99")]
            .into_iter()
            .filter_map(|(percent, name)| {
                let nanos = *self
                    .0
                    .get((self.0.len() * percent / 100).min(self.0.len().saturating_sub(1)))?;
                Some(Reading::new(
                    format!("{prefix}{name}"),
                    Unit::Micros,
                    as_f64(nanos) / 1_000.0,
                ))
            })
            .collect()
    }
}

/// The middle of the values, or the largest where only the worst run counts.
pub(crate) fn fold(unit: Unit, values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match (unit, sorted.len()) {
        (_, 0) => f64::NAN,
        (Unit::Faults | Unit::PercentLost, length) => sorted[length - 1],
        (_, length) if length % 2 == 1 => sorted[length / 2],
        (_, length) => f64::midpoint(sorted[length / 2 - 1], sorted[length / 2]),
    }
}

/// A count as a float; exact far beyond what a run can count.
pub(crate) fn as_f64(count: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "counts stay below 2^53")]
    let float = count as f64;
    float
}

/// Events per second.
pub(crate) fn rate(events: u64, during: Duration) -> f64 {
    as_f64(events) / during.as_secs_f64()
}
