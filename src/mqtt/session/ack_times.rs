//! How long a client waits for PUBACK and PUBREC: from the round in which its PUBLISH is read to
//! the one in which the acknowledgement is written.
//!
//! A round takes the time once for all that it brings, and again at its end if something was
//! acknowledged in it. What the desk answers is found again by its packet id.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use crate::metrics::{Latency, Out, Values};
use crate::wire::message::Qos;

/// Places for publishes at the desk that an idle session may hold on to.
const AT_HAND: usize = 16;

/// What clients waited for.
#[derive(Debug, Default)]
pub struct AckLatency {
    /// PUBACK, for QoS 1.
    pub puback: Latency,
    /// PUBREC, for QoS 2.
    pub pubrec: Latency,
}

impl Values for AckLatency {
    fn encode(&self, out: &mut Out<'_>) -> fmt::Result {
        out.labelled("qos", "1", &self.puback)?;
        out.labelled("qos", "2", &self.pubrec)
    }
}

impl AckLatency {
    fn add(&self, qos: Qos, took: Duration, times: u64) {
        let latency = match qos {
            Qos::ExactlyOnce => &self.pubrec,
            Qos::AtMostOnce | Qos::AtLeastOnce => &self.puback,
        };
        latency.add(took, times);
    }
}

/// One session's; nothing until its first publish that is to be acknowledged, because most
/// connections are idle.
#[derive(Debug, Default)]
pub(super) struct AckTimes(Option<Box<Times>>);

#[derive(Debug)]
struct Times {
    round: Instant,
    /// Acknowledged in the round in which they came: of QoS 1, of QoS 2.
    at_once: [u64; 2],
    /// Handed to the desk; there are no more than may be unacknowledged.
    at_desk: VecDeque<(u16, Instant)>,
}

impl AckTimes {
    /// A new round.
    pub(super) fn begin(&mut self) {
        if let Some(times) = &mut self.0 {
            times.round = Instant::now();
        }
    }

    fn times(&mut self) -> &mut Times {
        self.0.get_or_insert_with(|| {
            Box::new(Times {
                round: Instant::now(),
                at_once: [0; 2],
                at_desk: VecDeque::new(),
            })
        })
    }

    /// It is the desk that acknowledges this one.
    pub(super) fn handed_over(&mut self, packet_id: u16) {
        let times = self.times();
        times.at_desk.push_back((packet_id, times.round));
    }

    /// The desk has. It need not be in order, but mostly is.
    pub(super) fn answered(&mut self, packet_id: u16, qos: Qos, latency: &AckLatency) {
        let Some(times) = &mut self.0 else { return };
        let at = times.at_desk.iter().position(|(id, _)| *id == packet_id);
        let Some((_, since)) = at.and_then(|at| times.at_desk.remove(at)) else {
            return;
        };
        latency.add(qos, times.round.saturating_duration_since(since), 1);
        if times.at_desk.is_empty() && times.at_desk.capacity() > AT_HAND {
            times.at_desk = VecDeque::new();
        }
    }

    /// Acknowledged without the desk.
    pub(super) fn at_once(&mut self, qos: Qos) {
        self.times().at_once[usize::from(qos == Qos::ExactlyOnce)] += 1;
    }

    /// What was acknowledged in this round is about to be written.
    pub(super) fn settle(&mut self, latency: &AckLatency) {
        let Some(times) = &mut self.0 else { return };
        let [puback, pubrec] = std::mem::take(&mut times.at_once);
        if puback + pubrec > 0 {
            let took = times.round.elapsed();
            latency.add(Qos::AtLeastOnce, took, puback);
            latency.add(Qos::ExactlyOnce, took, pubrec);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(latency: &Latency) -> u64 {
        latency.buckets().map(|(_, count)| count).sum()
    }

    #[test]
    fn every_acknowledgement_is_counted_once_in_whatever_order_it_comes() {
        let latency = AckLatency::default();
        let mut times = AckTimes::default();
        for id in 1..=100 {
            times.handed_over(id);
        }
        times.begin();
        for id in (1..=100).rev() {
            times.answered(id, Qos::AtLeastOnce, &latency);
        }
        times.answered(1, Qos::AtLeastOnce, &latency);
        assert_eq!(counted(&latency.puback), 100);
        assert!(times.times().at_desk.capacity() <= AT_HAND);
        times.at_once(Qos::ExactlyOnce);
        times.at_once(Qos::ExactlyOnce);
        times.settle(&latency);
        times.settle(&latency);
        assert_eq!(counted(&latency.pubrec), 2);
        assert_eq!(counted(&latency.puback), 100);
    }
}
