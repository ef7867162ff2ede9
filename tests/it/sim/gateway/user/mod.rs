//! Users: each does a bit of everything, waits for what it is told, and writes it down.

mod ears;
mod plain;

use std::collections::BTreeMap;

use hallward::wire::Millis;
use hallward::wire::message::Qos;
use serde_json::{Value, json};

use super::super::dice::Dice;
use super::super::durable::ROOT;
use super::client::Client;
use super::history::{Kind, Op, What};
use super::network::Publish;
use plain::Reading;

const ROOM: &str = "alpha";
/// Closed and opened again and again: nothing here outlasts that, but everything ends.
const OTHER: &str = "beta";
/// The number of who comes when the trouble is over.
pub(super) const LATE: usize = 5;
/// The number of who hears everything outside the rooms.
pub(super) const EAR: usize = 6;
/// The numbers of a group's members.
pub(super) const MEMBERS: std::ops::Range<usize> = 7..10;
const KEYS: [&str; 2] = ["plan", "plan/a"];

/// What a command was for, until it is answered.
#[derive(Debug, Clone)]
enum Ask {
    Ends(Kind, String),
    /// With the key, where one is set.
    Board(usize, Option<String>),
    Lock,
    Fenced(u64),
    Purge(String),
    /// What waits for somebody.
    Look(u64, String),
    Room(&'static str),
    Other,
}

/// What a user has in mind for later.
#[derive(Debug, Clone)]
pub(super) enum Intent {
    Stroll,
    /// Ends a task's attempt.
    Finish(String, String, u64),
    /// Answers a call.
    Return(String, String),
    Decide(String, String),
    /// Says anew what it is there for: the room may have been closed.
    Greet,
    /// Sends somebody to see what is retained.
    Read,
    /// Has waited long enough for what is retained.
    Conclude,
    /// Says DISCONNECT.
    HangUp,
    /// Opens the other room for good.
    Open,
    /// Writes under a token and gives the lock back.
    Use(u64),
}

/// One user and its client.
pub(super) struct User {
    pub(super) client: Client,
    works: bool,
    provides: bool,
    is_root: bool,
    asks: BTreeMap<String, Ask>,
    letters: BTreeMap<String, u64>,
    serial: u64,
    /// Whether it has the lock, or will find out that it had it.
    holds: bool,
    board_ops: usize,
    /// By its token: which of them it is, and how often it left.
    board_sent: BTreeMap<String, (usize, u64)>,
    /// Versions that it has seen.
    seen: Vec<u64>,
    is_member: bool,
    /// What it is here for, if for nothing else.
    reading: Option<Reading>,
    /// What it wrote down since it was last asked.
    pub(super) notes: Vec<What>,
    pub(super) later: Vec<(Millis, Intent)>,
}

impl User {
    pub(super) fn new(number: usize, dice: &mut Dice) -> User {
        let is_root = number == 0;
        let name = match number {
            0 => "root".to_owned(),
            LATE => "late".to_owned(),
            EAR => return User::ear(dice),
            number if MEMBERS.contains(&number) => return User::member(number, dice),
            _ => format!("u{number}"),
        };
        let (works, provides) = (matches!(number, 1 | 2), matches!(number, 2 | 3));
        let mut filters = Vec::new();
        for room in [ROOM, OTHER] {
            let mine = [
                "reply",
                "handoff/result",
                "approve/decision",
                "tools/result",
            ];
            filters.extend(mine.map(|topic| format!("{ROOT}/{room}/{topic}/{name}")));
            filters.push(format!("{ROOT}/{room}/inbox/{name}/+"));
            filters.push(format!("{ROOT}/{room}/approve/pending/+"));
            filters.extend(works.then(|| format!("{ROOT}/{room}/handoff/work/draft")));
            filters.extend(provides.then(|| format!("{ROOT}/{room}/tools/run/echo")));
        }
        let qos = *dice.pick(&[Qos::AtLeastOnce, Qos::AtLeastOnce, Qos::ExactlyOnce]);
        let clean = dice.percent(35);
        User {
            client: Client::new(&name, clean, qos, filters),
            works,
            provides,
            is_root,
            asks: BTreeMap::new(),
            letters: BTreeMap::new(),
            serial: 0,
            holds: false,
            board_ops: 0,
            board_sent: BTreeMap::new(),
            seen: vec![0],
            is_member: false,
            reading: None,
            notes: Vec::new(),
            later: Vec::new(),
        }
    }

    fn name(&self) -> &str {
        &self.client.name
    }

    /// What it still waits for.
    pub(super) fn waits_for(&self) -> Option<String> {
        let ask = self.asks.iter().next();
        ask.map(|ask| format!("{} waits for {ask:?}", self.name()))
    }

    fn say(&mut self, room: &str, command: &str, body: &Value, dice: &mut Dice) {
        let qos = *dice.pick(&[Qos::AtLeastOnce, Qos::AtLeastOnce, Qos::ExactlyOnce]);
        self.client.publish(Publish {
            qos,
            topic: format!("{ROOT}/{room}/{command}"),
            payload: body.to_string().into(),
            ..Publish::default()
        });
    }

