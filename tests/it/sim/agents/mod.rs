//! The agents: who they are, what they remember, and how they talk to the gateway.
//!
//! An agent never sees the desk. It is woken, it is handed letters, and it answers with [`Doing`]s
//! that the world carries out. What it sends waits in its outbox until it is acknowledged and is
//! sent again after every reconnect (QoS 1), except what it sends without an id: that is sent once
//! (QoS 0), because a repeat would be another command.

mod approver;
mod dispatcher;
mod operator;
mod smith;
mod worker;
mod writer;

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use hallward::engine::{Command, DirectedKind};
use hallward::wire::Millis;
use hallward::wire::cbor;
use hallward::wire::json;
use hallward::wire::mirror::CommandMirrors;
use hallward::wire::name::{Agent, CommandId, Key, Room};
use hallward::wire::observe::Replay;
use hallward::wire::presence::{Announcement, Encoding, PresenceList};
use hallward::wire::question::{AnswerCall, AnswerTask};
use hallward::wire::topic::{Offer, RoomTopic, Topic};

use super::agenda::LinkId;
use super::dice::Dice;
use super::durable::{Durable, Letter, ROOT};

pub(super) use approver::Approver;
pub(super) use dispatcher::Dispatcher;
pub(super) use operator::Operator;
pub(super) use smith::{Errand, Smith};
pub(super) use worker::{Job, Worker};
pub(super) use writer::{KEYS, Writer};

/// What an agent has in mind.
#[derive(Debug)]
pub(super) enum Intent {
    /// Do something that its role does.
    Stroll,
    /// Go on with a task.
    Work(Job),
    /// Go on with a call.
    Run(Errand),
    /// Come back into a room that one left.
    Return(Room),
    /// Open a room that one closed.
    Open(Room),
    /// Go on with the walk whose last command this was.
    Walk(CommandId),
    /// Answer what a worker asked.
    Answer(Room, Box<AnswerTask>),
    /// Answer what a provider asked.
    Tell(Room, Box<AnswerCall>),
}

/// What an agent does.
#[derive(Debug)]
pub(super) enum Doing {
    /// Publish. `repeatable` ones carry an id: QoS 1.
    Publish { command: Command, repeatable: bool },
    /// SUBSCRIBE.
    Offer(Offer),
    /// UNSUBSCRIBE.
    Withdraw(Offer),
    /// Publish where only the gateway may.
    Trespass(Room),
    /// Think again after so many milliseconds.
    Later(Millis, Intent),
    /// Break the connection, and come back after so many milliseconds.
    HangUp { back_after: Millis },
}

/// What an agent sends.
#[derive(Debug, Clone)]
pub(super) enum Content {
    Publish { command: Command, repeatable: bool },
    Subscribe(Offer),
    Unsubscribe(Offer),
    Trespass(Room),
}

/// Something sent and not yet acknowledged.
#[derive(Debug, Clone)]
pub(super) struct Packet {
    pub(super) number: u64,
    pub(super) content: Content,
}

/// What an agent may look at when it acts.
pub(super) struct Ctx<'a> {
    pub(super) me: &'a Agent,
    pub(super) rooms: &'a [Room],
    pub(super) dice: &'a mut Dice,
    /// The retained messages, as an agent that subscribes now would see them.
    pub(super) durable: &'a Durable,
    /// Everybody else.
    pub(super) others: &'a [Agent],
    /// Whether the time of trouble is over: finish what there is and start nothing.
    pub(super) calm: bool,
    /// What it speaks, and what it asks to be spoken to in.
    tongue: Tongue,
    pub(super) wants: Option<Encoding>,
    /// What it does.
    pub(super) doings: Vec<Doing>,
    /// Whether it also says what runs of early seeds did not know.
    pub(super) asks_more: bool,
    serial: &'a mut u64,
}

