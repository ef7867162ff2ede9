//! Scenarios of the sender: what it does about each thing that another broker can do.

mod model;

use super::*;
use crate::wire::message::{Message, Parts, Qos};

const SECOND: u64 = 1_000;

fn settings() -> SenderSettings {
    SenderSettings {
        window: 4,
        window_bytes: 100_000,
        read_ahead: 1 << 20,
        rate: 0,
        limits: PacketLimits {
            max_topic: 20,
            max_slashes: 2,
            max_payload: 1_000,
            max_packet: 1_200,
        },
        connect_timeout_ms: 10 * SECOND,
        ack_timeout_ms: 30 * SECOND,
        backoff: BackoffSettings {
            initial_ms: SECOND,
            max_ms: 60 * SECOND,
            refused_ms: 60 * SECOND,
            stable_ms: 60 * SECOND,
        },
        seed: 1,
    }
}

fn grant() -> ConnectGrant {
    ConnectGrant {
        receive_maximum: 100,
        max_packet: 1 << 20,
        retain: true,
        keep_alive_ms: 30 * SECOND,
    }
}

fn entry(seq: u64, topic: &str, payload: usize) -> ForwardEntry {
    ForwardEntry {
        seq,
        at: 0,
        message: Message::encode(&Parts {
            topic,
            qos: Qos::AtLeastOnce,
            payload: &vec![b'x'; payload],
            ..Parts::default()
        }),
    }
}

struct Scene {
    sender: BridgeSender,
    stats: Arc<BridgeStats>,
    now: Millis,
    sent: Vec<u64>,
    dead: Vec<(u64, &'static str)>,
    done: u64,
    connects: u32,
}

impl Scene {
    /// Connected, with so many messages to send.
    fn connected(settings: SenderSettings, entries: Vec<ForwardEntry>) -> Scene {
        let stats = Arc::<BridgeStats>::default();
        let next = entries.last().map_or(1, |entry| entry.seq + 1);
        let bounds = ForwardBounds { first: 1, next };
        let mut scene = Scene {
            sender: BridgeSender::new(settings, bounds, stats.clone()),
            stats,
            now: 1_000_000,
            sent: Vec::new(),
            dead: Vec::new(),
            done: 1,
            connects: 0,
        };
        scene.sender.tick(scene.now);
        scene.steps();
        scene.sender.filled(scene.now, entries, next);
        scene.connect();
        scene
    }

    fn connect(&mut self) {
        self.sender.connected(self.now, grant());
        self.steps();
    }

    fn steps(&mut self) {
        while let Some(step) = self.sender.poll() {
            match step {
                SenderStep::Connect => self.connects += 1,
                SenderStep::Send { entry, .. } => self.sent.push(entry.seq),
                SenderStep::Finish { done, dead } => {
                    self.done = done;
                    let dead = dead.into_iter();
                    self.dead
                        .extend(dead.map(|one| (one.entry.seq, one.reason)));
                }
                SenderStep::Disconnect | SenderStep::Read { .. } => {}
            }
        }
    }

    fn ack(&mut self, seq: u64) {
        self.sender.acked(self.now, seq);
        self.steps();
    }

    fn nack(&mut self, seq: u64, code: u8) {
        self.sender.nacked(self.now, seq, code);
        self.steps();
    }

    fn cut(&mut self, cause: CutCause) {
        self.sender.cut(self.now, cause);
        self.steps();
    }

    /// Goes to when something is due; how long that took.
    fn wait(&mut self) -> u64 {
        let at = self.sender.poll_timeout().expect("something is due");
        let waited = at.saturating_sub(self.now);
        self.now = self.now.max(at);
        self.sender.tick(self.now);
        self.steps();
        waited
    }

    /// Comes back after a connection was lost.
    fn reconnect(&mut self) -> u64 {
        let (before, mut waited) = (self.connects, 0);
        while self.connects == before {
            waited += self.wait();
        }
        self.connect();
        waited
    }

    fn take_sent(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.sent)
    }
}

fn ten() -> Vec<ForwardEntry> {
    (1..=10).map(|seq| entry(seq, "a", 10)).collect()
}

