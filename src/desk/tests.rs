//! Scenarios of the desk: a pure state machine, a store in memory, no threads.

mod command;
mod due;
mod groups;
mod keys;
mod limits;
mod replay;
mod replies;
mod root;
mod stall;
mod work;

use std::ops::ControlFlow;
use std::sync::Arc;

use super::core::Desk;
use super::port::{
    CloseReason, Connection, Delivery, Open, Publication, Request, Response, RetainHandling, Route,
    Stage, Subscription,
};
use super::{
    ClientLimits, DeskSettings, Interest, JournalLimits, Memory, Release, RetainedConfig,
    engine_records,
};
use crate::engine::{Engine, Settings};
use crate::ledger::{Batch, MemoryStore, Space, Store};
use crate::setting::Size;
use crate::wire::Millis;
use crate::wire::message::{Message, Parts, Qos};
use crate::wire::mirror::CommandMirrors;
use crate::wire::reply::Code;
use crate::wire::topic::{Admission, admit};

fn journal() -> JournalLimits {
    JournalLimits {
        keep: true,
        retention_ms: 1_000_000,
        max_bytes_per_room: 100_000,
        max_bytes: 1_000_000,
        max_rooms: 100,
        max_read_bytes: 100_000,
        rooms: std::collections::BTreeMap::new(),
    }
}

pub(super) fn settings() -> DeskSettings {
    DeskSettings {
        root: "rooms".into(),
        clients: ClientLimits {
            max_clients: 100,
            max_subscriptions: 10,
            max_mailbox_messages: 10,
            max_mailbox_bytes: 10_000,
            max_results: 10,
            max_result_bytes: 10_000,
            max_replies: 2,
            max_queued_messages: 8,
            max_queued_bytes: 10_000,
            max_backlog_bytes: 10_000,
            refuse_when_full: true,
        },
        retained: RetainedConfig {
            max_messages: 3,
            max_bytes: Size(10_000),
        },
        journal: journal(),
        memory: Memory::boundless(),
        gates: None,
        diary: Arc::default(),
        linger_ms: 20,
        patience_ms: 10_000,
    }
}

struct World {
    desk: Desk,
    store: MemoryStore,
    now: Millis,
    connections: u64,
    broadcasts: Vec<Message>,
    /// The user behind the next connection.
    owner: Option<Arc<str>>,
}

struct Peer {
    id: Arc<str>,
    connection: u64,
    responses: super::port::ResponseReceiver,
    packet_id: u16,
}

impl World {
    fn new() -> World {
        World::with(settings())
    }

    fn with(settings: DeskSettings) -> World {
        World::of(settings, Settings::default())
    }

    fn of(settings: DeskSettings, engine: Settings) -> World {
        let desk = Desk::new(
            settings,
            Engine::new(engine, 1),
            Arc::new(Interest::default()),
        );
        World {
            desk,
            store: MemoryStore::new(),
            now: 1_000_000,
            connections: 0,
            broadcasts: Vec::new(),
            owner: None,
        }
    }

    fn handle(&mut self, request: Request) {
        self.desk.handle(self.now, request);
    }

    /// Makes durable what is pending, and lets out what waits for it.
    fn commit(&mut self) {
        let pending = self.desk.seal(self.now);
        let number = pending.number;
        self.let_out(pending);
        self.desk.committed(number);
    }

    /// What the committer does with a batch; the desk does not know of it yet.
    fn let_out(&mut self, pending: super::Pending) {
        self.store
            .commit(&pending.records)
            .expect("memory takes everything");
        for release in pending.releases {
            match release {
                Release::Respond(connection, response) | Release::Unkept(connection, response) => {
                    drop(connection.responses.send(response));
                }
                Release::Broadcast(message) => self.broadcasts.push(message),
                Release::Answer(answer) => answer.send(),
                Release::Published(_) => {}
            }
        }
    }

    /// Kill -9: only what is in the store is left.
    fn crash(&mut self) {
        self.restart_with(settings());
    }

    fn restart_with(&mut self, settings: DeskSettings) {
        let records = engine_records(&self.store).expect("readable");
        let engine = Engine::recover(Settings::default(), 2, records).expect("readable");
        self.desk = Desk::new(settings, engine, Arc::new(Interest::default()));
        self.desk.recover(self.now, &self.store).expect("readable");
        self.broadcasts.clear();
        self.commit();
    }

    fn pass(&mut self, millis: u64) {
        self.now += millis;
        self.desk.tick(self.now);
        self.commit();
    }

    fn connect_as(&mut self, user: &str, id: &str, expiry: u32) -> (Peer, bool) {
        self.owner = Some(user.into());
        let connected = self.connect(id, false, expiry);
        self.owner = None;
        connected
    }

    fn is_refused(&mut self, user: &str, id: &str) -> bool {
        self.connections += 1;
        let (sender, mut responses) = super::port::responses();
        let open = Open {
            connection: Connection {
                id: self.connections,
                responses: sender,
                backlog: Arc::default(),
                published: Arc::default(),
            },
            client_id: id.into(),
            owner: Some(user.into()),
            gate: None,
            clean_start: true,
            expiry: 0,
            window: 2,
            will: None,
            will_delay: 0,
            will_expiry: None,
        };
        self.handle(Request::Open(Box::new(open)));
        self.commit();
        matches!(
            responses.try_recv(),
            Ok(Response::Close(CloseReason::NotOwner))
        )
    }