impl Ctx<'_> {
    /// A fresh id that nobody else mints.
    pub(super) fn mint(&mut self, kind: &str) -> String {
        *self.serial += 1;
        format!("{kind}-{}-{}", self.me, self.serial)
    }

    /// One of the agent's rooms.
    pub(super) fn room(&mut self) -> Room {
        self.dice.pick(self.rooms).clone()
    }

    /// One of its rooms where it is not shown.
    pub(super) fn missing_from(&self) -> Option<Room> {
        let mut rooms = self.rooms.iter();
        let missing = rooms.find(|room| {
            let agent = self.me.clone();
            let topic = RoomTopic::new((*room).clone(), Topic::PresenceAgent { agent });
            !self.durable.retained.contains_key(&topic.format(ROOT))
        });
        missing.cloned()
    }

    pub(super) fn later(&mut self, after: Millis, intent: Intent) {
        self.doings.push(Doing::Later(after, intent));
    }

    /// Announces itself in all its rooms.
    pub(super) fn announce(&mut self, announcement: &Announcement) {
        for room in self.rooms {
            let me = self.me.clone();
            let topic = Topic::PresenceAnnounce { me };
            let _ = self.publish(room, topic, announcement, false);
        }
    }

    /// Publishes a message of the wire's on a topic of a room.
    pub(super) fn publish<T: serde::Serialize>(
        &mut self,
        room: &Room,
        topic: Topic,
        body: &T,
        repeatable: bool,
    ) -> Command {
        self.publish_bytes(room, topic, json::encode(body), repeatable)
    }

    /// Publishes anything.
    pub(super) fn publish_bytes(
        &mut self,
        room: &Room,
        topic: Topic,
        payload: Bytes,
        repeatable: bool,
    ) -> Command {
        let command = self.command(room, topic, payload);
        self.again(command.clone(), repeatable);
        command
    }

    fn command(&mut self, room: &Room, topic: Topic, payload: Bytes) -> Command {
        let is_cbor = match self.tongue {
            _ if matches!(topic, Topic::Inbox { .. }) => false,
            Tongue::Json => false,
            Tongue::Cbor => true,
            Tongue::Both => self.dice.percent(50),
        };
        // What is no JSON object stays what it is.
        let is_cbor = is_cbor && payload.first() == Some(&b'{');
        let payload = match is_cbor {
            true => cbor::from_json(&payload),
            false => payload,
        };
        Command {
            from: self.me.clone(),
            user: None,
            topic: RoomTopic::new(room.clone(), topic),
            payload,
            mirrors: CommandMirrors {
                correlation_id: self
                    .dice
                    .maybe(10, |dice| format!("mqtt-{}", dice.below(1000))),
                reply_rest: self
                    .dice
                    .maybe(5, |_| Key::new("mine/here").expect("a key")),
                is_cbor: is_cbor && self.dice.percent(50),
                ..CommandMirrors::default()
            },
        }
    }

    /// Spells a command in another way, or has it say something else under its id.
    pub(super) fn respell(&mut self, command: &mut Command, otherwise: bool) {
        let json = match cbor::is_map(&command.payload) {
            true => cbor::to_json(&command.payload).expect("it was JSON"),
            false => command.payload.to_vec(),
        };
        let mut said: serde_json::Value = serde_json::from_slice(&json).expect("it is JSON");
        said["traceparent"] = self.mint("trace").into();
        if otherwise {
            let field = *self.dice.pick(&["payload", "reason", "unheard-of"]);
            said[field] = self.mint("otherwise").into();
        }
        let json = serde_json::to_vec_pretty(&said).expect("it is JSON");
        command.payload = match self.dice.percent(30) {
            true => cbor::from_json(&json),
            false => json.into(),
        };
        command.mirrors.is_cbor = false;
    }

    /// Publishes what was published before.
    pub(super) fn again(&mut self, command: Command, repeatable: bool) {
        self.doings.push(Doing::Publish {
            command,
            repeatable,
        });
    }
}

/// What an agent speaks.
#[derive(Debug, Clone, Copy)]
enum Tongue {
    Json,
    Cbor,
    /// Now this, now that.
    Both,
}

