//! Publishes that cost a client its connection each time it comes back: what it sends again first,
//! before it does anything else.
//!
//! A client of 3.1.1 cannot be told that a publish is refused, and one that sends what is too large
//! is closed, so it meets the same publish at every connect, for good. After the second close for
//! the same reason such a publish is acknowledged and dropped, and everybody is told who can be:
//! the log, the metrics, the client where it has a reply topic, else whoever listens below `$SYS`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::desk::port::{Full, Publication, Request, Route};
use crate::live::Plane;
use crate::log_limiter::{limited, shortened, shown};
use crate::metrics::labels;
use crate::mqtt::config::PoisonRule;
use crate::wire::message::{Message, Parts, Qos};
use crate::wire::name::{Agent, Room};
use crate::wire::reply::{Code, Rejection};
use crate::wire::topic::below_room;

use super::ClientSession;

/// Closes that a client and a reason may cost before the next publish is dropped.
const CLOSES: u32 = 2;
/// How long a close is remembered after the last one.
const MEMORY: Duration = Duration::from_secs(600);
/// Whoever is not in a room is told here.
const EVENTS: &str = "$SYS/broker/publish/dropped";

labels! {
    /// Why a publish costs the connection.
    pub enum Cause by "reason" {
        /// It is larger than `mqtt.max_packet`.
        TooLarge = "too_large",
        /// Its topic has too many levels.
        TooDeep = "too_deep",
        /// There are as many retained messages as there may be.
        RetainedFull = "retained_full",
        /// A session that it is for is full, and such publishes are refused.
        QueueFull = "queue_full",
        /// The queue of a bridge that it is for is full, and such publishes are refused.
        BridgeFull = "bridge_full",
    }
}

impl Cause {
    /// What has no place here: want of memory passes, and the publish may be taken next time.
    pub(super) fn of(full: Full) -> Option<Cause> {
        match full {
            Full::Retained => Some(Cause::RetainedFull),
            Full::Queue => Some(Cause::QueueFull),
            Full::Bridge => Some(Cause::BridgeFull),
            Full::Memory => None,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Cause::TooLarge => "larger than mqtt.max_packet",
            Cause::TooDeep => "its topic has more levels than mqtt.max_topic_levels",
            Cause::RetainedFull => "retained.max_messages or retained.max_bytes is reached",
            Cause::QueueFull => "the queue of a session that it is for is full",
            Cause::BridgeFull => "the queue of a bridge that it is for is full",
        }
    }

    fn code(self) -> Code {
        match self {
            Cause::TooLarge => Code::TooLarge,
            Cause::TooDeep => Code::Malformed,
            Cause::RetainedFull | Cause::QueueFull | Cause::BridgeFull => Code::TooMany,
        }
    }
}

/// Connections that publishes have cost, by client and cause.
#[derive(Debug, Default)]
pub(in crate::mqtt) struct PoisonTracker {
    closes: Mutex<HashMap<(Arc<str>, Cause), (u32, Instant)>>,
}

impl PoisonTracker {
    /// Whether a publish that must not be taken is to be dropped; else it costs the connection,
    /// which is noted. Clients beyond the bound are closed each time.
    pub(super) fn drops(
        &self,
        client: &Arc<str>,
        cause: Cause,
        now: Instant,
        max_clients: usize,
    ) -> bool {
        let mut closes = self.closes.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (Arc::clone(client), cause);
        if closes.len() >= max_clients && !closes.contains_key(&key) {
            closes.retain(|_, (_, last)| now < *last + MEMORY);
            if closes.len() >= max_clients {
                return false;
            }
        }
        let (count, last) = closes.entry(key).or_insert((0, now));
        if now >= *last + MEMORY {
            *count = 0;
        }
        *last = now;
        if *count >= CLOSES {
            return true;
        }
        *count += 1;
        false
    }
}

