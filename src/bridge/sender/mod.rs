//! What sends a queue to another broker, as a pure state machine: events and times in, steps out.
//!
//! It decides when to connect, what to send, when something is done and what the other broker will
//! not have. It has no clock, no socket and no store. After each call whoever drives it takes steps
//! with [`BridgeSender::poll`] until there are none, and ticks it when
//! [`BridgeSender::poll_timeout`] says.
//!
//! Messages go in the order of their numbers, and again in it after each connection that was lost:
//! nothing rests on what the transport or the other broker remembers. A message is done when the
//! other broker has acknowledged it on the connection that it was sent on, and not before.

mod backoff;
mod fit;
mod pace;
mod window;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::desk::{DeadLetter, ForwardBounds, ForwardEntry};
use crate::metrics::labels;
use crate::wire::Millis;

use super::metrics::BridgeStats;
use backoff::ReconnectBackoff;
pub use fit::{DeadReason, PacketLimits};
use pace::Pace;
use window::SendWindow;

/// A message at whose sending the other broker closes so often, alone and with nothing in between,
/// is not sent again.
const MAX_CLOSINGS: u32 = 3;
/// A refusal that may pass is tried so often.
const MAX_REFUSALS: u32 = 3;
/// What a message takes in memory beside its bytes, roughly.
const HELD_BYTES: usize = 160;

labels! {
    /// Why a connection was given up, or not had.
    pub enum CutCause by "reason" {
        /// Nothing answers at the address, or TLS fails.
        Unreachable = "unreachable",
        /// CONNACK did not come in time.
        ConnectTimeout = "connect_timeout",
        /// CONNACK refused us: credentials, client id, protocol.
        Refused = "refused",
        /// Another client with our id took our place.
        TakenOver = "taken_over",
        /// The other broker closed it.
        Closed = "closed",
        /// The network did.
        Network = "network",
        /// The other broker says nothing any more.
        Silent = "silent",
        /// An acknowledgement did not come in time.
        AckTimeout = "ack_timeout",
        /// What came was no MQTT, or not what was due.
        Protocol = "protocol",
    }
}

impl CutCause {
    /// Whether to wait longer: trying again soon does not help.
    fn is_refusal(self) -> bool {
        matches!(self, CutCause::Refused | CutCause::TakenOver)
    }
}

/// What CONNACK granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectGrant {
    /// Receive Maximum.
    pub receive_maximum: u16,
    /// Maximum Packet Size.
    pub max_packet: u32,
    /// Retain Available.
    pub retain: bool,
    /// Server Keep Alive or ours, in milliseconds.
    pub keep_alive_ms: u64,
}

/// How it sends.
#[derive(Debug, Clone, Copy)]
pub struct SenderSettings {
    /// Messages from the oldest that is not done to the newest that was sent.
    pub window: usize,
    /// Bytes that are unacknowledged; a larger message goes alone.
    pub window_bytes: usize,
    /// Bytes that are held.
    pub read_ahead: usize,
    /// Messages a second; 0: without limit.
    pub rate: u32,
    /// What the other broker takes.
    pub limits: PacketLimits,
    /// For CONNACK.
    pub connect_timeout_ms: u64,
    /// For an acknowledgement.
    pub ack_timeout_ms: u64,
    /// Waits before the next connection.
    pub backoff: BackoffSettings,
    /// From where its dice come.
    pub seed: u64,
}

/// Waits before the next connection, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct BackoffSettings {
    /// The shortest.
    pub initial_ms: u64,
    /// The longest.
    pub max_ms: u64,
    /// The shortest after a refusal.
    pub refused_ms: u64,
    /// A connection that lasts for so long makes waits short again.
    pub stable_ms: u64,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SenderStep {
    /// Make a new connection; there is none.
    Connect,
    /// Give the connection up.
    Disconnect,
    /// Send this; retained only if the other broker takes such.
    Send {
        /// What.
        entry: ForwardEntry,
        /// Whether it may be retained there.
        may_retain: bool,
    },
    /// Read from this number on; [`BridgeSender::filled`] takes what is found.
    Read {
        /// The number.
        from: u64,
    },
    /// The other broker has everything below `done`, or will not have it.
    Finish {
        /// The number.
        done: u64,
        /// What it will not have.
        dead: Vec<DeadLetter>,
    },
}

#[derive(Debug, Clone, Copy)]
enum SenderLink {
    Down {
        until: Millis,
    },
    Connecting {
        since: Millis,
    },
    Up {
        since: Millis,
        heard: Millis,
        grant: ConnectGrant,
    },
}

/// See the module.
#[derive(Debug)]
pub struct BridgeSender {
    settings: SenderSettings,
    link: SenderLink,
    backoff: ReconnectBackoff,
    pace: Pace,
    window: SendWindow,
    bounds: ForwardBounds,
    /// The next number to read.
    next_read: u64,
    is_reading: bool,
    /// The message that was the oldest unacknowledged one when the other broker closed, and how
    /// often that has happened.
    suspect: Option<(u64, u32)>,
    /// Nothing is sent before this: something was refused that may pass.
    resting_until: Millis,
    steps: VecDeque<SenderStep>,
    /// What the desk was told of, and what it has yet to be.
    told: u64,
    dead: Vec<DeadLetter>,
    stats: Arc<BridgeStats>,
}