/// What an agent is there for.
pub(super) enum Role {
    Dispatcher(Dispatcher),
    Worker(Worker),
    Writer(Writer),
    Approver(Approver),
    Smith(Smith),
    Operator(Operator),
}

/// One agent and its connection.
pub(super) struct Participant {
    pub(super) name: Agent,
    pub(super) rooms: Vec<Room>,
    pub(super) role: Role,
    tongue: Tongue,
    wants: Option<Encoding>,
    /// Letters that it takes before it has acknowledged others (MQTT 5: the Receive Maximum).
    pub(super) window: usize,
    /// Whether its session outlives its connection.
    pub(super) persistent: bool,
    /// Whether it comes back by itself after a crash of the gateway.
    pub(super) faithful: bool,
    /// The connection that it has, or had last.
    pub(super) link: LinkId,
    pub(super) connected: bool,
    pub(super) outbox: VecDeque<Packet>,
    /// When the last packet and the last letter under way arrive: nothing overtakes.
    pub(super) last_arrival: Millis,
    pub(super) last_delivery: Millis,
    /// Every letter that it has read: its mailbox number and what it was.
    pub(super) read: BTreeMap<u64, Letter>,
    packets: u64,
    pub(super) asks_more: bool,
    serial: u64,
}

impl Participant {
    pub(super) fn new(name: Agent, rooms: Vec<Room>, role: Role, dice: &mut Dice) -> Participant {
        let is_small = matches!(&role, Role::Worker(worker) if worker.is_small());
        let window = dice.weighted(&[(75, usize::MAX), (15, 3), (10, 1)]);
        Participant {
            name,
            rooms,
            role,
            tongue: dice.weighted(&[(60, Tongue::Json), (30, Tongue::Cbor), (10, Tongue::Both)]),
            wants: dice.maybe(25, |dice| *dice.pick(&[Encoding::Json, Encoding::Cbor])),
            window: if is_small { 1 } else { window },
            persistent: dice.percent(50),
            faithful: dice.percent(85),
            link: 0,
            connected: false,
            outbox: VecDeque::new(),
            last_arrival: 0,
            last_delivery: 0,
            read: BTreeMap::new(),
            packets: 0,
            asks_more: false,
            serial: 0,
        }
    }

    /// Puts a packet into the outbox and tells its number.
    pub(super) fn enqueue(&mut self, content: Content) -> u64 {
        self.packets += 1;
        self.outbox.push_back(Packet {
            number: self.packets,
            content,
        });
        self.packets
    }

    pub(super) fn packet(&self, number: u64) -> Option<&Packet> {
        self.outbox.iter().find(|packet| packet.number == number)
    }

    /// Forgets what does not survive the connection.
    pub(super) fn disconnected(&mut self) {
        self.connected = false;
        self.link += 1;
        self.outbox.retain(|packet| {
            matches!(
                packet.content,
                Content::Publish {
                    repeatable: true,
                    ..
                }
            )
        });
    }

    /// The subscriptions that it wants to have.
    pub(super) fn wants(&self) -> Vec<Offer> {
        match &self.role {
            Role::Worker(worker) => worker.wants(&self.rooms),
            Role::Smith(smith) => smith.wants(&self.rooms),
            Role::Operator(_) if self.asks_more => Operator::wants(&self.rooms),
            _ => self.rooms.iter().cloned().map(Offer::Joins).collect(),
        }
    }

    /// What it does right after it connected and subscribed.
    pub(super) fn greet(&mut self, resumed: bool, ctx: Surroundings<'_>) -> Vec<Doing> {
        self.act(ctx, |role, ctx| match role {
            Role::Worker(worker) => worker.greet(resumed, ctx),
            Role::Approver(approver) => approver.greet(ctx),
            Role::Smith(smith) => smith.greet(resumed, ctx),
            Role::Operator(_) if ctx.asks_more => Operator::greet(ctx),
            _ => {}
        })
    }

