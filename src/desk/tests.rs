//! Scenarios of the desk: a pure state machine, a store in memory, no threads.

mod command;
mod commits;
mod due;
mod forward;
mod keys;
mod limits;
mod mailbox;
mod owners;
mod qos2;
mod recovery;
mod replay;
mod replies;
mod retained;
mod root;
mod session;
mod shared;
mod slow;
mod stall;
mod wills;
mod work;

use std::ops::ControlFlow;
use std::sync::Arc;

use super::core::Desk;
use super::port::{
    CloseReason, Connection, Delivery, OpenRequest, Publication, Request, Response, RetainHandling,
    Route, Stage, Subscription,
};
use super::{
    ClientLimits, DeskSettings, InterestIndex, JournalLimits, MemoryBudget, Release,
    RetainedConfig, engine_records,
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
        memory: MemoryBudget::boundless(),
        authorizers: None,
        log_limiter: Arc::default(),
        linger_ms: 20,
        slow_consumer_timeout_ms: 10_000,
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
            Arc::new(InterestIndex::default()),
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
                Release::Respond(connection, response)
                | Release::NonDurable(connection, response) => {
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
        self.desk = Desk::new(settings, engine, Arc::new(InterestIndex::default()));
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
        let open = OpenRequest {
            connection: Connection {
                id: self.connections,
                responses: sender,
                backlog: Arc::default(),
                published: Arc::default(),
            },
            client_id: id.into(),
            owner: Some(user.into()),
            authorizer: None,
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
        let open = OpenRequest {
            owner: self.owner.clone(),
            authorizer: None,
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
