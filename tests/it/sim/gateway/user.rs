//! Users: each does a bit of everything, waits for what it is told, and writes it down.

use std::collections::BTreeMap;

use hallward::wire::Millis;
use hallward::wire::message::Qos;
use hallward::wire::topic::{RoomTopic, Topic};
use serde_json::{Value, json};

use super::super::dice::Dice;
use super::super::durable::ROOT;
use super::client::Client;
use super::history::{Arrival, Kind, Op, Outcome, What};
use super::network::Publish;

const ROOM: &str = "alpha";
/// Closed and opened again and again: nothing here outlasts that, but everything ends.
const OTHER: &str = "beta";
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
    /// What it wrote down since it was last asked.
    pub(super) notes: Vec<What>,
    pub(super) later: Vec<(Millis, Intent)>,
}

impl User {
    pub(super) fn new(number: usize, dice: &mut Dice) -> User {
        let is_root = number == 0;
        let name = if is_root {
            "root".to_owned()
        } else {
            format!("u{number}")
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
        self.client
            .publish(qos, format!("{ROOT}/{room}/{command}"), body.to_string());
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

    fn stroll(&mut self, names: &[String], dice: &mut Dice) {
        let me = self.name().to_owned();
        self.serial += 1;
        let serial = self.serial;
        let room = if dice.percent(25) { OTHER } else { ROOM };
        match dice.below(100) {
            0..=2 => self.later.push((1, Intent::Greet)),
            3..=5 if self.is_root => {
                let what = dice.pick(&["close", "open"]);
                let ask = Ask::Room(*what);
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
            63..=66 if self.is_root => {
                let whose = dice.pick(names).clone();
                let purge = json!({"kind": "inbox"});
                self.ask(
                    ROOM,
                    &format!("mailbox/purge/{me}/{whose}"),
                    purge,
                    Ask::Purge(whose),
                    dice,
                );
            }
            67..=99 if !self.asks.values().any(|ask| matches!(ask, Ask::Board(..))) => {
                self.use_board(&me, serial, dice);
            }
            _ => {}
        }
    }

    fn write_letter(&mut self, me: &str, names: &[String], dice: &mut Dice) {
        let to = dice.pick(names).clone();
        let count = self.letters.entry(to.clone()).or_default();
        *count += 1;
        let payload = count.to_string();
        // Within one stream one QoS: at two, one may overtake the other.
        let qos = [Qos::AtLeastOnce, Qos::ExactlyOnce][usize::from(to.len() % 2 == me.len() % 2)];
        let topic = format!("{ROOT}/{ROOM}/inbox/{to}/{me}");
        self.client.publish(qos, topic, payload);
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

    /// A publish leaves.
    pub(super) fn leaves(&mut self, publish: &Publish) {
        let body: Value = serde_json::from_str(&publish.payload).unwrap_or_default();
        let token = body["correlationId"].as_str().unwrap_or_default();
        if let Some((n, copies)) = self.board_sent.get_mut(token) {
            if *copies > 0 {
                self.notes.push(What::Repeated { n: *n });
            }
            *copies += 1;
        }
        if let Some((to, _)) = letter_of(&publish.topic)
            && let Ok(n) = publish.payload.parse()
        {
            let qos = publish.qos.level();
            self.notes.push(What::Sent { to, n, qos });
        }
    }

    /// A publish was taken or refused.
    pub(super) fn answered(&mut self, topic: &str, payload: &str, taken: bool) {
        if let Some((to, _)) = letter_of(topic)
            && let Ok(n) = payload.parse()
        {
            self.notes.push(match taken {
                true => What::Taken { to, n },
                false => What::Full { to, n },
            });
        }
    }

    /// A message arrives.
    pub(super) fn hears(&mut self, now: Millis, publish: &Publish, dice: &mut Dice) {
        let how = Arrival {
            qos: publish.qos.level(),
            dup: publish.dup,
            clean: self.client.clean,
        };
        let Some(Ok(RoomTopic { room, topic })) = RoomTopic::parse(ROOT, &publish.topic) else {
            return;
        };
        let room = room.to_string();
        let body: Value = serde_json::from_str(&publish.payload).unwrap_or_default();
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let pause = dice.between(1, 300);
        match topic {
            Topic::Inbox { me: from, .. } => {
                let n = publish.payload.parse().unwrap_or_default();
                let from = from.to_string();
                self.notes.push(What::Got { from, n, how });
            }
            Topic::Reply { .. } => self.told(now, &body, dice),
            Topic::HandoffWork { .. } => {
                let attempt = body["attempt"].as_u64().unwrap_or_default();
                if dice.percent(85) {
                    self.later
                        .push((pause, Intent::Finish(room, text("task"), attempt)));
                }
            }
            Topic::ToolsRun { .. } if dice.percent(85) => {
                self.later.push((pause, Intent::Return(room, text("call"))));
            }
            Topic::ApprovePending { id } => {
                let mine = text("requester") == self.name();
                if !mine && !publish.payload.is_empty() && dice.percent(40) {
                    self.later
                        .push((pause, Intent::Decide(room, id.to_string())));
                }
            }
            Topic::HandoffResult { .. } => {
                let yes = text("status") == "succeeded";
                self.ended(Kind::Task, text("task"), yes, &publish.payload, how);
            }
            Topic::ApproveDecision { .. } => {
                let yes = body["approved"] == json!(true);
                self.ended(Kind::Approval, text("id"), yes, &publish.payload, how);
            }
            Topic::ToolsResult { .. } => {
                let yes = text("status") == "success";
                self.ended(Kind::Call, text("call"), yes, &publish.payload, how);
            }
            _ => {}
        }
    }

    fn ended(&mut self, kind: Kind, id: String, yes: bool, words: &str, how: Arrival) {
        let words = words.to_owned();
        self.notes.push(What::Ended {
            kind,
            id,
            yes,
            words,
            how,
        });
    }

    /// A reply arrives; the same one may come again.
    fn told(&mut self, now: Millis, reply: &Value, dice: &mut Dice) {
        let token = reply["correlationId"].as_str().unwrap_or_default();
        let Some(ask) = self.asks.remove(token) else {
            return;
        };
        let accepted = reply["status"] == json!("accepted");
        match ask {
            Ask::Ends(kind, id) if accepted => self.notes.push(What::Asked { kind, id }),
            Ask::Purge(whose) if accepted => {
                let count = reply["data"]["purged"].as_u64().unwrap_or_default();
                self.notes.push(What::Purged { whose, count });
            }
            Ask::Board(n, key) => {
                let outcome = self.outcome(reply, accepted, key);
                self.notes.push(What::Answered { n, outcome });
            }
            Ask::Lock if accepted => {
                let token = reply["lock"]["token"].as_u64().unwrap_or_default();
                let until = reply["lock"]["expiresAt"].as_u64().unwrap_or_default();
                self.holds = true;
                self.notes.push(What::Locked { token, until });
                let pause = dice.between(1, until.saturating_sub(now).max(2) / 2 + 100);
                self.later.push((pause, Intent::Use(token)));
            }
            Ask::Fenced(token) => {
                let version = reply["version"].as_u64().filter(|_| accepted);
                self.notes.push(What::Fenced { token, version });
                // From the moment at which it says so it does not hold the lock any more.
                self.notes.push(What::Unlocked { token });
                self.holds = false;
                let me = self.name().to_owned();
                let unlock = json!({"token": token});
                self.ask(
                    ROOM,
                    &format!("blackboard/unlock/{me}/press"),
                    unlock,
                    Ask::Other,
                    dice,
                );
            }
            Ask::Room(what) if accepted => self.notes.push(What::Room(what)),
            Ask::Room(_) | Ask::Ends(..) | Ask::Purge(_) | Ask::Lock | Ask::Other => {}
        }
    }

    fn outcome(&mut self, reply: &Value, accepted: bool, key: Option<String>) -> Outcome {
        if !accepted {
            return Outcome::Refused;
        }
        if let Some(entries) = reply["data"]["entries"].as_array() {
            let entry = |entry: &Value| {
                let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
                (
                    text("key"),
                    (entry["version"].as_u64().unwrap_or_default(), text("value")),
                )
            };
            let found: BTreeMap<_, _> = entries.iter().map(entry).collect();
            self.seen
                .extend(found.values().map(|(version, _)| *version));
            return Outcome::Found(found);
        }
        let mut written = BTreeMap::new();
        for one in reply["versions"].as_array().into_iter().flatten() {
            let key = one["key"].as_str().unwrap_or_default().to_owned();
            written.insert(key, one["version"].as_u64().unwrap_or_default());
        }
        self.seen.extend(written.values());
        if let (Some(version), Some(key)) = (reply["version"].as_u64(), key) {
            self.seen.push(version);
            written.insert(key, version);
        }
        Outcome::Written(written)
    }
}

/// To whom and from whom, if it is somebody's inbox.
fn letter_of(topic: &str) -> Option<(String, String)> {
    match RoomTopic::parse(ROOT, topic)?.ok()?.topic {
        Topic::Inbox { to, me } => Some((to.to_string(), me.to_string())),
        _ => None,
    }
}