    fn connect(&mut self, id: &str, clean_start: bool, expiry: u32) -> (Peer, bool) {
        self.connect_with(id, clean_start, expiry, None, 0)
    }

    fn connect_with(
        &mut self,
        id: &str,
        clean_start: bool,
        expiry: u32,
        will: Option<Publication>,
        will_delay: u32,
    ) -> (Peer, bool) {
        let mut peer = self.dial(id, clean_start, expiry, will, will_delay);
        assert!(peer.next().is_none(), "nothing leaves before the commit");
        self.commit();
        match peer.next() {
            Some(Response::Opened {
                session_present, ..
            }) => (peer, session_present),
            other => panic!("expected Opened, got {other:?}"),
        }
    }

    /// Asks to be let in.
    fn dial(
        &mut self,
        id: &str,
        clean_start: bool,
        expiry: u32,
        will: Option<Publication>,
        will_delay: u32,
    ) -> Peer {
        self.connections += 1;
        let (sender, responses) = super::port::responses();
        let connection = Connection {
            id: self.connections,
            responses: sender,
            backlog: Arc::default(),
            published: Arc::default(),
        };
        let open = Open {
            owner: self.owner.clone(),
            gate: None,
            connection,
            client_id: id.into(),
            clean_start,
            expiry,
            window: 2,
            will,
            will_delay,
            will_expiry: None,
        };
        self.handle(Request::Open(Box::new(open)));
        Peer {
            id: id.into(),
            connection: self.connections,
            responses,
            packet_id: 0,
        }
    }

    fn subscribe(&mut self, peer: &mut Peer, filter: &str, qos: Qos) -> Vec<Message> {
        let subscription = Subscription {
            filter: filter.into(),
            qos,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::Always,
            id: None,
        };
        peer.packet_id += 1;
        let (connection, packet_id) = (peer.connection, peer.packet_id);
        self.handle(Request::Subscribe {
            connection,
            packet_id,
            subscriptions: vec![subscription],
        });
        self.commit();
        match peer.next() {
            Some(Response::Subscribed {
                results, retained, ..
            }) => {
                assert_eq!(results, [Ok(qos)]);
                retained.into_iter().map(|(_, message)| message).collect()
            }
            other => panic!("expected Subscribed, got {other:?}"),
        }
    }

    /// Publishes without committing.
    fn publish(&mut self, peer: &mut Peer, publication: Publication) -> u16 {
        peer.packet_id += 1;
        let (connection, packet_id) = (peer.connection, Some(peer.packet_id));
        self.handle(Request::Publish {
            connection,
            packet_id,
            publication,
        });
        peer.packet_id
    }

    fn acknowledge(&mut self, peer: &Peer, seq: u64, stage: Stage) {
        self.handle(Request::Acknowledge {
            connection: peer.connection,
            seq,
            stage,
        });
    }

    fn close(&mut self, peer: &Peer, publish_will: bool) {
        self.handle(Request::Close {
            connection: peer.connection,
            publish_will,
            why: "test",
            expiry: None,
        });
        self.commit();
    }

    fn rows(&self, space: Space) -> usize {
        let mut rows = 0;
        self.store
            .scan(space, &[], &mut |_, _| {
                rows += 1;
                ControlFlow::Continue(())
            })
            .expect("readable");
        rows
    }
}

impl Peer {
    fn next(&mut self) -> Option<Response> {
        self.responses.try_recv().ok()
    }

    fn deliveries(&mut self) -> Vec<Delivery> {
        let mut found = Vec::new();
        while let Some(response) = self.next() {
            if let Response::Deliver(delivery) = response {
                found.push(delivery);
            }
        }
        found
    }

    fn payloads(&mut self) -> Vec<String> {
        self.deliveries()
            .iter()
            .map(|d| String::from_utf8_lossy(&d.message.payload()).into_owned())
            .collect()
    }

    fn verdict(&mut self, expected: u16) -> Option<Result<(), Code>> {
        while let Some(response) = self.next() {
            let (packet_id, verdict) = match response {
                Response::Published {
                    packet_id, verdict, ..
                } => (packet_id, verdict),
                Response::NoRoom { packet_id, .. } => (packet_id, Err(Code::TooMany)),
                _ => continue,
            };
            assert_eq!(packet_id, expected);
            return Some(verdict);
        }
        None
    }
}

fn ordinary(publisher: &str, topic: &str, payload: &str, qos: Qos, retain: bool) -> Publication {
    let parts = Parts {
        topic,
        publisher,
        qos,
        retain,
        payload: payload.as_bytes(),
        ..Parts::default()
    };
    Publication {
        message: Message::encode(&parts),
        route: Route::Subscribers,
    }
}

