//! Queues for other brokers: what joins a batch, what is refused or dropped, and what a restart
//! finds.

use super::*;
use crate::desk::{
    DeadLetter, ForwardBounds, ForwardEntry, ForwardLimits, ForwardPort, ForwardSettings,
    ForwardTarget, QueueFullRule,
};
use crate::wire::filter;

/// Lets `out/#` leave as it is.
#[derive(Debug)]
struct AsItIs;

impl ForwardTarget for AsItIs {
    fn export(&self, message: &Message, _now: Millis) -> Option<Message> {
        filter::matches("out/#", message.topic()).then(|| message.clone())
    }
}

fn queue(when_full: QueueFullRule) -> ForwardSettings {
    ForwardSettings {
        name: "cloud".into(),
        filters: vec!["out/#".into()],
        target: Arc::new(AsItIs),
        limits: ForwardLimits {
            max_messages: 3,
            max_bytes: 10_000,
            when_full,
            max_dead: 1,
        },
    }
}

impl World {
    fn forwarding(when_full: QueueFullRule) -> (World, ForwardPort) {
        let mut world = World::new();
        let port = world.forward(queue(when_full));
        (world, port)
    }

    fn forward(&mut self, settings: ForwardSettings) -> ForwardPort {
        let ports = self.desk.forward_to(vec![settings], &self.store);
        ports
            .expect("memory has a reader")
            .pop()
            .expect("one queue")
    }

    /// Kill -9, and a start that knows the queue.
    fn crash_forwarding(&mut self, settings: ForwardSettings) -> ForwardPort {
        let records = engine_records(&self.store).expect("readable");
        let engine = Engine::recover(Settings::default(), 2, records).expect("readable");
        self.desk = Desk::new(
            super::settings(),
            engine,
            Arc::new(InterestIndex::default()),
        );
        let port = self.forward(settings);
        self.desk.recover(self.now, &self.store).expect("readable");
        self.commit();
        port
    }

    /// Publishes and commits; how it was acknowledged.
    fn sent(&mut self, peer: &mut Peer, topic: &str, payload: &str) -> Option<Result<(), Code>> {
        let publication = ordinary(&peer.id.clone(), topic, payload, Qos::AtLeastOnce, false);
        let id = self.publish(peer, publication);
        self.commit();
        peer.verdict(id)
    }

    fn done(&mut self, done: u64, dead: Vec<DeadLetter>) {
        self.handle(Request::Forwarded {
            queue: "cloud".into(),
            done,
            dead,
        });
        self.commit();
    }
}

fn read(port: &ForwardPort, from: u64) -> Vec<(u64, String)> {
    let entries = port.read(from, 100, 1 << 20).expect("readable");
    let text = |entry: &ForwardEntry| {
        let payload = entry.message.payload();
        (entry.seq, String::from_utf8_lossy(&payload).into_owned())
    };
    entries.iter().map(text).collect()
}

fn bounds(port: &ForwardPort) -> (u64, u64) {
    let ForwardBounds { first, next } = *port.bounds().borrow();
    (first, next)
}

#[test]
fn a_message_and_its_way_out_are_one_commit_and_it_stays_until_the_other_side_has_it() {
    let (mut world, port) = World::forwarding(QueueFullRule::Refuse);
    let (mut ann, _) = world.connect("ann", true, 0);
    let publication = ordinary("ann", "out/a", "one", Qos::AtLeastOnce, false);
    let id = world.publish(&mut ann, publication);
    assert_eq!(bounds(&port), (1, 1), "not on disk yet");
    world.commit();
    assert_eq!(ann.verdict(id), Some(Ok(())));
    assert_eq!(world.rows(Space::Bridge), 1);
    assert_eq!(bounds(&port), (1, 2));
    assert_eq!(world.sent(&mut ann, "in/a", "not for it"), Some(Ok(())));
    assert_eq!(world.sent(&mut ann, "out/a", "two"), Some(Ok(())));
    assert_eq!(read(&port, 1), [(1, "one".into()), (2, "two".into())]);
    assert_eq!(read(&port, 2), [(2, "two".into())]);

    let port = world.crash_forwarding(queue(QueueFullRule::Refuse));
    assert_eq!(bounds(&port), (1, 3));
    world.done(2, vec![]);
    assert_eq!(
        (bounds(&port), read(&port, 1)),
        ((2, 3), vec![(2, "two".into())])
    );
    world.done(3, vec![]);
    let port = world.crash_forwarding(queue(QueueFullRule::Refuse));
    assert_eq!(bounds(&port), (3, 3), "numbers are never given twice");
    assert_eq!(port.stats().messages.value(), 0);
}

