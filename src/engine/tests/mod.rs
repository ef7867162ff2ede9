//! Scenarios: the engine driven as the desk drives it, in virtual time.

mod approve;
mod blackboard;
mod crash;
mod deliveries;
mod dependencies;
mod encoding;
mod fit;
mod giving_back;
mod handoff;
mod inbox;
mod limits;
mod list;
mod machines;
mod observe;
mod presence;
mod random;
mod reconfigure;
mod replies;
mod rooms;
mod tools;

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::setting::{Size, ms};
use crate::wire::Millis;
use crate::wire::approve::Decision;
use crate::wire::handoff::{Assignment, TaskResult, TaskState, TaskView};
use crate::wire::mirror::CommandMirrors;
use crate::wire::name::{Agent, Room};
use crate::wire::observe::Event;
use crate::wire::presence::Presence;
use crate::wire::reply::{Code, Reply};
use crate::wire::topic::{Offer, RoomTopic, Topic};

use super::{
    AssignmentKey, Command, Create, Directed, DirectedKind, Effect, Engine, EventLogError,
    EventRange, Input, Mailboxes, Past, Recall, Recalled, RoomConfig, Settings, TaskCounts, Timer,
    Verdict,
};

const ROOT: &str = "rooms";
const START: Millis = 1_000_000;

/// Mailboxes that take everything, except where a test says how much they take.
#[derive(Default)]
struct FakeMailboxes {
    free_messages: BTreeMap<Agent, usize>,
    free_bytes: BTreeMap<Agent, usize>,
    free_results: BTreeMap<Agent, usize>,
    free_result_bytes: BTreeMap<Agent, usize>,
    past: FakePast,
    /// Calls whose runs wait for their acknowledgement.
    unacknowledged: Vec<String>,
}

/// Every event, but for those that a test has it forget.
#[derive(Default)]
struct FakePast {
    events: Vec<Event>,
    is_busy: bool,
}

impl FakePast {
    fn of(&self, room: &Room) -> impl Iterator<Item = &Event> {
        self.events.iter().filter(move |event| event.room == *room)
    }
}

impl Past for FakePast {
    fn kept(&self, room: &Room) -> Option<EventRange> {
        let oldest = self.of(room).next()?;
        Some(EventRange {
            oldest: oldest.seq,
            newest: self.of(room).last()?.seq,
            lost_at: if oldest.seq > 1 { oldest.at } else { 0 },
        })
    }

    fn near(&self, room: &Room, at: Millis) -> Result<u64, EventLogError> {
        let first = self.of(room).find(|event| event.at >= at);
        Ok(first.map_or(u64::MAX, |event| event.seq))
    }

    fn read(&self, room: &Room, from: u64, visit: Recall<'_>) -> Result<(), EventLogError> {
        if self.is_busy {
            return Err(EventLogError::Busy);
        }
        for event in self.of(room).filter(|event| event.seq >= from) {
            let recalled = Recalled {
                seq: event.seq,
                at: event.at,
                category: event.what.split('.').next().unwrap(),
                payload: &crate::wire::json::encode(event),
            };
            if visit(recalled).is_break() {
                break;
            }
        }
        Ok(())
    }
}

impl Mailboxes for FakeMailboxes {
    fn free_messages(&self, agent: &Agent) -> usize {
        self.free_messages.get(agent).copied().unwrap_or(usize::MAX)
    }

    fn free_bytes(&self, agent: &Agent) -> usize {
        self.free_bytes.get(agent).copied().unwrap_or(usize::MAX)
    }

    fn free_results(&self, agent: &Agent) -> usize {
        self.free_results.get(agent).copied().unwrap_or(usize::MAX)
    }

    fn free_result_bytes(&self, agent: &Agent) -> usize {
        let free = self.free_result_bytes.get(agent);
        free.copied().unwrap_or(usize::MAX)
    }

    fn holds(&self, _: &Agent, class: &DirectedKind) -> bool {
        let DirectedKind::Run(run) = class else {
            return false;
        };
        let mut waiting = self.unacknowledged.iter();
        waiting.any(|call| call == run.call.as_str())
    }

    fn past(&self) -> &dyn Past {
        &self.past
    }
}

