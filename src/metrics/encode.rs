//! From numbers to a scrape: kinds, labels, and what a field may hold.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::count::{Count, Latency, Latest, Seconds};

/// The numbers of one part, read at every scrape. Names are unique over all parts.
pub trait MetricSet: Send + Sync + 'static {
    /// Shows the numbers as they stand.
    ///
    /// # Errors
    /// None in practice: writing to a string does not fail.
    fn encode(&self, scrape: &mut Scrape<'_>) -> fmt::Result;
}

impl<F> MetricSet for F
where
    F: Fn(&mut Scrape<'_>) -> fmt::Result + Send + Sync + 'static,
{
    fn encode(&self, scrape: &mut Scrape<'_>) -> fmt::Result {
        self(scrape)
    }
}

impl<S: MetricSet> MetricSet for Latest<S> {
    fn encode(&self, scrape: &mut Scrape<'_>) -> fmt::Result {
        self.read(|set| set.encode(scrape))
    }
}

/// One scrape while it is written.
#[derive(Debug)]
pub struct Scrape<'a>(DescriptorEncoder<'a>);

impl Scrape<'_> {
    /// A number that only grows, or several that a label tells apart; `_total` is appended to the
    /// name.
    ///
    /// # Errors
    /// None in practice.
    pub fn counter(&mut self, name: &str, help: &str, values: &impl Values) -> fmt::Result {
        self.show(MetricType::Counter, name, help, values)
    }

    /// A number that goes up and down, or several.
    ///
    /// # Errors
    /// None in practice.
    pub fn gauge(&mut self, name: &str, help: &str, values: &impl Values) -> fmt::Result {
        self.show(MetricType::Gauge, name, help, values)
    }

    /// How a number is spread, or several.
    ///
    /// # Errors
    /// None in practice.
    pub fn histogram(&mut self, name: &str, help: &str, values: &impl Values) -> fmt::Result {
        self.show(MetricType::Histogram, name, help, values)
    }

    fn show(
        &mut self,
        kind: MetricType,
        name: &str,
        help: &str,
        values: &impl Values,
    ) -> fmt::Result {
        // A line of documentation begins with a space.
        let encoder = self
            .0
            .encode_descriptor(name, help.trim_start(), None, kind)?;
        values.encode(&mut Out { encoder, kind })
    }
}

/// Where the values of one metric go.
#[derive(Debug)]
pub struct Out<'a> {
    encoder: MetricEncoder<'a>,
    kind: MetricType,
}

impl Out<'_> {
    /// A value under a label, whose values must be few and never a client's text.
    ///
    /// # Errors
    /// None in practice.
    pub fn labelled(&mut self, key: &str, text: &str, value: &impl Values) -> fmt::Result {
        let labels = [(key, text)];
        let encoder = self.encoder.encode_family(&labels)?;
        let kind = self.kind;
        value.encode(&mut Out { encoder, kind })
    }

    /// A value under two labels, likewise.
    ///
    /// # Errors
    /// None in practice.
    pub fn labelled_twice(
        &mut self,
        labels: [(&str, &str); 2],
        value: &impl Values,
    ) -> fmt::Result {
        let encoder = self.encoder.encode_family(&labels)?;
        let kind = self.kind;
        value.encode(&mut Out { encoder, kind })
    }

    /// Upper bounds that rise, the last one infinite, and how many lie between that bound and the
    /// one before; and the sum of all.
    ///
    /// # Errors
    /// None in practice.
    pub fn buckets(&mut self, sum: f64, buckets: &[(f64, u64)]) -> fmt::Result {
        // Of one reading of the buckets: count and buckets never contradict each other.
        let count = buckets.iter().map(|(_, count)| count).sum();
        self.encoder
            .encode_histogram::<NoLabelSet>(sum, count, buckets, None)
    }
}