fn to_room(publisher: &str, topic: &str, payload: &str) -> Publication {
    let message = ordinary(publisher, topic, payload, Qos::AtLeastOnce, false).message;
    let Admission::Desk(parsed) = admit("rooms", publisher, topic) else {
        panic!("{topic} should be admitted")
    };
    let from = crate::wire::name::Agent::new(publisher).expect("an agent id");
    let route = Route::Engine {
        from,
        topic: parsed,
        mirrors: CommandMirrors::default(),
    };
    Publication { message, route }
}

#[test]
fn an_ack_leaves_only_after_its_commit() {
    let mut world = World::new();
    let (mut ann, _) = world.connect("ann", true, 0);
    let id = world.publish(&mut ann, ordinary("ann", "a", "x", Qos::AtLeastOnce, true));
    assert!(ann.next().is_none());
    world.commit();
    assert_eq!(ann.verdict(id), Some(Ok(())));
    assert_eq!(world.rows(Space::Retained), 1);
}

#[test]
fn queue_of_a_durable_session_survives_a_crash_with_the_same_packet_ids() {
    let mut world = World::new();
    let (mut sub, _) = world.connect("sub", false, u32::MAX);
    world.subscribe(&mut sub, "a/#", Qos::AtLeastOnce);
    let (mut publisher, _) = world.connect("pub", true, 0);
    for n in 0..4 {
        world.publish(
            &mut publisher,
            ordinary("pub", "a/b", &n.to_string(), Qos::ExactlyOnce, false),
        );
    }
    world.commit();
    let before = sub.deliveries();
    let ids: Vec<_> = before.iter().map(|d| (d.packet_id, d.dup, d.qos)).collect();
    assert_eq!(
        ids,
        [
            (Some(1), false, Qos::AtLeastOnce),
            (Some(2), false, Qos::AtLeastOnce)
        ]
    );
    world.crash();
    let (mut sub, present) = world.connect("sub", false, u32::MAX);
    assert!(present);
    let again = sub.deliveries();
    assert_eq!(
        again.iter().map(|d| d.packet_id).collect::<Vec<_>>(),
        [Some(1), Some(2)]
    );
    assert!(again.iter().all(|d| d.dup));
    world.acknowledge(&sub, again[0].seq, Stage::Done);
    world.acknowledge(&sub, again[1].seq, Stage::Done);
    assert_eq!(
        sub.payloads(),
        ["2", "3"],
        "what is on disk already needs no further commit"
    );
}

#[test]
fn what_comes_after_a_crash_is_not_called_a_duplicate_after_the_next() {
    let mut world = World::new();
    let (mut sub, _) = world.connect("sub", false, u32::MAX);
    world.subscribe(&mut sub, "a/#", Qos::AtLeastOnce);
    let (mut publisher, _) = world.connect("pub", true, 0);
    world.publish(
        &mut publisher,
        ordinary("pub", "a/b", "before", Qos::AtLeastOnce, false),
    );
    world.commit();
    world.crash();
    let (sub, _) = world.connect("sub", false, u32::MAX);
    world.close(&sub, false);
    let (mut publisher, _) = world.connect("pub", true, 0);
    world.publish(
        &mut publisher,
        ordinary("pub", "a/b", "after", Qos::AtLeastOnce, false),
    );
    world.commit();
    world.crash();
    let (mut sub, _) = world.connect("sub", false, u32::MAX);
    let duplicates: Vec<bool> = sub.deliveries().iter().map(|d| d.dup).collect();
    assert_eq!(duplicates, [true, false]);
}

#[test]
fn what_comes_between_two_crashes_for_an_absent_client_was_never_sent() {
    for leaves in [true, false] {
        let mut world = World::new();
        let (mut sub, _) = world.connect("sub", false, u32::MAX);
        world.subscribe(&mut sub, "a/#", Qos::AtLeastOnce);
        let (mut publisher, _) = world.connect("pub", true, 0);
        for _ in 0..3 {
            let before = ordinary("pub", "a/b", "before", Qos::AtLeastOnce, false);
            world.publish(&mut publisher, before);
            world.commit();
            for delivery in sub.deliveries() {
                world.acknowledge(&sub, delivery.seq, Stage::Done);
            }
            world.commit();
        }
        if leaves {
            world.close(&sub, false);
        }
        world.crash();
        let (mut publisher, _) = world.connect("pub", true, 0);
        let between = ordinary("pub", "a/b", "between", Qos::AtLeastOnce, false);
        world.publish(&mut publisher, between);
        world.commit();
        world.crash();
        let (mut sub, present) = world.connect("sub", false, u32::MAX);
        assert!(present);
        let duplicates: Vec<bool> = sub.deliveries().iter().map(|d| d.dup).collect();
        assert_eq!(duplicates, [false], "left before: {leaves}");
    }
}