impl BridgeSender {
    /// One that is not connected yet, for a queue with these messages.
    pub fn new(
        settings: SenderSettings,
        bounds: ForwardBounds,
        stats: Arc<BridgeStats>,
    ) -> BridgeSender {
        BridgeSender {
            settings,
            link: SenderLink::Down { until: 0 },
            backoff: ReconnectBackoff::new(settings.backoff, settings.seed),
            pace: Pace::new(settings.rate),
            window: SendWindow::default(),
            bounds,
            next_read: bounds.first,
            is_reading: false,
            suspect: None,
            resting_until: 0,
            steps: VecDeque::new(),
            told: bounds.first,
            dead: Vec::new(),
            stats,
        }
    }

    /// The next step, if there is one.
    pub fn poll(&mut self) -> Option<SenderStep> {
        if let Some(step) = self.steps.pop_front() {
            return Some(step);
        }
        let done = self.window.first().unwrap_or(self.next_read);
        if done > self.told || !self.dead.is_empty() {
            self.told = done.max(self.told);
            return Some(SenderStep::Finish {
                done: self.told,
                dead: std::mem::take(&mut self.dead),
            });
        }
        None
    }

    /// When to tick it, if ever.
    pub fn poll_timeout(&self) -> Option<Millis> {
        match self.link {
            SenderLink::Down { until } => Some(until),
            SenderLink::Connecting { since } => Some(since + self.settings.connect_timeout_ms),
            SenderLink::Up { heard, grant, .. } => {
                let silent = heard + silence_ms(&grant);
                let ack = self.window.oldest_sent();
                let ack = ack.map(|at| at + self.settings.ack_timeout_ms);
                let waits = self.window.has_waiting();
                let rest = (waits && self.resting_until > 0).then_some(self.resting_until);
                let pace = self.pace.next().filter(|_| waits && rest.is_none());
                [Some(silent), ack, rest, pace].into_iter().flatten().min()
            }
        }
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Millis) {
        match self.link {
            SenderLink::Down { until } if until <= now => {
                self.link = SenderLink::Connecting { since: now };
                self.steps.push_back(SenderStep::Connect);
            }
            SenderLink::Connecting { since } if since + self.settings.connect_timeout_ms <= now => {
                self.cut(now, CutCause::ConnectTimeout);
            }
            SenderLink::Up { heard, grant, .. } if heard + silence_ms(&grant) <= now => {
                self.cut(now, CutCause::Silent);
            }
            SenderLink::Up { .. } => {
                let sent = self.window.oldest_sent();
                if sent.is_some_and(|at| at + self.settings.ack_timeout_ms <= now) {
                    self.cut(now, CutCause::AckTimeout);
                }
            }
            SenderLink::Down { .. } | SenderLink::Connecting { .. } => {}
        }
        self.go_on(now);
    }

    /// CONNACK has come.
    pub fn connected(&mut self, now: Millis, grant: ConnectGrant) {
        if matches!(self.link, SenderLink::Connecting { .. }) {
            let (since, heard) = (now, now);
            self.link = SenderLink::Up {
                since,
                heard,
                grant,
            };
            self.stats.connected.set(1);
            self.go_on(now);
        }
    }

    /// Something has come from the other broker.
    pub fn heard(&mut self, now: Millis) {
        if let SenderLink::Up { heard, .. } = &mut self.link {
            *heard = now;
        }
    }

    /// The other broker has this message.
    pub fn acked(&mut self, now: Millis, seq: u64) {
        if let Some(sent) = self.window.done(seq) {
            self.stats.acked.add_one();
            let took = Duration::from_millis(now.saturating_sub(sent));
            self.stats.ack_seconds.add(took, 1);
        }
        self.settle_suspect(seq);
        self.go_on(now);
    }

    /// The other broker refuses this message, with MQTT 5's reason.
    pub fn nacked(&mut self, now: Millis, seq: u64, code: u8) {
        let Some((held, _)) = self.window.returned(seq) else {
            return;
        };
        held.refusals += 1;
        let is_quota = code == 0x97;
        let is_over = !is_quota && held.refusals >= MAX_REFUSALS;
        let wait = self.settings.backoff.initial_ms << held.refusals.min(16);
        self.settle_suspect(seq);
        if let Some(reason) = DeadReason::of_refusal(code) {
            self.park(seq, reason);
        } else if is_over {
            self.park(seq, DeadReason::Refused);
        } else {
            self.stats.deferred.add_one();
            self.resting_until = now + wait.min(self.settings.backoff.max_ms);
        }
        self.go_on(now);
    }