/// An engine with everything that came out of it, and a disk.
struct World {
    engine: Engine,
    settings: Settings,
    now: Millis,
    mailboxes: FakeMailboxes,
    disk: BTreeMap<Vec<u8>, Vec<u8>>,
    directed: Vec<Directed>,
    effects: Vec<Effect>,
    events: Vec<Event>,
    retained: BTreeMap<String, Bytes>,
    retains: usize,
    runs: u64,
    inputs: usize,
    /// Crashes after this many inputs.
    crash_after: Option<usize>,
    /// Who sends CBOR.
    speak_cbor: Vec<&'static str>,
    /// Assignments that are put into mailboxes.
    work: Vec<(Agent, AssignmentKey)>,
    /// Nothing of that goes out.
    is_stuck: bool,
}

fn agent(name: &str) -> Agent {
    Agent::new(name).unwrap()
}

fn topic(text: &str) -> RoomTopic {
    RoomTopic::parse(ROOT, text).unwrap().unwrap()
}

fn parse<T: DeserializeOwned>(payload: &Bytes) -> T {
    if crate::wire::cbor::is_map(payload) {
        let value: Value = serde_cbor::from_slice(payload).unwrap();
        return serde_json::from_str(&value.to_string()).unwrap();
    }
    serde_json::from_slice(payload).unwrap()
}

impl World {
    fn new() -> World {
        World::with(Settings::default())
    }

    fn with(settings: Settings) -> World {
        World {
            engine: Engine::new(settings.clone(), 1),
            settings,
            now: START,
            mailboxes: FakeMailboxes::default(),
            disk: BTreeMap::new(),
            directed: Vec::new(),
            effects: Vec::new(),
            events: Vec::new(),
            retained: BTreeMap::new(),
            retains: 0,
            runs: 1,
            inputs: 0,
            crash_after: None,
            speak_cbor: Vec::new(),
            work: Vec::new(),
            is_stuck: false,
        }
    }

    /// One input as a batch of its own.
    fn input(&mut self, input: Input) -> Verdict {
        let verdict = self.input_in_batch(input);
        self.end_batch();
        self.inputs += 1;
        if self.crash_after == Some(self.inputs) {
            self.crash();
        }
        verdict
    }

    fn input_in_batch(&mut self, input: Input) -> Verdict {
        let verdict = self.engine.handle(self.now, input, &self.mailboxes);
        self.collect();
        // What is put into a mailbox goes out at once, unless a test says otherwise.
        while !self.is_stuck
            && let Some((agent, key)) = self.work.pop()
        {
            let assignments = vec![key];
            let sent = Input::Sent { agent, assignments };
            self.engine.handle(self.now, sent, &self.mailboxes).unwrap();
            self.collect();
        }
        verdict
    }

    fn end_batch(&mut self) {
        self.engine.flush();
        self.collect();
        let disk = &mut self.disk;
        let mut seen = std::collections::BTreeSet::new();
        self.engine.drain_records(&mut |key, value| {
            assert!(seen.insert(key.clone()), "a record comes twice: {key:?}");
            match value {
                Some(value) => disk.insert(key, value),
                None => disk.remove(&key),
            };
        });
        assert!(self.engine.poll_effect().is_none(), "flushed already");
    }

    fn collect(&mut self) {
        while let Some(effect) = self.engine.poll_effect() {
            match &effect {
                Effect::Deliver(directed) => {
                    if let DirectedKind::Assignment(key) = &directed.class {
                        self.work.push((directed.to.clone(), key.clone()));
                    }
                    self.directed.push(directed.clone());
                }
                Effect::Event(event) => {
                    self.mailboxes.past.events.push(event.clone());
                    self.events.push(event.clone());
                }
                Effect::Retain { topic, payload } => {
                    self.retains += 1;
                    let topic = topic.format(ROOT);
                    match payload {
                        Some(payload) => self.retained.insert(topic, payload.clone()),
                        None => self.retained.remove(&topic),
                    };
                }
                Effect::Relay { .. } | Effect::Revoke { .. } | Effect::Discard { .. } => {}
            }
            self.effects.push(effect);
        }
    }

    /// Kills the engine and starts another on what is on the disk.
    fn crash(&mut self) {
        self.restart();
        self.crash_after = None;
        self.input(Input::Recovered).unwrap();
    }