    pub(super) fn wake(&mut self, intent: Intent, ctx: Surroundings<'_>) -> Vec<Doing> {
        self.act(ctx, |role, ctx| match (role, intent) {
            (Role::Worker(worker), Intent::Work(job)) => worker.go_on(job, ctx),
            (Role::Worker(worker), Intent::Return(room)) => worker.come_back(&room, ctx),
            (Role::Smith(smith), Intent::Run(errand)) => smith.go_on(errand, ctx),
            (Role::Smith(smith), Intent::Return(room)) => smith.come_back(&room, ctx),
            (Role::Operator(operator), Intent::Open(room)) => operator.open(&room, ctx),
            (Role::Operator(_), Intent::Return(room)) => Operator::come_back(&room, ctx),
            (Role::Operator(operator), Intent::Walk(id)) => operator.keep_walking(&id, ctx),
            (Role::Smith(_), Intent::Tell(room, answer)) => Smith::tell(&room, &answer, ctx),
            (Role::Dispatcher(dispatcher), Intent::Answer(room, answer)) => {
                dispatcher.answer(&room, &answer, ctx);
            }
            (
                _,
                Intent::Work(_)
                | Intent::Run(_)
                | Intent::Return(_)
                | Intent::Open(_)
                | Intent::Walk(_)
                | Intent::Answer(..)
                | Intent::Tell(..),
            ) => {}
            (role, Intent::Stroll) => {
                if !ctx.calm {
                    stroll(role, ctx);
                    let pause = ctx.dice.between(50, 900);
                    ctx.later(pause, Intent::Stroll);
                }
            }
        })
    }

    /// Reads a letter; the same one may come again.
    pub(super) fn receive(&mut self, letter: Letter, ctx: Surroundings<'_>) -> Vec<Doing> {
        let doings = self.act(ctx, |role, ctx| match (role, &letter.class) {
            (Role::Worker(worker), Some(DirectedKind::Assignment(_))) => {
                worker.receive(&letter, ctx)
            }
            (Role::Dispatcher(_), Some(DirectedKind::Result)) => Dispatcher::receive(&letter, ctx),
            (Role::Smith(_), Some(DirectedKind::ToolResult)) => Smith::hear(&letter, ctx),
            (Role::Smith(smith), Some(DirectedKind::Run(_))) => smith.receive(&letter, ctx),
            (Role::Operator(_), Some(DirectedKind::Assignment(_))) => {
                Operator::salvage(&letter, ctx)
            }
            (Role::Operator(operator), Some(DirectedKind::Reply | DirectedKind::Refusal)) => {
                operator.receive(&letter, ctx)
            }
            _ => {}
        });
        self.read.insert(letter.number, letter);
        doings
    }

    fn act(
        &mut self,
        around: Surroundings<'_>,
        f: impl FnOnce(&mut Role, &mut Ctx<'_>),
    ) -> Vec<Doing> {
        let mut ctx = Ctx {
            me: &self.name,
            rooms: &self.rooms,
            dice: around.dice,
            durable: around.durable,
            others: around.others,
            calm: around.calm,
            tongue: self.tongue,
            wants: self.wants,
            doings: Vec::new(),
            asks_more: self.asks_more,
            serial: &mut self.serial,
        };
        f(&mut self.role, &mut ctx);
        ctx.doings
    }
}

/// What the world lends to an agent that acts.
pub(super) struct Surroundings<'a> {
    pub(super) dice: &'a mut Dice,
    pub(super) durable: &'a Durable,
    pub(super) others: &'a [Agent],
    pub(super) calm: bool,
}

fn stroll(role: &mut Role, ctx: &mut Ctx<'_>) {
    match ctx.dice.below(100) {
        0..=5 => chat(ctx),
        6..=7 => mumble(ctx),
        8..=9 => look_back(ctx),
        10 => look_around(ctx),
        11..=12 => {
            let back_after = ctx
                .dice
                .weighted(&[(60, 200), (20, 1_000), (10, 1_900), (10, 4_000)]);
            ctx.doings.push(Doing::HangUp { back_after });
        }
        _ => match role {
            Role::Dispatcher(dispatcher) => dispatcher.stroll(ctx),
            Role::Worker(worker) => worker.stroll(ctx),
            Role::Writer(writer) => writer.stroll(ctx),
            Role::Approver(approver) => approver.stroll(ctx),
            Role::Smith(smith) => smith.stroll(ctx),
            Role::Operator(operator) => operator.stroll(ctx),
        },
    }
}