    /// Says something under an id of its own, and waits for the reply.
    fn ask(&mut self, room: &str, command: &str, mut body: Value, ask: Ask, dice: &mut Dice) {
        self.serial += 1;
        let token = format!("q-{}-{}", self.name(), self.serial);
        if body.get("id").is_none() {
            body["id"] = json!(token);
        }
        body["correlationId"] = json!(token);
        if let Ask::Board(n, _) = &ask {
            self.board_sent.insert(token.clone(), (*n, 0));
        }
        self.asks.insert(token, ask);
        self.say(room, command, &body, dice);
    }

    pub(super) fn opened(&mut self, dice: &mut Dice) {
        self.notes.push(What::Opened);
        self.greet(ROOM, dice);
        self.greet(OTHER, dice);
    }

    fn greet(&mut self, room: &str, dice: &mut Dice) {
        let me = self.name().to_owned();
        if self.provides {
            let tool =
                json!({"description": "says it again", "inputSchema": {}, "idempotent": true});
            self.say(room, &format!("tools/register/{me}/echo"), &tool, dice);
        }
        if self.works {
            let capacity = json!({"capacity": dice.between(1, 3)});
            self.say(room, &format!("presence/announce/{me}"), &capacity, dice);
        }
    }

    pub(super) fn act(&mut self, now: Millis, intent: Intent, names: &[String], dice: &mut Dice) {
        let me = self.name().to_owned();
        match intent {
            Intent::Stroll => self.stroll(names, dice),
            Intent::Greet => self.greet(OTHER, dice),
            Intent::Conclude => self.is_sure_of_nothing(),
            Intent::Read | Intent::HangUp => {}
            Intent::Open => self.say(OTHER, &format!("room/open/{me}"), &json!({}), dice),
            Intent::Finish(room, task, attempt) => {
                let (status, yes) =
                    dice.weighted(&[(80, ("success", true)), (20, ("error", false))]);
                self.serial += 1;
                let id = format!("u-{me}-{}", self.serial);
                let mut update =
                    json!({"task": task, "attempt": attempt, "status": status, "id": id});
                if !yes {
                    update["error"] = json!({"message": "it would not"});
                }
                self.word(Kind::Task, task, yes);
                self.say(&room, &format!("handoff/update/{me}"), &update, dice);
            }
            Intent::Return(room, call) => {
                self.serial += 1;
                let id = format!("r-{me}-{}", self.serial);
                let body = json!({"call": call, "status": "success", "result": 1, "id": id});
                self.word(Kind::Call, call, true);
                self.say(&room, &format!("tools/return/{me}"), &body, dice);
            }
            Intent::Decide(room, id) => {
                let (decision, yes) =
                    dice.weighted(&[(60, ("approve", true)), (40, ("no", false))]);
                let body = json!({"decision": decision});
                self.word(Kind::Approval, id.clone(), yes);
                self.say(&room, &format!("approve/decide/{me}/{id}"), &body, dice);
            }
            Intent::Use(token) => {
                let body = json!({"value": token, "fence": {"lock": "press", "token": token}});
                let _ = now;
                self.ask(
                    ROOM,
                    &format!("blackboard/set/{me}/guarded"),
                    body,
                    Ask::Fenced(token),
                    dice,
                );
            }
        }
    }

    fn word(&mut self, kind: Kind, id: String, yes: bool) {
        self.notes.push(What::Word { kind, id, yes });
    }