    fn restart(&mut self) {
        self.runs += 1;
        self.engine = Engine::recover(self.settings.clone(), self.runs, self.disk.clone()).unwrap();
    }

    /// Other settings from now on, also for the next start.
    fn reconfigure(&mut self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.settings);
        let settings = Box::new(self.settings.clone());
        self.input(Input::Settings(settings)).unwrap();
    }

    /// Lets time pass, waking the engine whenever it asks for it.
    fn pass(&mut self, ms: u64) {
        let end = self.now + ms;
        while let Some((at, _)) = self.engine.poll_timeout().filter(|(at, _)| *at <= end) {
            self.now = self.now.max(at);
            self.input(Input::Tick).unwrap();
        }
        self.now = end;
    }

    fn connect(&mut self, name: &str) {
        self.connect_as(name, false, false);
    }

    fn connect_as(&mut self, name: &str, resumed: bool, durable: bool) {
        self.input(Input::Connected {
            agent: agent(name),
            resumed,
            durable,
            window: u32::MAX,
        })
        .unwrap();
    }

    fn disconnect(&mut self, name: &str) {
        self.input(Input::Disconnected {
            gives_back: false,
            agent: agent(name),
            why: "test",
        })
        .unwrap();
    }

    fn end_session(&mut self, name: &str) {
        self.input(Input::SessionEnded { agent: agent(name) })
            .unwrap();
    }

    fn subscribe(&mut self, name: &str, filter: &str) -> Verdict {
        self.input(Input::Offered {
            agent: agent(name),
            offer: Offer::of_filter(ROOT, filter).unwrap(),
        })
    }

    fn unsubscribe(&mut self, name: &str, filter: &str) {
        self.input(Input::Withdrawn {
            agent: agent(name),
            offer: Offer::of_filter(ROOT, filter).unwrap(),
        })
        .unwrap();
    }

    fn offers(&mut self, name: &str, capability: &str) {
        self.subscribe(name, &format!("rooms/r/handoff/work/{capability}"))
            .unwrap();
    }

    /// A worker that is connected and offers a capability.
    fn worker(&mut self, name: &str, capability: &str) {
        self.connect(name);
        self.offers(name, capability);
    }

    fn command(from: &str, topic: RoomTopic, payload: impl Into<Bytes>) -> Command {
        Command {
            from: agent(from),
            user: None,
            topic,
            payload: payload.into(),
            mirrors: CommandMirrors::default(),
        }
    }

    /// A command in room `r`; the topic is `handoff/dispatch`, the writer is added where it
    /// belongs.
    fn send(&mut self, from: &str, verb: &str, payload: Value) -> Verdict {
        if self.speak_cbor.contains(&from) {
            return self.send_raw(from, verb, serde_cbor::to_vec(&payload).unwrap());
        }
        self.send_raw(from, verb, payload.to_string())
    }

    fn send_raw(&mut self, from: &str, verb: &str, payload: impl Into<Bytes>) -> Verdict {
        let mut parts: Vec<&str> = verb.splitn(3, '/').collect();
        parts.insert(2.min(parts.len()), from);
        let topic = topic(&format!("rooms/r/{}", parts.join("/")));
        self.input(Input::Command(World::command(from, topic, payload)))
    }

    fn dispatch(&mut self, from: &str, id: &str, task_type: &str) {
        self.dispatch_with(from, json!({ "id": id, "type": task_type }));
    }

    fn dispatch_with(&mut self, from: &str, task: Value) {
        assert_eq!(self.send(from, "handoff/dispatch", task), Ok(()));
    }

    fn update(&mut self, from: &str, task: &str, attempt: u32, status: &str) -> Verdict {
        let update = json!({ "task": task, "attempt": attempt, "status": status });
        self.send(from, "handoff/update", update)
    }

    fn success(&mut self, from: &str, task: &str, attempt: u32) {
        assert_eq!(self.update(from, task, attempt, "success"), Ok(()));
    }

    fn directed_to<T: DeserializeOwned>(&self, name: &str, is: impl Fn(&Topic) -> bool) -> Vec<T> {
        let theirs = self
            .directed
            .iter()
            .filter(|directed| directed.to.as_str() == name);
        theirs
            .filter(|directed| is(&directed.topic.topic))
            .map(|directed| parse(&directed.payload))
            .collect()
    }

    fn assignments(&self, name: &str) -> Vec<(String, u32)> {
        let assignments: Vec<Assignment> =
            self.directed_to(name, |topic| matches!(topic, Topic::HandoffWork { .. }));
        assignments
            .into_iter()
            .map(|assignment| (assignment.task.to_string(), assignment.attempt))
            .collect()
    }

    fn results(&self, name: &str) -> Vec<TaskResult> {
        let results: Vec<Value> =
            self.directed_to(name, |topic| matches!(topic, Topic::HandoffResult { .. }));
        let of_tasks = results.into_iter().filter(|one| one["status"] != "group");
        of_tasks
            .map(|one| serde_json::from_value(one).unwrap())
            .collect()
    }

    fn final_results(&self, name: &str) -> Vec<(String, TaskState)> {
        let results = self
            .results(name)
            .into_iter()
            .filter(|result| result.is_final);
        let ends = results.map(|result| {
            let word = serde_json::to_value(result.status).unwrap();
            (
                result.task.to_string(),
                serde_json::from_value(word).unwrap(),
            )
        });
        ends.collect()
    }

    fn decisions(&self, name: &str) -> Vec<Decision> {
        self.directed_to(name, |topic| matches!(topic, Topic::ApproveDecision { .. }))
    }

    fn replies(&self, name: &str) -> Vec<Reply> {
        self.directed_to(name, |topic| matches!(topic, Topic::Reply { .. }))
    }

    fn last_reply(&self, name: &str) -> Reply {
        self.replies(name).pop().expect("there is a reply")
    }

    fn view(&mut self, task: &str) -> TaskView {
        assert_eq!(
            self.send("viewer", "handoff/get", json!({ "task": task })),
            Ok(())
        );
        let data = self.last_reply("viewer").data.unwrap();
        serde_json::from_str(data.text()).unwrap()
    }

    fn state(&mut self, task: &str) -> TaskState {
        self.view(task).state
    }

    fn retained(&self, topic: &str) -> Option<Value> {
        self.retained.get(&format!("rooms/r/{topic}")).map(parse)
    }

    fn presence(&self, name: &str) -> Option<Presence> {
        let topic = format!("rooms/r/presence/agent/{name}");
        self.retained.get(&topic).map(parse)
    }

    fn revoked(&self) -> Vec<(String, String, u32)> {
        let revoked = self.effects.iter().filter_map(|effect| match effect {
            Effect::Revoke {
                agent,
                class: DirectedKind::Assignment(assignment),
            } => Some((
                agent.to_string(),
                assignment.task.to_string(),
                assignment.attempt,
            )),
            _ => None,
        });
        revoked.collect()
    }

    /// What happened to a subject: `queued -> assigned`, or the event's name where there are no
    /// states.
    fn story(&self, subject: &str) -> Vec<String> {
        let events = self.events.iter().filter(|event| event.subject == subject);
        events.map(|event| event.what.clone()).collect()
    }

    fn next_timer(&self) -> Option<(u64, Timer)> {
        let (at, timer) = self.engine.poll_timeout()?;
        Some((at - self.now, timer))
    }

    /// Numbers have no gap, stats add up.
    fn check(&self) {
        let seqs: Vec<u64> = self
            .events
            .iter()
            .filter(|event| event.room.as_str() == "r")
            .map(|event| event.seq)
            .collect();
        assert!(seqs.iter().copied().eq(1..=seqs.len() as u64), "{seqs:?}");
        let stats = self.engine.stats();
        let again = Engine::recover(self.settings.clone(), 99, self.disk.clone()).unwrap();
        let recovered = again.stats();
        assert_eq!(stats.rooms, recovered.rooms);
        assert_eq!(stats.vacated_rooms, recovered.vacated_rooms);
        assert_eq!(stats.agents, recovered.agents);
        assert_eq!(stats.tasks, recovered.tasks);
        assert_eq!(stats.keys, recovered.keys);
        assert_eq!(stats.locks, recovered.locks);
        assert_eq!(stats.pending_approvals, recovered.pending_approvals);
        assert_eq!(stats.tools, recovered.tools);
        assert_eq!(stats.tool_calls, recovered.tool_calls);
        assert_eq!(stats.ended_calls, recovered.ended_calls);
    }
}