#[test]
fn session_of_a_version_that_did_not_note_what_was_sent_goes_on() {
    let mut world = World::new();
    let (mut sub, _) = world.connect("sub", false, u32::MAX);
    world.subscribe(&mut sub, "a/#", Qos::AtLeastOnce);
    world.close(&sub, false);
    world.commit();
    let mut header = Vec::from(60_u32.to_be_bytes());
    header.extend(world.now.to_be_bytes());
    let mut old = Batch::default();
    old.put(Space::Session, *b"sub\0h", header);
    world.store.commit(&old).expect("memory takes everything");
    world.crash();
    let (mut publisher, _) = world.connect("pub", true, 0);
    for payload in ["1", "2"] {
        let message = ordinary("pub", "a/b", payload, Qos::AtLeastOnce, false);
        world.publish(&mut publisher, message);
    }
    world.commit();
    let (mut sub, present) = world.connect("sub", false, u32::MAX);
    assert!(present);
    let taken: Vec<_> = sub.deliveries().iter().map(|d| (d.seq, d.dup)).collect();
    assert_eq!(taken, [(1, false), (2, false)]);
}

#[test]
fn qos_2_inbound_is_taken_once_across_a_crash() {
    let mut world = World::new();
    let (mut sub, _) = world.connect("sub", false, u32::MAX);
    world.subscribe(&mut sub, "a", Qos::ExactlyOnce);
    let (mut publisher, _) = world.connect("pub", false, u32::MAX);
    let message = ordinary("pub", "a", "once", Qos::ExactlyOnce, false);
    let packet_id = world.publish(&mut publisher, message.clone());
    world.commit();
    world.crash();
    let (mut publisher, _) = world.connect("pub", false, u32::MAX);
    publisher.packet_id = packet_id - 1;
    world.publish(&mut publisher, message);
    world.commit();
    assert_eq!(publisher.verdict(packet_id), Some(Ok(())));
    world.handle(Request::Release {
        connection: publisher.connection,
        packet_id,
    });
    assert!(
        publisher.next().is_none(),
        "PUBCOMP waits until the id is free on disk"
    );
    world.commit();
    assert!(matches!(publisher.next(), Some(Response::Released { .. })));
    assert_eq!(world.rows(Space::Inbound), 0);
    let (mut sub, _) = world.connect("sub", false, u32::MAX);
    assert_eq!(sub.payloads(), ["once"]);
}

#[test]
fn qos_2_outbound_is_never_sent_again_after_pubrec() {
    let mut world = World::new();
    let (mut sub, _) = world.connect("sub", false, u32::MAX);
    world.subscribe(&mut sub, "a", Qos::ExactlyOnce);
    let (mut publisher, _) = world.connect("pub", true, 0);
    world.publish(
        &mut publisher,
        ordinary("pub", "a", "x", Qos::ExactlyOnce, false),
    );
    world.commit();
    let seq = sub.deliveries()[0].seq;
    world.acknowledge(&sub, seq, Stage::Received);
    assert!(sub.next().is_none(), "PUBREL waits until PUBREC is on disk");
    world.commit();
    assert!(matches!(
        sub.next(),
        Some(Response::Release {
            packet_id: Some(1),
            ..
        })
    ));
    world.crash();
    let (mut sub, _) = world.connect("sub", false, u32::MAX);
    assert!(matches!(
        sub.next(),
        Some(Response::Release {
            packet_id: Some(1),
            ..
        })
    ));
    assert!(sub.payloads().is_empty());
    world.acknowledge(&sub, seq, Stage::Completed);
    world.pass(100);
    assert_eq!(world.rows(Space::Outbox), 0);
}

#[test]
fn take_over_closes_the_older_connection_and_ignores_it_from_then_on() {
    let mut world = World::new();
    let (mut old, _) = world.connect("ann", false, u32::MAX);
    let (mut new, present) = world.connect("ann", false, u32::MAX);
    assert!(present);
    assert!(matches!(
        old.next(),
        Some(Response::Close(CloseReason::TakenOver))
    ));
    world.publish(
        &mut old,
        ordinary("ann", "a", "late", Qos::AtLeastOnce, true),
    );
    world.close(&old, true);
    assert_eq!(world.rows(Space::Retained), 0);
    let id = world.publish(&mut new, ordinary("ann", "a", "x", Qos::AtLeastOnce, true));
    world.commit();
    assert_eq!(new.verdict(id), Some(Ok(())));
}

#[test]
fn clean_start_forgets_the_session_and_keeps_the_mailbox() {
    let mut world = World::new();
    let (mut bob, _) = world.connect("bob", false, u32::MAX);
    world.subscribe(&mut bob, "news", Qos::AtLeastOnce);
    world.close(&bob, false);
    let (mut ann, _) = world.connect("ann", true, 0);
    world.publish(
        &mut ann,
        ordinary("ann", "news", "broadcast", Qos::AtLeastOnce, false),
    );
    world.publish(
        &mut ann,
        to_room("ann", "rooms/lab/inbox/bob/ann", "for bob"),
    );
    world.commit();
    let (mut bob, present) = world.connect("bob", true, 0);
    assert!(!present);
    assert!(
        bob.payloads().is_empty(),
        "a mailbox waits for a subscription"
    );
    world.subscribe(&mut bob, "rooms/lab/inbox/bob/+", Qos::AtLeastOnce);
    assert_eq!(bob.payloads(), ["for bob"]);
}