/// What a metric can be made of.
pub trait Values {
    /// Writes the value, or each under its label.
    ///
    /// # Errors
    /// None in practice.
    fn encode(&self, out: &mut Out<'_>) -> fmt::Result;
}

impl Values for f64 {
    fn encode(&self, out: &mut Out<'_>) -> fmt::Result {
        match out.kind {
            MetricType::Counter => out.encoder.encode_counter::<NoLabelSet, _, f64>(self, None),
            _ => out.encoder.encode_gauge(self),
        }
    }
}

impl Values for u64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "gauges are floating-point in the format"
    )]
    fn encode(&self, out: &mut Out<'_>) -> fmt::Result {
        match out.kind {
            MetricType::Counter => out.encoder.encode_counter::<NoLabelSet, _, f64>(self, None),
            _ => out.encoder.encode_gauge(&(*self as f64)),
        }
    }
}

impl Values for usize {
    fn encode(&self, out: &mut Out<'_>) -> fmt::Result {
        (*self as u64).encode(out)
    }
}

impl Values for Duration {
    fn encode(&self, out: &mut Out<'_>) -> fmt::Result {
        self.as_secs_f64().encode(out)
    }
}

/// What is not known has no value.
impl<V: Values> Values for Option<V> {
    fn encode(&self, out: &mut Out<'_>) -> fmt::Result {
        self.as_ref().map_or(Ok(()), |value| value.encode(out))
    }
}

impl Values for Count {
    fn encode(&self, out: &mut Out<'_>) -> fmt::Result {
        self.value().encode(out)
    }
}

impl Values for Seconds {
    fn encode(&self, out: &mut Out<'_>) -> fmt::Result {
        self.value().encode(out)
    }
}

impl Values for Latency {
    fn encode(&self, out: &mut Out<'_>) -> fmt::Result {
        let buckets: Vec<(f64, u64)> = self.buckets().collect();
        out.buckets(self.sum(), &buckets)
    }
}

/// A label's name, and its values with what belongs to each.
impl<V: Values, const N: usize> Values for (&str, [(&str, V); N]) {
    fn encode(&self, out: &mut Out<'_>) -> fmt::Result {
        let (key, values) = self;
        values
            .iter()
            .try_for_each(|(text, value)| out.labelled(key, text, value))
    }
}

/// The values of a label. Declared with `labels!`.
pub trait MetricLabel: Copy + 'static {
    /// The label's name.
    const KEY: &'static str;
    /// Every value, in the order of their indexes.
    const ALL: &'static [Self];

    /// Its place among all.
    fn index(self) -> usize;

    /// As the scrape shows it.
    fn text(self) -> &'static str;
}

/// Something for each value of a label: a [`Count`] if nothing else is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Per<L, V = Count>(Box<[V]>, PhantomData<L>);

impl<L: MetricLabel, V> Per<L, V> {
    /// Made by `one` for each.
    pub fn new(one: impl Fn(L) -> V) -> Per<L, V> {
        Per(L::ALL.iter().copied().map(one).collect(), PhantomData)
    }

    /// What belongs to one.
    pub fn of(&self, label: L) -> &V {
        &self.0[label.index()]
    }

    /// All of them.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.0.iter()
    }

    /// What belongs to one, to change it.
    pub fn of_mut(&mut self, label: L) -> &mut V {
        &mut self.0[label.index()]
    }
}

impl<L: MetricLabel, V: Default> Default for Per<L, V> {
    fn default() -> Per<L, V> {
        Per::new(|_| V::default())
    }
}

impl<L: MetricLabel, V: Values> Values for Per<L, V> {
    fn encode(&self, out: &mut Out<'_>) -> fmt::Result {
        let values = L::ALL.iter().zip(&self.0);
        values
            .into_iter()
            .try_for_each(|(label, value)| out.labelled(L::KEY, label.text(), value))
    }
}

/// A part as the registry of the library takes it.
pub fn collector<S: MetricSet>(set: Arc<S>) -> Box<dyn Collector> {
    Box::new(Registered(set))
}

struct Registered<S>(Arc<S>);

impl<S> fmt::Debug for Registered<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Registered")
    }
}

impl<S: MetricSet> Collector for Registered<S> {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.0.encode(&mut Scrape(encoder))
    }
}