#[test]
fn the_window_bounds_what_is_on_its_way_and_acknowledgements_move_it() {
    let mut scene = Scene::connected(settings(), ten());
    assert_eq!(scene.take_sent(), [1, 2, 3, 4]);
    scene.ack(2);
    assert_eq!(scene.done, 1, "the first is not done");
    assert_eq!(scene.take_sent(), [0; 0], "packet ids never collide");
    scene.ack(1);
    assert_eq!((scene.done, scene.take_sent()), (3, vec![5, 6]));
}

#[test]
fn receive_maximum_and_bytes_bound_it_too_and_a_large_message_goes_alone() {
    let few = SenderSettings {
        window_bytes: 140,
        ..settings()
    };
    let mut entries = ten();
    entries[1] = entry(2, "a", 500);
    let mut scene = Scene::connected(few, entries);
    assert_eq!(scene.take_sent(), [1]);
    scene.ack(1);
    assert_eq!(scene.take_sent(), [2], "larger than the window, alone");
    scene.ack(2);
    assert_eq!(scene.take_sent(), [3, 4, 5]);
}

#[test]
fn what_is_unacknowledged_goes_again_first_and_in_order() {
    let mut scene = Scene::connected(settings(), ten());
    scene.ack(1);
    scene.take_sent();
    scene.cut(CutCause::Network);
    assert_eq!(scene.done, 2);
    let waited = scene.reconnect();
    assert!((SECOND..=3 * SECOND).contains(&waited), "{waited}");
    assert_eq!(scene.take_sent(), [2, 3, 4, 5], "no more than the window");
}

#[test]
fn a_broker_that_says_nothing_is_left() {
    let mut scene = Scene::connected(settings(), Vec::new());
    assert_eq!(scene.wait(), 45 * SECOND);
    assert_eq!(scene.stats.cuts.of(CutCause::Silent).value(), 1);
    assert!(!scene.sender.is_connected());
}

#[test]
fn an_acknowledgement_that_does_not_come_ends_the_connection() {
    let mut scene = Scene::connected(settings(), ten());
    scene.take_sent();
    for _ in 0..4 {
        scene.now += 10 * SECOND;
        scene.sender.heard(scene.now);
        scene.sender.tick(scene.now);
        scene.steps();
    }
    assert_eq!(scene.stats.cuts.of(CutCause::AckTimeout).value(), 1);
    scene.reconnect();
    assert_eq!(scene.take_sent(), [1, 2, 3, 4]);
    assert_eq!(scene.dead, [], "nobody says that the message is to blame");
}

#[test]
fn connack_that_does_not_come_is_not_awaited_for_ever() {
    let mut scene = Scene::connected(settings(), Vec::new());
    scene.cut(CutCause::Network);
    scene.wait();
    assert_eq!(scene.connects, 2);
    assert_eq!(scene.wait(), 10 * SECOND);
    assert_eq!(scene.stats.cuts.of(CutCause::ConnectTimeout).value(), 1);
}

#[test]
fn refusals_wait_longer() {
    for cause in [CutCause::Refused, CutCause::TakenOver] {
        let mut scene = Scene::connected(settings(), Vec::new());
        scene.cut(cause);
        assert!(scene.reconnect() >= 60 * SECOND, "{cause:?}");
    }
}

#[test]
fn a_refusal_that_does_not_pass_is_a_dead_letter_and_the_others_go_on() {
    for (code, reason) in [
        (0x87, "not_authorized"),
        (0x90, "topic_refused"),
        (0x95, "message_refused"),
        (0x99, "message_refused"),
        (0x9A, "message_refused"),
        (0x9B, "message_refused"),
    ] {
        let mut scene = Scene::connected(settings(), ten());
        scene.nack(1, code);
        assert_eq!(scene.dead, [(1, reason)]);
        assert_eq!((scene.done, scene.take_sent()), (2, vec![1, 2, 3, 4, 5]));
    }
}