/// An inbox message to somebody, present or not.
fn chat(ctx: &mut Ctx<'_>) {
    let room = ctx.room();
    let to = ctx.dice.pick(ctx.others).clone();
    let me = ctx.me.clone();
    let words = ctx.dice.weighted(&[(8, 1), (1, 30)]);
    let brief = ctx.dice.percent(40);
    for word in 0..words {
        let topic = Topic::Inbox {
            to: to.clone(),
            me: me.clone(),
        };
        // To whom it may concern: what begins as a CBOR map is no word about what its sender
        // speaks.
        let words = match ctx.dice.percent(10) {
            true => Bytes::from_static(&[0xa0]),
            false => format!("word {word}").into(),
        };
        let mut command = ctx.command(&room, topic, words);
        if brief {
            let moment = ctx.dice.weighted(&[(1, 0), (60, 500), (40, 3_000)]);
            command.mirrors.ttl_ms = Some(ctx.dice.below(moment + 1));
        }
        ctx.again(command, false);
    }
}

/// Who is here, or was?
fn look_around(ctx: &mut Ctx<'_>) {
    let room = ctx.room();
    let asked = PresenceList {
        departed: ctx.dice.percent(30),
        limit: ctx
            .dice
            .maybe(50, |dice| u32::try_from(dice.between(1, 5)).expect("small")),
        correlation_id: Some(ctx.mint("around")),
        ..PresenceList::default()
    };
    let me = ctx.me.clone();
    let _ = ctx.publish(&room, Topic::PresenceList { me }, &asked, true);
}

/// What happened before?
fn look_back(ctx: &mut Ctx<'_>) {
    let room = ctx.room();
    let since = ctx
        .dice
        .maybe(20, |dice| 1_700_000_000_000 + dice.below(25_000));
    let asked = Replay {
        from_seq: ctx
            .dice
            .maybe(60, |dice| dice.below(600))
            .filter(|_| since.is_none()),
        since,
        until: ctx
            .dice
            .maybe(20, |dice| 1_700_000_000_000 + dice.below(30_000)),
        filter: ctx.dice.maybe(30, |dice| {
            let filters = [
                "observe/events/gateway/handoff",
                "observe/events/+/presence",
                "observe/#",
            ];
            (*dice.pick(&filters)).to_owned()
        }),
        limit: ctx.dice.maybe(50, |dice| {
            u32::try_from(dice.between(1, 50)).expect("small")
        }),
        correlation_id: Some(ctx.mint("back")),
    };
    let me = ctx.me.clone();
    let _ = ctx.publish(&room, Topic::ObserveReplay { me }, &asked, true);
}

/// Something that no gateway understands.
fn mumble(ctx: &mut Ctx<'_>) {
    let room = ctx.room();
    let me = ctx.me.clone();
    if ctx.dice.percent(20) {
        ctx.doings.push(Doing::Trespass(room));
        return;
    }
    let (topic, words): (Topic, &'static [u8]) = match ctx.dice.below(4) {
        0 => (Topic::HandoffDispatch { me }, b"{\"type\":"),
        1 => (Topic::HandoffUpdate { me }, b"{\"task\":17}"),
        2 if ctx.dice.percent(50) => (Topic::ApproveRequest { me }, b"[]"),
        2 => (Topic::ApproveRequest { me }, b"\xa1\x61"),
        _ => {
            let key = Key::new("plan").expect("a key");
            (Topic::BlackboardSet { me, key }, b"plain words")
        }
    };
    let _ = ctx.publish_bytes(&room, topic, Bytes::from_static(words), false);
}
