//! Actors that are plain MQTT: publishers, subscribers that come and go, retained messages; and the
//! inbox, which is like them.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::history::What;
use super::peer::{Heard, Peer, persistent};
use super::world::World;
use crate::harness::{Connect, Publish, Version};

/// Unacknowledged publishes at once.
const WINDOW: usize = 4;
/// Payload of a stream's last message, after its number.
const LAST: &str = "last";

/// Streams of the inbox, with the recipient of each.
pub(super) const INBOXES: [(&str, &str); 2] = [
    ("rooms/crash/inbox/i2/i1", "i2"),
    ("rooms/crash/inbox/i3/i1", "i3"),
];

/// Publishes 1, 2, 3 … to each of its streams in turn until it is told to stop.
pub(super) fn publisher(
    world: &Arc<World>,
    name: &str,
    version: Version,
    qos: u8,
    streams: &[&str],
) {
    let mut peer = Peer::new(world, persistent(version, name));
    peer.settle();
    let mut sent = 0;
    let mut ended = false;
    loop {
        let stopping = world.stopping();
        while peer.in_flight() < WINDOW && !stopping {
            sent += 1;
            streams
                .iter()
                .for_each(|stream| number(&mut peer, stream, sent, "", qos));
        }
        if stopping && !ended {
            ended = true;
            streams
                .iter()
                .for_each(|stream| number(&mut peer, stream, sent + 1, LAST, qos));
        }
        if ended && peer.in_flight() == 0 {
            return;
        }
        if let Heard::Over = peer.next() {
            return;
        }
    }
}

fn number(peer: &mut Peer, stream: &str, n: u64, rest: &str, qos: u8) {
    peer.publish(Publish::new(stream, format!("{n} {rest}"), qos), stream, n);
}

/// Reads a stream's message: its number, and whether it is the last one.
fn read(message: &Publish) -> Option<(u64, bool)> {
    let (n, rest) = message.text().split_once(' ')?;
    Some((n.parse().ok()?, rest == LAST))
}

/// How a subscriber behaves.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manners {
    pub(super) qos: u8,
    /// Goes away after about so many messages.
    pub(super) away_after: Option<u32>,
    /// Of 1000 messages, how many make it cut the connection.
    pub(super) cuts: u32,
}

/// Receives whole streams, until it has the last message of each.
pub(super) fn subscriber(
    world: &Arc<World>,
    connect: Connect,
    filter: &str,
    streams: &[&str],
    manners: Manners,
) {
    let clean = connect.clean;
    let mut peer = Peer::new(world, connect)
        .listening(&[(filter, manners.qos)])
        .cutting(manners.cuts);
    peer.settle_listening(streams, clean);
    let mut open: BTreeSet<&str> = streams.iter().copied().collect();
    while !open.is_empty() {
        match peer.next() {
            Heard::Message(message) => {
                let Some((n, last)) = read(&message) else {
                    peer.record(&message.topic, 0, What::Wrong(format!("{message:?}")));
                    continue;
                };
                let (qos, dup) = (message.qos, message.dup);
                peer.record(&message.topic, n, What::Delivered { qos, dup });
                if last {
                    open.remove(message.topic.as_str());
                }
            }
            Heard::Acked => {}
            Heard::Over => return,
        }
        if let Some(after) = manners.away_after
            && !world.stopping()
            && peer.pick(after) == 0
        {
            let packets = u64::from(peer.pick(300));
            peer.go_away(packets);
        }
    }
}

impl Peer {
    /// Settles, and binds the judge to see every message of these streams arrive.
    fn settle_listening(&mut self, streams: &[&str], clean: bool) {
        for stream in streams {
            self.record(stream, 0, What::Listens { clean });
        }
        self.settle();
    }
}

/// Overwrites and clears its retained messages, one at a time.
pub(super) fn retainer(world: &Arc<World>, name: &str, version: Version) {
    const TOPICS: u64 = 5;
    let mut peer = Peer::new(world, persistent(version, name));
    peer.settle();
    let mut n = 0;
    while !world.stopping() {
        n += 1;
        let topic = format!("kept/{name}/{}", n % TOPICS);
        let value = (peer.pick(7) > 0).then_some(n);
        let payload = value.map(|n| n.to_string()).unwrap_or_default();
        peer.publish(Publish::new(&topic, payload, 1).retained(), &topic, n);
        loop {
            match peer.next() {
                Heard::Acked => break,
                Heard::Message(_) => {}
                Heard::Over => return,
            }
        }
        peer.record(&topic, 0, What::RetainedAcked { value });
    }
}