#[test]
fn a_quota_is_waited_for_and_nothing_overtakes() {
    let mut scene = Scene::connected(settings(), ten());
    assert_eq!(scene.take_sent(), [1, 2, 3, 4]);
    for _ in 0..10 {
        scene.nack(1, 0x97);
        for seq in 2..=4 {
            scene.ack(seq);
        }
        assert_eq!(scene.take_sent(), [0; 0]);
        while scene.sent.is_empty() {
            scene.now += SECOND;
            scene.sender.heard(scene.now);
            scene.sender.tick(scene.now);
            scene.steps();
        }
        assert_eq!(scene.take_sent(), [1]);
    }
    scene.ack(1);
    assert_eq!((scene.dead, scene.sent), (vec![], vec![5, 6, 7, 8]));
}

#[test]
fn an_unclear_refusal_is_tried_three_times() {
    let mut scene = Scene::connected(settings(), vec![entry(1, "a", 1)]);
    for _ in 0..2 {
        scene.nack(1, 0x83);
        assert_eq!(scene.dead, []);
        scene.wait();
    }
    scene.nack(1, 0x83);
    assert_eq!(
        (scene.dead, scene.sent),
        (vec![(1, "refused")], vec![1, 1, 1])
    );
}

#[test]
fn what_the_other_broker_closes_at_goes_alone_and_then_no_more() {
    let mut scene = Scene::connected(settings(), ten());
    assert_eq!(scene.take_sent(), [1, 2, 3, 4]);
    for _ in 0..2 {
        scene.cut(CutCause::Closed);
        assert_eq!(scene.dead, []);
        scene.reconnect();
        assert_eq!(scene.take_sent(), [1]);
    }
    scene.cut(CutCause::Closed);
    assert_eq!(scene.dead, [(1, "closes")]);
    scene.reconnect();
    assert_eq!((scene.done, scene.take_sent()), (2, vec![2, 3, 4, 5]));
}

#[test]
fn one_that_was_only_near_when_it_closed_is_not_to_blame() {
    let mut scene = Scene::connected(settings(), ten());
    scene.take_sent();
    for _ in 0..9 {
        scene.cut(CutCause::Closed);
        scene.reconnect();
        let alone = scene.take_sent();
        assert_eq!(alone.len(), 1);
        scene.ack(alone[0]);
        scene.take_sent();
    }
    assert_eq!((scene.dead, scene.done), (vec![], 10));
}

#[test]
fn what_cannot_be_taken_is_not_sent() {
    let entries = vec![
        entry(1, "a/b/c/d", 1),
        entry(2, &"t".repeat(21), 1),
        entry(3, "a", 1_001),
        entry(4, "a", 1),
    ];
    let scene = Scene::connected(settings(), entries);
    let dead = [
        (1, "topic_too_long"),
        (2, "topic_too_long"),
        (3, "too_large"),
    ];
    assert_eq!((&scene.dead[..], &scene.sent[..]), (&dead[..], &[4][..]));
}

#[test]
fn what_has_expired_is_dropped_when_it_is_due() {
    let mut late = entry(1, "a", 1);
    late.message = Message::encode(&Parts {
        expires_at: 1_000_000,
        ..late.message.parts()
    });
    let scene = Scene::connected(settings(), vec![late, entry(2, "a", 1)]);
    assert_eq!((scene.done, scene.stats.expired.value()), (2, 1));
    assert_eq!(scene.sent, [2]);
}

#[test]
fn what_the_queue_has_dropped_is_not_sent() {
    let mut scene = Scene::connected(settings(), ten());
    scene.take_sent();
    let bounds = ForwardBounds { first: 8, next: 11 };
    scene.sender.bounds(scene.now, bounds);
    scene.steps();
    for seq in 1..=4 {
        scene.ack(seq);
    }
    assert_eq!(scene.take_sent(), [8, 9, 10]);
}

#[test]
fn a_rate_is_kept() {
    let slow = SenderSettings {
        rate: 2,
        window: 100,
        ..settings()
    };
    let mut scene = Scene::connected(slow, ten());
    let begun = scene.now;
    while scene.sent.len() < 10 {
        scene.sender.heard(scene.now);
        scene.wait();
    }
    let took = scene.now - begun;
    assert!((4_000..=5_000).contains(&took), "{took}");
}