#[test]
fn inbox_of_a_clean_session_waits_for_the_ack_across_reconnects_and_crashes() {
    let mut world = World::new();
    let (mut ann, _) = world.connect("ann", true, 0);
    let id = world.publish(&mut ann, to_room("ann", "rooms/lab/inbox/bob/ann", "hello"));
    world.commit();
    assert_eq!(ann.verdict(id), Some(Ok(())));
    for round in 0..3 {
        let (mut bob, _) = world.connect("bob", true, 0);
        world.subscribe(&mut bob, "rooms/lab/inbox/bob/#", Qos::AtLeastOnce);
        let delivery = &bob.deliveries()[0];
        assert_eq!(delivery.message.topic(), "rooms/lab/inbox/bob/ann");
        match round {
            0 => world.close(&bob, true),
            1 => world.crash(),
            _ => world.acknowledge(&bob, delivery.seq, Stage::Done),
        }
    }
    world.pass(100);
    let (mut bob, _) = world.connect("bob", true, 0);
    world.subscribe(&mut bob, "rooms/lab/inbox/bob/#", Qos::AtLeastOnce);
    assert!(bob.deliveries().is_empty());
}

#[test]
fn mail_for_nobodys_session_becomes_too_old_after_a_crash_too() {
    let mut world = World::new();
    let (mut ann, _) = world.connect("ann", true, 0);
    let mut letter = to_room("ann", "rooms/lab/inbox/bob/ann", "hello");
    if let Route::Engine { mirrors, .. } = &mut letter.route {
        mirrors.ttl_ms = Some(5_000);
    }
    world.publish(&mut ann, letter);
    world.commit();
    world.crash();
    world.pass(4_999);
    assert_eq!(world.rows(Space::Outbox), 1);
    world.pass(1);
    assert_eq!(world.rows(Space::Outbox), 0);
}

#[test]
fn retained_messages_reach_later_subscribers_and_survive_a_crash() {
    let mut world = World::new();
    let (mut ann, _) = world.connect("ann", true, 0);
    for (topic, payload) in [("s/1", "one"), ("s/2", "two"), ("s/1", "three")] {
        world.publish(
            &mut ann,
            ordinary("ann", topic, payload, Qos::AtLeastOnce, true),
        );
    }
    world.publish(&mut ann, ordinary("ann", "s/2", "", Qos::AtLeastOnce, true));
    world.commit();
    assert_eq!(world.broadcasts.len(), 4);
    world.crash();
    let (mut bob, _) = world.connect("bob", true, 0);
    let found = world.subscribe(&mut bob, "s/#", Qos::AtMostOnce);
    let found: Vec<_> = found
        .iter()
        .map(|m| (m.topic().to_owned(), m.payload()))
        .collect();
    assert_eq!(found, [("s/1".to_owned(), "three".into())]);
}

#[test]
fn full_retained_store_refuses_new_topics() {
    let mut world = World::new();
    let (mut ann, _) = world.connect("ann", true, 0);
    for n in 0..3 {
        world.publish(
            &mut ann,
            ordinary("ann", &format!("s/{n}"), "x", Qos::AtLeastOnce, true),
        );
    }
    world.commit();
    while ann.next().is_some() {}
    let id = world.publish(
        &mut ann,
        ordinary("ann", "s/3", "x", Qos::AtLeastOnce, true),
    );
    world.commit();
    assert_eq!(ann.verdict(id), Some(Err(Code::TooMany)));
}

#[test]
fn will_is_published_after_its_delay_unless_the_client_is_back() {
    let will = || {
        Some(ordinary(
            "ann",
            "wills/ann",
            "gone",
            Qos::AtLeastOnce,
            false,
        ))
    };
    let mut world = World::new();
    let (ann, _) = world.connect_with("ann", false, u32::MAX, will(), 10);
    world.close(&ann, true);
    world.pass(9_000);
    assert!(world.broadcasts.is_empty());
    let (ann, _) = world.connect_with("ann", false, u32::MAX, will(), 10);
    world.pass(60_000);
    assert!(world.broadcasts.is_empty());
    world.close(&ann, true);
    world.pass(10_000);
    assert_eq!(
        world
            .broadcasts
            .iter()
            .map(|m| m.topic().to_owned())
            .collect::<Vec<_>>(),
        ["wills/ann"]
    );
}

#[test]
fn session_ends_after_its_expiry_and_takes_its_records_along() {
    let mut world = World::new();
    let (mut sub, _) = world.connect("sub", false, 60);
    world.subscribe(&mut sub, "a", Qos::AtLeastOnce);
    let (mut ann, _) = world.connect("ann", true, 0);
    world.publish(&mut ann, ordinary("ann", "a", "x", Qos::AtLeastOnce, false));
    world.commit();
    world.close(&sub, false);
    world.pass(59_000);
    assert_eq!(
        (world.rows(Space::Session), world.rows(Space::Outbox)),
        (2, 1)
    );
    world.pass(1_000);
    assert_eq!(
        (world.rows(Space::Session), world.rows(Space::Outbox)),
        (0, 0)
    );
    let (_, present) = world.connect("sub", false, 60);
    assert!(!present);
}