impl<P: Plane> ClientSession<P> {
    /// Whether a publish that must not be taken is acknowledged and dropped, rather than costing
    /// the connection once more.
    pub(super) fn swallows(&self, cause: Cause) -> bool {
        let (context, most) = (&self.context, self.config.mqtt.max_poison);
        self.config.mqtt.poison == PoisonRule::Ack
            && (context.poison).drops(&self.client.id, cause, Instant::now(), most)
    }

    /// Tells of a publish that was dropped.
    pub(super) fn tell_of_dropped(&mut self, cause: Cause, topic: &str, bytes: usize) {
        self.io.metrics.publishes_dropped.of(cause).add_one();
        let kind = "publish_dropped";
        let admitted = self.admits(kind);
        let (client, shown) = (shortened(&self.client.id), shown(topic));
        let (reason, words) = (cause.name(), cause.words());
        limited!(
            warn,
            admitted,
            client,
            kind,
            reason,
            topic = shown,
            bytes,
            "publish dropped: {words}"
        );
        let words = format!("dropped, for it was refused before: {words} ({bytes} bytes)");
        match self.room_of(topic) {
            Some((from, room)) => {
                let rejection = Rejection::new(cause.code(), words);
                self.reply_through_desk(topic, from, room, rejection);
            }
            None => {
                let event = serde_json::json!({
                    "client": &*self.client.id, "topic": topic, "bytes": bytes, "reason": cause.name(),
                });
                let message = Message::encode(&Parts {
                    topic: EVENTS,
                    payload: event.to_string().as_bytes(),
                    ..Parts::default()
                });
                self.push_live(EVENTS, &message);
            }
        }
    }

    /// The agent and the room of whom a reply can tell.
    fn room_of(&self, topic: &str) -> Option<(Agent, Room)> {
        let (room, _) = below_room(&self.config.root, topic)?;
        Some((Agent::new(&self.client.id).ok()?, Room::new(room).ok()?))
    }

    fn reply_through_desk(&mut self, topic: &str, from: Agent, room: Room, rejection: Rejection) {
        let message = Message::encode(&Parts {
            topic,
            publisher: &self.client.id,
            qos: Qos::AtMostOnce,
            ..Parts::default()
        });
        let route = Route::Refused {
            from: Some(from),
            room: Some(room),
            rejection,
        };
        self.inbound.hand_over(topic);
        self.io.ask(Request::Publish {
            connection: self.io.connection,
            packet_id: None,
            publication: Publication { message, route },
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_third_time_is_one_too_many_for_each_client_and_cause() {
        let (poison, start) = (PoisonTracker::default(), Instant::now());
        let (ann, bob) = (Arc::from("ann"), Arc::from("bob"));
        let dropped = |client, cause, seconds| {
            poison.drops(client, cause, start + Duration::from_secs(seconds), 100)
        };
        let told = [0, 1, 2, 3].map(|second| dropped(&ann, Cause::TooLarge, second));
        assert_eq!(told, [false, false, true, true]);
        assert!(!dropped(&ann, Cause::RetainedFull, 4), "another cause");
        assert!(!dropped(&bob, Cause::TooLarge, 4), "another client");
        assert!(dropped(&ann, Cause::TooLarge, 600), "still remembered");
        assert!(!dropped(&ann, Cause::TooLarge, 1200), "long ago");
    }

    #[test]
    fn who_comes_under_many_names_takes_no_more_memory() {
        let (poison, now) = (PoisonTracker::default(), Instant::now());
        for n in 0..100 {
            let name = Arc::from(format!("c{n}"));
            let told = [(); 3].map(|()| poison.drops(&name, Cause::TooLarge, now, 10));
            assert_eq!(told, [false, false, n < 10], "{n}");
        }
        assert_eq!(poison.closes.lock().unwrap().len(), 10);
        assert!(!poison.drops(&Arc::from("later"), Cause::TooLarge, now + MEMORY, 10));
        assert_eq!(poison.closes.lock().unwrap().len(), 1);
    }
}