#[test]
fn messages_of_qos_0_stay_here() {
    let (mut world, port) = World::forwarding(QueueFullRule::Refuse);
    let (mut ann, _) = world.connect("ann", true, 0);
    let publication = ordinary("ann", "out/a", "x", Qos::AtMostOnce, true);
    world.publish(&mut ann, publication);
    world.commit();
    assert_eq!(bounds(&port), (1, 1));
}

#[test]
fn a_full_queue_refuses_the_publisher_and_nobody_gets_it() {
    let (mut world, port) = World::forwarding(QueueFullRule::Refuse);
    let (mut ann, _) = world.connect("ann", true, 0);
    let verdicts: Vec<_> = ["1", "2", "3", "4"]
        .map(|text| world.sent(&mut ann, "out/a", text))
        .into();
    let ok = Some(Ok(()));
    assert_eq!(verdicts, [ok, ok, ok, Some(Err(Code::TooMany))]);
    assert_eq!((world.broadcasts.len(), read(&port, 1).len()), (3, 3));
    assert_eq!(port.stats().refused.value(), 1);
    world.done(2, vec![]);
    assert_eq!(world.sent(&mut ann, "out/a", "5"), ok);
}

#[test]
fn a_full_queue_drops_what_its_rule_says() {
    for (rule, kept) in [
        (QueueFullRule::DropOldest, ["2", "3", "4"]),
        (QueueFullRule::DropNewest, ["1", "2", "3"]),
    ] {
        let (mut world, port) = World::forwarding(rule);
        let (mut ann, _) = world.connect("ann", true, 0);
        for text in ["1", "2", "3", "4"] {
            assert_eq!(world.sent(&mut ann, "out/a", text), Some(Ok(())));
        }
        let too_large = "x".repeat(20_000);
        assert_eq!(world.sent(&mut ann, "out/a", &too_large), Some(Ok(())));
        let found: Vec<String> = read(&port, 1).into_iter().map(|(_, text)| text).collect();
        assert_eq!(found, kept, "{rule:?}");
        let stats = port.stats();
        let dropped = (stats.dropped_oldest.value(), stats.dropped_newest.value());
        let expected = match rule {
            QueueFullRule::DropOldest => (1, 1),
            _ => (0, 2),
        };
        assert_eq!(dropped, expected, "{rule:?}");
        assert_eq!(world.broadcasts.len(), 5, "others get everything");
    }
}

#[test]
fn what_the_other_side_will_not_have_is_kept_apart_up_to_a_bound() {
    let (mut world, port) = World::forwarding(QueueFullRule::Refuse);
    let (mut ann, _) = world.connect("ann", true, 0);
    for text in ["1", "2"] {
        world.sent(&mut ann, "out/a", text);
    }
    let entries = port.read(1, 10, 1 << 20).expect("readable");
    let letter = |entry: &ForwardEntry| DeadLetter {
        entry: entry.clone(),
        reason: "too_large",
    };
    world.done(2, vec![letter(&entries[0])]);
    assert_eq!((port.stats().dead.value(), read(&port, 1).len()), (1, 1));
    world.done(3, vec![letter(&entries[1])]);
    let stats = port.stats();
    assert_eq!((stats.dead.value(), stats.dead_forgotten.value()), (1, 1));
    let port = world.crash_forwarding(queue(QueueFullRule::Refuse));
    assert_eq!((port.stats().dead.value(), bounds(&port)), (1, (3, 3)));
}

#[test]
fn what_waits_for_a_bridge_that_is_not_configured_is_kept() {
    let (mut world, _port) = World::forwarding(QueueFullRule::Refuse);
    let (mut ann, _) = world.connect("ann", true, 0);
    world.sent(&mut ann, "out/a", "1");
    world.crash();
    world.pass(1_000);
    let port = world.crash_forwarding(queue(QueueFullRule::Refuse));
    assert_eq!(read(&port, 1), [(1, "1".into())]);
}