#[test]
fn slow_connected_subscriber_holds_back_its_publishers_until_it_catches_up() {
    let mut world = World::new();
    let (mut sub, _) = world.connect("sub", false, u32::MAX);
    world.subscribe(&mut sub, "a", Qos::AtLeastOnce);
    let (mut ann, _) = world.connect("ann", true, 0);
    for _ in 0..4 {
        let id = world.publish(&mut ann, ordinary("ann", "a", "x", Qos::AtLeastOnce, false));
        world.commit();
        assert_eq!(ann.verdict(id), Some(Ok(())));
    }
    let held = world.publish(&mut ann, ordinary("ann", "a", "x", Qos::AtLeastOnce, false));
    world.commit();
    assert_eq!(ann.verdict(held), None, "half of the queue is full");
    for _ in 0..4 {
        for delivery in sub.deliveries() {
            world.acknowledge(&sub, delivery.seq, Stage::Done);
        }
        world.commit();
    }
    assert_eq!(ann.verdict(held), Some(Ok(())));
}

#[test]
fn slow_subscriber_with_a_tiny_queue_catches_up_too() {
    for max_queued_messages in 1..4 {
        let mut settings = settings();
        settings.clients.max_queued_messages = max_queued_messages;
        settings.clients.refuse_when_full = false;
        let mut world = World::with(settings);
        let (mut sub, _) = world.connect("sub", false, u32::MAX);
        world.subscribe(&mut sub, "a", Qos::AtLeastOnce);
        let (mut ann, _) = world.connect("ann", true, 0);
        let ids: Vec<u16> = (0..4)
            .map(|_| world.publish(&mut ann, ordinary("ann", "a", "x", Qos::AtLeastOnce, false)))
            .collect();
        world.commit();
        for _ in 0..4 {
            for delivery in sub.deliveries() {
                world.acknowledge(&sub, delivery.seq, Stage::Done);
            }
            world.commit();
        }
        for id in ids {
            assert_eq!(ann.verdict(id), Some(Ok(())), "{max_queued_messages}");
        }
    }
}

#[test]
fn subscriber_that_never_catches_up_is_disconnected_and_its_publishers_go_on() {
    let mut world = World::new();
    let (mut sub, _) = world.connect("sub", false, u32::MAX);
    world.subscribe(&mut sub, "a", Qos::AtLeastOnce);
    let (mut ann, _) = world.connect("ann", true, 0);
    for _ in 0..4 {
        let id = world.publish(&mut ann, ordinary("ann", "a", "x", Qos::AtLeastOnce, false));
        world.commit();
        assert_eq!(ann.verdict(id), Some(Ok(())));
    }
    let held = world.publish(&mut ann, ordinary("ann", "a", "x", Qos::AtLeastOnce, false));
    world.pass(9_999);
    assert_eq!(ann.verdict(held), None, "patience is not over");
    world.pass(1);
    assert_eq!(ann.verdict(held), Some(Ok(())));
    let told = std::iter::from_fn(|| sub.next());
    let closed =
        |response: &Response| matches!(response, Response::Close(CloseReason::QuotaExceeded));
    assert_eq!(told.filter(closed).count(), 1);
    for n in 5..10 {
        let id = world.publish(&mut ann, ordinary("ann", "a", "x", Qos::AtLeastOnce, false));
        world.commit();
        let verdict = if n < 8 { Ok(()) } else { Err(Code::TooMany) };
        assert_eq!(
            ann.verdict(id),
            Some(verdict),
            "nobody waits for who is away"
        );
    }
    let (mut sub, present) = world.connect("sub", false, u32::MAX);
    assert!(present, "its session goes on");
    assert_eq!(sub.deliveries().len(), 2, "as many as its window takes");
}

#[test]
fn timers_of_what_is_gone_do_not_pile_up() {
    let mut world = World::new();
    let (mut sub, _) = world.connect("sub", false, u32::MAX);
    world.subscribe(&mut sub, "a", Qos::AtLeastOnce);
    let (mut ann, _) = world.connect("ann", true, 0);
    for _ in 0..5_000 {
        let message = Message::encode(&Parts {
            topic: "a",
            publisher: "ann",
            qos: Qos::AtLeastOnce,
            expires_at: world.now + 86_400_000,
            ..Parts::default()
        });
        let publication = Publication {
            message,
            route: Route::Subscribers,
        };
        world.publish(&mut ann, publication);
        world.pass(1);
        for delivery in sub.deliveries() {
            world.acknowledge(&sub, delivery.seq, Stage::Done);
        }
        let (visitor, _) = world.connect("visitor", false, 3_600);
        world.close(&visitor, false);
    }
    assert!(
        world.desk.parts().timers.len() <= 1_100,
        "{}",
        world.desk.parts().timers.len()
    );
}