    #[expect(
        clippy::too_many_lines,
        reason = "one choice among many, each a line or two"
    )]
    fn stroll(&mut self, names: &[String], dice: &mut Dice) {
        let me = self.name().to_owned();
        self.serial += 1;
        let serial = self.serial;
        let room = if dice.percent(25) { OTHER } else { ROOM };
        match dice.below(100) {
            0 => self.later.push((1, Intent::HangUp)),
            1..=2 => self.later.push((1, Intent::Greet)),
            3..=5 if self.is_root => {
                let what = dice.pick(&["close", "open"]);
                let ask = Ask::Room(what);
                self.ask(OTHER, &format!("room/{what}/{me}"), json!({}), ask, dice);
            }
            6..=29 => {
                for _ in 0..dice.weighted(&[(80, 1), (14, 6), (6, 30)]) {
                    self.write_letter(&me, names, dice);
                }
            }
            30..=39 => {
                let id = format!("t-{me}-{serial}");
                let task = json!({"id": id, "type": "draft", "leaseMs": dice.between(200, 1_500), "maxAttempts": 3,
                    "backoff": {"initialMs": 20, "factor": 2.0, "maxMs": 100}});
                self.ask(
                    room,
                    &format!("handoff/dispatch/{me}"),
                    task,
                    Ask::Ends(Kind::Task, id),
                    dice,
                );
            }
            40..=46 => {
                let id = format!("a-{me}-{serial}");
                let request =
                    json!({"id": id, "action": "print", "timeoutMs": dice.between(200, 3_000)});
                self.ask(
                    room,
                    &format!("approve/request/{me}"),
                    request,
                    Ask::Ends(Kind::Approval, id),
                    dice,
                );
            }
            47..=54 => {
                let id = format!("c-{me}-{serial}");
                let call = json!({"id": id, "arguments": {"n": serial}, "timeoutMs": dice.between(50, 2_000)});
                let name = format!("{me}/{id}");
                self.ask(
                    room,
                    &format!("tools/call/{me}/echo"),
                    call,
                    Ask::Ends(Kind::Call, name),
                    dice,
                );
            }
            55..=62 if !self.holds && !self.asks.values().any(|ask| matches!(ask, Ask::Lock)) => {
                let mut lock = json!({"ttlMs": dice.between(100, 1_500)});
                if dice.percent(70) {
                    lock["waitMs"] = json!(dice.between(50, 1_500));
                }
                self.ask(
                    ROOM,
                    &format!("blackboard/lock/{me}/press"),
                    lock,
                    Ask::Lock,
                    dice,
                );
            }
            63..=66 if !self.is_root => {
                let whose = dice.pick(names).clone();
                let list = json!({"kind": "inbox"});
                let command = match whose == me && dice.percent(50) {
                    true => format!("mailbox/list/{me}"),
                    false => format!("mailbox/list/{me}/{whose}"),
                };
                self.ask(ROOM, &command, list, Ask::Look(serial, whose), dice);
            }
            63..=66 => {
                let whose = dice.pick(names).clone();
                self.notes.push(What::Purges {
                    whose: whose.clone(),
                });
                let purge = json!({"kind": "inbox"});
                self.ask(
                    ROOM,
                    &format!("mailbox/purge/{me}/{whose}"),
                    purge,
                    Ask::Purge(whose),
                    dice,
                );
            }
            67..=69 => self.post(&me, dice),
            70..=74 => match dice.percent(60) {
                true => self.write_down(&me, dice),
                false => self.later.push((1, Intent::Read)),
            },
            75..=99 if !self.asks.values().any(|ask| matches!(ask, Ask::Board(..))) => {
                self.use_board(&me, serial, dice);
            }
            _ => {}
        }
    }

    fn write_letter(&mut self, me: &str, names: &[String], dice: &mut Dice) {
        let to = dice.pick(names).clone();
        let count = self.letters.entry(to.clone()).or_default();
        *count += 1;
        // As many bytes as its number: so a list tells which one it is.
        let number = usize::try_from(*count).expect("few");
        let payload = format!("{number:0number$}");
        let waits_for_long = to == names[LATE];
        let expiry = dice.maybe(if waits_for_long { 50 } else { 15 }, |dice| {
            *dice.pick(&[1, 2, 3, 600])
        });
        // Within one stream one QoS: at two, one may overtake the other.
        let qos = [Qos::AtLeastOnce, Qos::ExactlyOnce][usize::from(to.len() % 2 == me.len() % 2)];
        let topic = format!("{ROOT}/{ROOM}/inbox/{to}/{me}");
        self.client.publish(Publish {
            qos,
            topic,
            payload: payload.into(),
            expiry,
            ..Publish::default()
        });
    }

    fn use_board(&mut self, me: &str, serial: u64, dice: &mut Dice) {
        self.board_ops += 1;
        let n = self.board_ops;
        let value = format!("{me}-{serial}");
        let condition = |seen: &[u64], dice: &mut Dice| {
            dice.maybe(50, |dice| *dice.pick(&seen[seen.len().saturating_sub(3)..]))
        };
        let key = (*dice.pick(&KEYS)).to_owned();
        let at = condition(&self.seen, dice);
        let (command, body, op) = match dice.below(10) {
            0..=2 => (
                format!("blackboard/get/{me}"),
                json!({"prefix": "plan"}),
                Op::Read,
            ),
            3..=6 => {
                let mut body = json!({"value": value});
                if let Some(at) = at {
                    body["ifVersion"] = json!(at);
                }
                let parts = vec![(key.clone(), at, Some(value))];
                (format!("blackboard/set/{me}/{key}"), body, Op::Write(parts))
            }
            7 => {
                let mut body = json!({});
                if let Some(at) = at {
                    body["ifVersion"] = json!(at);
                }
                let parts = vec![(key.clone(), at, None)];
                (
                    format!("blackboard/delete/{me}/{key}"),
                    body,
                    Op::Write(parts),
                )
            }
            _ => {
                let ops: Vec<Value> = KEYS
                    .iter()
                    .map(|key| json!({"op": "set", "key": key, "value": value}))
                    .collect();
                let mut ops = ops;
                if let Some(at) = at {
                    ops[0]["ifVersion"] = json!(at);
                }
                let parts = vec![
                    (KEYS[0].to_owned(), at, Some(value.clone())),
                    (KEYS[1].to_owned(), None, Some(value)),
                ];
                (
                    format!("blackboard/txn/{me}"),
                    json!({"ops": ops}),
                    Op::Write(parts),
                )
            }
        };
        let set = match &op {
            Op::Write(parts) if parts.len() == 1 && parts[0].2.is_some() => Some(key),
            _ => None,
        };
        self.notes.push(What::Invoked { n, op });
        self.ask(ROOM, &command, body, Ask::Board(n, set), dice);
    }
}
