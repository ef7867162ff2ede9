//! What bridges count, each under its name.

use std::fmt;
use std::sync::Arc;

use super::sender::{CutCause, DeadReason};
use crate::desk::ForwardStats;
use crate::metrics::{Count, Latency, MetricLabel, MetricSet, Out, Per, Scrape, Seconds, Values};

/// What one bridge has done.
#[derive(Debug, Default)]
pub struct BridgeStats {
    /// 1 with a connection, 0 without.
    pub connected: Count,
    /// PUBLISH packets sent, repeats included.
    pub sent: Count,
    /// Messages that the other broker has acknowledged.
    pub acked: Count,
    /// Refusals that may pass: the message is sent again.
    pub deferred: Count,
    /// Messages whose time was over before they could be sent.
    pub expired: Count,
    /// Messages that the other broker will not have.
    pub dead: Per<DeadReason>,
    /// Connections that were lost, or not had.
    pub cuts: Per<CutCause>,
    /// From PUBLISH to PUBACK.
    pub ack_seconds: Latency,
    /// How old the oldest message is that waits.
    pub oldest_age: Seconds,
}

/// The numbers of all bridges.
#[derive(Debug)]
pub struct BridgeMetrics {
    bridges: Vec<(Arc<str>, Arc<BridgeStats>, Arc<ForwardStats>)>,
}

type Pick<V> = fn(&BridgeStats, &ForwardStats) -> V;

/// One number of each bridge.
struct EachBridge<'a, V>(&'a BridgeMetrics, Pick<V>);

impl<V: Values> Values for EachBridge<'_, V> {
    fn encode(&self, out: &mut Out<'_>) -> fmt::Result {
        let EachBridge(metrics, pick) = self;
        metrics
            .bridges
            .iter()
            .try_for_each(|(name, own, queue)| out.labelled("bridge", name, &pick(own, queue)))
    }
}

/// Several numbers of each bridge, by a reason.
struct ByReason<'a>(
    &'a BridgeMetrics,
    fn(&BridgeStats, &ForwardStats) -> Vec<(&'static str, u64)>,
);

impl Values for ByReason<'_> {
    fn encode(&self, out: &mut Out<'_>) -> fmt::Result {
        let ByReason(metrics, pick) = self;
        metrics.bridges.iter().try_for_each(|(name, own, queue)| {
            let values = pick(own, queue).into_iter();
            let mut show = |(reason, value): (&'static str, u64)| {
                out.labelled_twice([("bridge", name), ("reason", reason)], &value)
            };
            values.into_iter().try_for_each(&mut show)
        })
    }
}

/// From PUBLISH to PUBACK, of each bridge.
struct BridgeAckTimes<'a>(&'a BridgeMetrics);

impl Values for BridgeAckTimes<'_> {
    fn encode(&self, out: &mut Out<'_>) -> fmt::Result {
        let mut bridges = self.0.bridges.iter();
        bridges.try_for_each(|(name, own, _)| out.labelled("bridge", name, &own.ack_seconds))
    }
}

fn each<L: MetricLabel>(counts: &Per<L>) -> Vec<(&'static str, u64)> {
    let value = |label: &L| (label.text(), counts.of(*label).value());
    L::ALL.iter().map(value).collect()
}

impl BridgeMetrics {
    /// Of these bridges, with their queues.
    pub fn new(bridges: Vec<(Arc<str>, Arc<BridgeStats>, Arc<ForwardStats>)>) -> BridgeMetrics {
        BridgeMetrics { bridges }
    }
}

impl MetricSet for BridgeMetrics {
    fn encode(&self, scrape: &mut Scrape<'_>) -> fmt::Result {
        let of = |pick: Pick<u64>| EachBridge(self, pick);
        let help = "Whether a bridge has a connection.";
        scrape.gauge(
            "bridge_connected",
            help,
            &of(|own, _| own.connected.value()),
        )?;
        let help = "Messages that wait for the other broker, those on their way included.";
        scrape.gauge(
            "bridge_backlog_messages",
            help,
            &of(|_, queue| queue.messages.value()),
        )?;
        let help = "Their bytes.";
        scrape.gauge(
            "bridge_backlog_bytes",
            help,
            &of(|_, queue| queue.bytes.value()),
        )?;
        let help = "How long the oldest of them has waited; 0 where none does.";
        let oldest = EachBridge(self, |own, _| own.oldest_age.value());
        scrape.gauge("bridge_backlog_oldest_age_seconds", help, &oldest)?;
        let help = "PUBLISH packets sent to the other broker, repeats included.";
        scrape.counter("bridge_sent", help, &of(|own, _| own.sent.value()))?;
        let help = "Messages that the other broker has acknowledged.";
        scrape.counter("bridge_acked", help, &of(|own, _| own.acked.value()))?;
        let help = "Refusals of the other broker that may pass: the message is sent again.";
        scrape.counter("bridge_deferred", help, &of(|own, _| own.deferred.value()))?;
        let help = "Publishes refused because a bridge's queue was full.";
        scrape.counter(
            "bridge_refused",
            help,
            &of(|_, queue| queue.refused.value()),
        )?;
        let help = "Messages dropped: the oldest or the newest for want of room, expired ones, and dead letters that gave way to newer ones.";
        let dropped = ByReason(self, |own, queue| {
            vec![
                ("oldest", queue.dropped_oldest.value()),
                ("newest", queue.dropped_newest.value()),
                ("expired", own.expired.value()),
                ("dead_forgotten", queue.dead_forgotten.value()),
            ]
        });
        scrape.counter("bridge_dropped", help, &dropped)?;
        let help = "Messages that the other broker will not have, by why.";
        let dead = ByReason(self, |own, _| each(&own.dead));
        scrape.counter("bridge_dead", help, &dead)?;
        let help = "Of those, the ones that are kept.";
        scrape.gauge(
            "bridge_dead_letters",
            help,
            &of(|_, queue| queue.dead.value()),
        )?;
        let help = "Connections to the other broker that were lost, or could not be had.";
        let cuts = ByReason(self, |own, _| each(&own.cuts));
        scrape.counter("bridge_reconnects", help, &cuts)?;
        let help = "From PUBLISH to its acknowledgement by the other broker.";
        scrape.histogram("bridge_ack_seconds", help, &BridgeAckTimes(self))
    }
}