#[test]
fn one_subscribe_brings_no_more_copies_than_there_is_room_for() {
    let mut world = World::new();
    let (mut ann, _) = world.connect("ann", true, 0);
    for topic in ["a", "b", "c"] {
        world.publish(
            &mut ann,
            ordinary("ann", topic, "x", Qos::AtLeastOnce, true),
        );
        world.commit();
    }
    let (mut sub, _) = world.connect("sub", true, 0);
    let subscription = Subscription {
        filter: "#".into(),
        qos: Qos::AtMostOnce,
        no_local: false,
        retain_as_published: false,
        retain_handling: RetainHandling::Always,
        id: None,
    };
    world.handle(Request::Subscribe {
        connection: sub.connection,
        packet_id: 1,
        subscriptions: vec![subscription; 1_000],
    });
    world.commit();
    let Some(Response::Subscribed {
        results,
        retained,
        retained_room,
        ..
    }) = sub.next()
    else {
        panic!("expected Subscribed")
    };
    assert_eq!(retained_room, 1_036, "four times what there is, and some");
    assert_eq!(retained.len(), 345 * 3);
    let granted = results.iter().filter(|result| result.is_ok()).count();
    assert_eq!((granted, results.len()), (345, 1_000));
}

#[test]
fn no_delivery_overtakes_one_that_waits_for_the_disk() {
    let mut world = World::new();
    let (mut sub, _) = world.connect("sub", false, u32::MAX);
    world.subscribe(&mut sub, "a", Qos::AtLeastOnce);
    let (mut ann, _) = world.connect("ann", true, 0);
    for n in 0..4 {
        let word = n.to_string();
        world.publish(
            &mut ann,
            ordinary("ann", "a", &word, Qos::AtLeastOnce, false),
        );
    }
    let first = world.desk.seal(world.now);
    let number = first.number;
    // Acknowledged before the batch is known to be durable: the next delivery is held back with the batch after it.
    world.acknowledge(&sub, 1, Stage::Done);
    world.let_out(first);
    world.desk.committed(number);
    // By now the last one is on disk, and the one before it still waits.
    world.acknowledge(&sub, 2, Stage::Done);
    world.commit();
    assert_eq!(sub.payloads(), ["0", "1", "2", "3"]);
}

#[test]
fn what_waited_comes_before_what_the_return_brings_about() {
    let mut world = World::new();
    let (mut watcher, _) = world.connect("watcher", false, u32::MAX);
    world.subscribe(
        &mut watcher,
        "rooms/lab/observe/events/gateway/#",
        Qos::AtLeastOnce,
    );
    world.subscribe(&mut watcher, "news", Qos::AtLeastOnce);
    for delivery in watcher.deliveries() {
        world.acknowledge(&watcher, delivery.seq, Stage::Done);
    }
    world.close(&watcher, true);
    let (mut ann, _) = world.connect("ann", true, 0);
    world.publish(
        &mut ann,
        ordinary("ann", "news", "waited", Qos::AtLeastOnce, false),
    );
    world.commit();
    let (mut watcher, _) = world.connect("watcher", false, u32::MAX);
    let mut topics = Vec::new();
    loop {
        let deliveries = watcher.deliveries();
        if deliveries.is_empty() {
            break;
        }
        for delivery in deliveries {
            topics.push(delivery.message.topic().to_owned());
            world.acknowledge(&watcher, delivery.seq, Stage::Done);
        }
        world.commit();
    }
    let (news, last) = (topics.iter().position(|t| t == "news"), topics.len() - 1);
    assert!(
        news.is_some_and(|news| news < last),
        "the return itself is the last event: {topics:?}"
    );
}

#[test]
fn shared_group_gets_each_message_once() {
    let mut world = World::new();
    let (mut x, _) = world.connect("x", true, 0);
    let (mut y, _) = world.connect("y", true, 0);
    world.subscribe(&mut x, "$share/g/jobs/+", Qos::AtLeastOnce);
    world.subscribe(&mut y, "$share/g/jobs/+", Qos::AtMostOnce);
    let (mut ann, _) = world.connect("ann", true, 0);
    for n in 0..4 {
        world.publish(
            &mut ann,
            ordinary("ann", "jobs/1", &n.to_string(), Qos::AtLeastOnce, false),
        );
    }
    world.commit();
    assert_eq!(x.payloads(), ["0", "2"]);
    assert_eq!(y.payloads(), ["1", "3"]);
}