    /// There is no connection any more, or none could be had.
    pub fn cut(&mut self, now: Millis, cause: CutCause) {
        let since = match self.link {
            SenderLink::Down { .. } => return,
            SenderLink::Connecting { .. } => None,
            SenderLink::Up { since, .. } => Some(since),
        };
        if since.is_some() && cause == CutCause::Closed {
            self.suspect_oldest();
        }
        self.window.cut();
        self.stats.connected.set(0);
        self.stats.cuts.of(cause).add_one();
        self.resting_until = 0;
        let lasted = since.map_or(0, |since| now.saturating_sub(since));
        let until = now + self.backoff.next(lasted, cause.is_refusal());
        self.link = SenderLink::Down { until };
        self.steps
            .retain(|step| matches!(step, SenderStep::Finish { .. } | SenderStep::Read { .. }));
        self.steps.push_back(SenderStep::Disconnect);
        self.go_on(now);
    }

    /// The queue has these messages now.
    pub fn bounds(&mut self, now: Millis, bounds: ForwardBounds) {
        self.bounds = bounds;
        self.go_on(now);
    }

    /// What was read from the last number that was asked for, up to `end` at least.
    pub fn filled(&mut self, now: Millis, entries: Vec<ForwardEntry>, end: u64) {
        self.is_reading = false;
        let is_empty = entries.is_empty();
        for entry in entries {
            if entry.seq >= self.next_read {
                self.next_read = entry.seq + 1;
                self.window.push(entry);
            }
        }
        if is_empty {
            // They were dropped meanwhile, or are gone.
            self.next_read = self.next_read.max(end.min(self.bounds.next));
        }
        self.go_on(now);
    }

    /// When the oldest message that waits came, as far as it was read.
    pub fn oldest(&self) -> Option<Millis> {
        self.window.oldest()
    }

    /// Whether there is a connection.
    pub fn is_connected(&self) -> bool {
        matches!(self.link, SenderLink::Up { .. })
    }

    fn go_on(&mut self, now: Millis) {
        self.window.forget_below(self.bounds.first);
        self.send(now);
        self.window.settle();
        let first = self.next_read.max(self.bounds.first);
        let has_room = self.window.held_bytes() < self.settings.read_ahead / 2;
        if !self.is_reading && has_room && first < self.bounds.next {
            self.is_reading = true;
            self.next_read = first;
            self.steps.push_back(SenderStep::Read { from: first });
        }
    }

    /// Sends what may be sent.
    fn send(&mut self, now: Millis) {
        let SenderLink::Up { grant, .. } = self.link else {
            return;
        };
        if self.resting_until > 0 {
            // What is on its way is answered first, so that nothing overtakes what was refused.
            if now < self.resting_until || self.window.in_flight() > 0 {
                return;
            }
            self.resting_until = 0;
        }
        let limits = self.settings.limits.within(grant.max_packet);
        let span = self.settings.window.min(grant.receive_maximum.into());
        while let Some(held) = self.window.next_waiting() {
            let (seq, size) = (held.entry.seq, held.entry.message.size());
            if seq < self.bounds.first {
                // The queue has dropped it.
                self.window.done(seq);
            } else if held.entry.message.expired(now) {
                self.stats.expired.add_one();
                self.window.done(seq);
            } else if let Err(reason) = limits.check(&held.entry.message) {
                self.park(seq, reason);
            } else {
                // One that may be what the other broker closes at goes alone.
                let span = match self.suspect {
                    Some((suspect, _)) if self.window.first_open() == Some(suspect) => 1,
                    _ => span.max(1),
                };
                let is_alone = self.window.in_flight() == 0;
                let has_room = self.window.in_flight_bytes() + size <= self.settings.window_bytes;
                if !self.window.is_within(seq, span) || !(is_alone || has_room) {
                    return;
                }
                if !self.pace.may_send(now) {
                    return;
                }
                let entry = self.window.sent(seq, now);
                self.stats.sent.add_one();
                self.steps.extend(entry.map(|entry| SenderStep::Send {
                    entry,
                    may_retain: grant.retain,
                }));
            }
        }
    }

    fn park(&mut self, seq: u64, reason: DeadReason) {
        if let Some(entry) = self.window.park(seq) {
            self.stats.dead.of(reason).add_one();
            let reason = reason.name();
            self.dead.push(DeadLetter { entry, reason });
        }
    }

    /// It is answered, whatever the answer: the other broker lives with it.
    fn settle_suspect(&mut self, seq: u64) {
        if self.suspect.is_some_and(|(suspect, _)| suspect <= seq) {
            self.suspect = None;
        }
    }

    /// The other broker has closed. Was it for the oldest message on its way? The first time it may
    /// be any of them; then that one is sent alone.
    fn suspect_oldest(&mut self) {
        let Some(oldest) = self.window.first_sent() else {
            return;
        };
        let closings = match self.suspect {
            Some((suspect, closings)) if suspect == oldest => closings + 1,
            _ => 1,
        };
        self.suspect = Some((oldest, closings));
        if closings >= MAX_CLOSINGS {
            self.suspect = None;
            self.park(oldest, DeadReason::Closes);
        }
    }
}

/// Silence after which nobody is there: one and a half times the keep-alive.
fn silence_ms(grant: &ConnectGrant) -> u64 {
    grant.keep_alive_ms + grant.keep_alive_ms / 2
}

#[cfg(test)]
mod tests;