#[test]
fn what_a_member_without_a_lasting_session_had_in_a_crash_goes_to_one_that_has() {
    let mut world = World::new();
    let (mut lasting, _) = world.connect("lasting", false, u32::MAX);
    let (mut passing, _) = world.connect("passing", true, 0);
    for member in [&mut lasting, &mut passing] {
        world.subscribe(member, "$share/g/jobs/+", Qos::ExactlyOnce);
    }
    let (mut ann, _) = world.connect("ann", true, 0);
    let publish = |world: &mut World, ann: &mut Peer, payload, qos| {
        world.publish(ann, ordinary("ann", "jobs/1", payload, qos, false));
        world.commit();
    };
    for payload in ["0", "1"] {
        publish(&mut world, &mut ann, payload, Qos::AtLeastOnce);
    }
    for payload in ["2", "3"] {
        publish(&mut world, &mut ann, payload, Qos::ExactlyOnce);
    }
    assert_eq!(lasting.payloads(), ["0", "2"]);
    assert_eq!(passing.payloads(), ["1", "3"]);
    world.crash();
    let (mut lasting, present) = world.connect("lasting", false, u32::MAX);
    assert!(present);
    let taken = |lasting: &mut Peer| -> Vec<(u64, String, bool)> {
        let all = lasting.deliveries().into_iter().map(|one| {
            let payload = String::from_utf8_lossy(&one.message.payload()).into_owned();
            (one.seq, payload, one.dup)
        });
        all.collect()
    };
    let own = [(1, "0".to_owned(), true), (2, "2".to_owned(), true)];
    assert_eq!(taken(&mut lasting), own);
    world.acknowledge(&lasting, 1, Stage::Done);
    world.acknowledge(&lasting, 2, Stage::Received);
    world.acknowledge(&lasting, 2, Stage::Completed);
    world.commit();
    // What the other may have at QoS 2 is gone with it.
    assert_eq!(taken(&mut lasting), [(3, "1".to_owned(), false)]);
    world.acknowledge(&lasting, 3, Stage::Done);
    world.commit();
    assert_eq!(world.rows(Space::Outbox), 0);
}

#[test]
fn nobody_else_hears_directed_messages_but_watchers() {
    let mut world = World::new();
    let (mut ann, _) = world.connect("ann", true, 0);
    world.publish(
        &mut ann,
        to_room("ann", "rooms/lab/inbox/bob/ann", "secret"),
    );
    world.commit();
    let heard = |world: &World| {
        world
            .broadcasts
            .iter()
            .any(|m| m.topic().contains("/inbox/"))
    };
    assert!(!heard(&world));
    let (mut watcher, _) = world.connect("watcher", true, 0);
    world.subscribe(&mut watcher, "rooms/lab/inbox/#", Qos::AtMostOnce);
    world.publish(&mut ann, to_room("ann", "rooms/lab/inbox/bob/ann", "seen"));
    world.commit();
    assert!(heard(&world));
    assert_eq!(watcher.id.as_ref(), "watcher");
}

#[test]
fn a_later_session_does_not_get_an_assignment_that_was_cancelled_in_flight() {
    for crash in [false, true] {
        let mut world = World::new();
        let (mut worker, _) = world.connect("worker", true, 0);
        world.subscribe(
            &mut worker,
            "rooms/lab/handoff/work/draft",
            Qos::AtLeastOnce,
        );
        let (mut boss, _) = world.connect("boss", true, 0);
        let task = r#"{"id":"t1","type":"draft"}"#;
        world.publish(
            &mut boss,
            to_room("boss", "rooms/lab/handoff/dispatch/boss", task),
        );
        world.commit();
        assert_eq!(worker.deliveries().len(), 1, "the assignment");
        world.publish(
            &mut boss,
            to_room("boss", "rooms/lab/handoff/cancel/boss", r#"{"task":"t1"}"#),
        );
        world.commit();
        if crash {
            world.crash();
        } else {
            world.close(&worker, true);
        }
        let (mut worker, _) = world.connect("worker", true, 0);
        world.subscribe(
            &mut worker,
            "rooms/lab/handoff/work/draft",
            Qos::AtLeastOnce,
        );
        world.commit();
        assert_eq!(worker.payloads(), [] as [&str; 0], "crash: {crash}");
    }
}

#[test]
fn what_is_kept_under_a_client_id_is_its_users_until_nothing_is_left() {
    let mut world = World::new();
    let (ann, _) = world.connect_as("ann", "a", 60);
    assert!(world.is_refused("bob", "a"), "while she is connected");
    world.close(&ann, false);
    assert!(world.is_refused("bob", "a"), "while she is away");
    world.crash();
    assert!(world.is_refused("bob", "a"), "after a crash");
    world.pass(60_000);
    assert!(!world.is_refused("bob", "a"), "her session is over");
    assert_eq!(world.rows(Space::Session), 0, "and no owner is left behind");
}

#[test]
fn a_mailbox_without_a_session_keeps_its_owner_over_a_crash() {
    let mut world = World::new();
    let (ann, _) = world.connect_as("ann", "ann", 0);
    let (mut bob, _) = world.connect_as("bob", "bob", 0);
    let inbox = to_room("bob", "rooms/lab/inbox/ann/bob", "hello");
    world.publish(&mut bob, inbox);
    world.commit();
    world.close(&ann, false);
    world.crash();
    assert!(world.is_refused("bob", "ann"));
    let (_ann, present) = world.connect_as("ann", "ann", 0);
    assert!(!present);
}

#[test]
fn sessions_from_before_there_were_users_go_to_the_first_who_comes() {
    let mut world = World::new();
    let (before, _) = world.connect("a", false, 60);
    world.close(&before, false);
    world.crash();
    let (ann, present) = world.connect_as("ann", "a", 60);
    assert!(present);
    world.close(&ann, false);
    world.crash();
    assert!(world.is_refused("bob", "a"));
}
