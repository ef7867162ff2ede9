//! An agent in a room: a client that knows the room's topics and reads the gateway's messages.

use std::ops::{Deref, DerefMut};

use hallward::wire::approve::Decision;
use hallward::wire::blackboard::Entry;
use hallward::wire::handoff::{Assignment, TaskResult, TaskView};
use hallward::wire::presence::Presence;
use hallward::wire::reply::Reply;
use hallward::wire::tools::{CallOver, CallView, ToolResult, ToolRun};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::Gateway;
use super::client::Client;
use super::packet::{Connect, Packet, Publish};

/// One agent in one room.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) id: String,
    pub(crate) room: String,
    client: Client,
    asked: u32,
    speaks_cbor: bool,
}

impl Deref for Agent {
    type Target = Client;
    fn deref(&self) -> &Client {
        &self.client
    }
}

impl DerefMut for Agent {
    fn deref_mut(&mut self) -> &mut Client {
        &mut self.client
    }
}

/// Reads JSON, or CBOR with another reader than the gateway's.
pub(crate) fn read<T: DeserializeOwned>(publish: &Publish) -> T {
    let payload = &publish.payload;
    let read = match is_cbor(publish) {
        false => serde_json::from_slice(payload),
        true => {
            let value: Value = serde_cbor::from_slice(payload)
                .unwrap_or_else(|error| panic!("{} carries no CBOR: {error}", publish.topic));
            serde_json::from_str(&value.to_string())
        }
    };
    read.unwrap_or_else(|error| {
        let text = String::from_utf8_lossy(payload);
        panic!("{} carries {text}: {error}", publish.topic)
    })
}

/// Whether a payload is a CBOR map.
pub(crate) fn is_cbor(publish: &Publish) -> bool {
    publish.payload.first().is_some_and(|first| first >> 5 == 5)
}

impl Agent {
    /// Connects (MQTT 5, clean) and listens to its replies.
    pub(crate) fn join(gateway: &Gateway, room: &str, id: &str) -> Agent {
        Agent::join_as(gateway, room, Connect::v5(id))
    }

    /// The same over MQTT 3.1.1.
    pub(crate) fn join_v311(gateway: &Gateway, room: &str, id: &str) -> Agent {
        Agent::join_as(gateway, room, Connect::v311(id))
    }

    /// Connects in a way of the test's own and listens to its replies.
    pub(crate) fn join_as(gateway: &Gateway, room: &str, connect: Connect) -> Agent {
        let id = connect.client_id.clone();
        let client = Client::connect(gateway.mqtt, connect);
        let mut agent = Agent {
            id,
            room: room.to_owned(),
            client,
            asked: 0,
            speaks_cbor: false,
        };
        let replies = format!("reply/{}", agent.id);
        agent.listen(&replies);
        agent
    }

    /// From now on it sends CBOR, and expects it.
    pub(crate) fn in_cbor(mut self) -> Agent {
        self.speaks_cbor = true;
        self
    }

    /// Works for one capability: listens to its exact topic.
    pub(crate) fn worker(gateway: &Gateway, room: &str, id: &str, capability: &str) -> Agent {
        let mut agent = Agent::join(gateway, room, id);
        agent.listen(&format!("handoff/work/{capability}"));
        agent
    }

    /// A topic of the room.
    pub(crate) fn topic(&self, rest: &str) -> String {
        format!("rooms/{}/{rest}", self.room)
    }

    /// Subscribes below the room at QoS 1.
    pub(crate) fn listen(&mut self, rest: &str) {
        let topic = self.topic(rest);
        assert_eq!(
            self.client.subscribe(&[(&topic, 1)]),
            [1],
            "SUBACK for {topic}"
        );
    }

    /// Publishes to a topic of the room at QoS 1 and returns the reason code.
    pub(crate) fn tell(&mut self, rest: &str, body: &Value) -> u8 {
        if self.speaks_cbor {
            self.tell_raw(rest, serde_cbor::to_vec(body).expect("CBOR has it"))
        } else {
            self.tell_raw(rest, body.to_string())
        }
    }

    /// The same with a payload that may be anything.
    pub(crate) fn tell_raw(&mut self, rest: &str, payload: impl Into<Vec<u8>>) -> u8 {
        let topic = self.topic(rest);
        self.client.publish(Publish::new(&topic, payload, 1))
    }

    /// Sends a command with a correlation id and returns its reply.
    pub(crate) fn ask(&mut self, rest: &str, mut body: Value) -> Reply {
        self.asked += 1;
        let correlation = format!("{}-asks-{}", self.id, self.asked);
        body["correlationId"] = json!(correlation);
        self.tell(rest, &body);
        self.reply_where(|reply| reply.correlation_id.as_deref() == Some(correlation.as_str()))
    }

    /// The next reply, whatever it answers.
    pub(crate) fn reply(&mut self) -> Reply {
        self.reply_where(|_| true)
    }

    fn reply_where(&mut self, wanted: impl Fn(&Reply) -> bool) -> Reply {
        let topic = self.topic(&format!("reply/{}", self.id));
        let speaks_cbor = self.speaks_cbor;
        self.client.expect("a reply", |packet| match packet {
            Packet::Publish(publish) if publish.topic == topic => {
                assert_eq!(is_cbor(publish), speaks_cbor, "{publish:?}");
                Some(read(publish)).filter(&wanted)
            }
            _ => None,
        })
    }

    /// Sends a command and expects it to be accepted.
    pub(crate) fn accepted(&mut self, rest: &str, body: Value) -> Reply {
        let reply = self.ask(rest, body);
        assert!(
            u16::from(reply.code) < 300,
            "{rest} should be accepted: {reply:?}"
        );
        reply
    }

    /// Sends a command and expects it to be rejected with this code.
    pub(crate) fn rejected(&mut self, code: u16, rest: &str, body: Value) -> Reply {
        let reply = self.ask(rest, body);
        assert_eq!(
            u16::from(reply.code),
            code,
            "{rest} should be rejected: {reply:?}"
        );
        assert!(reply.reason.is_some(), "a rejection has words: {reply:?}");
        reply
    }

    pub(crate) fn announce(&mut self, body: Value) {
        self.accepted(&format!("presence/announce/{}", self.id), body);
    }

    /// Dispatches a task and returns its id.
    pub(crate) fn dispatch(&mut self, body: Value) -> String {
        let reply = self.accepted(&format!("handoff/dispatch/{}", self.id), body);
        reply
            .task
            .expect("a dispatch has a task")
            .as_str()
            .to_owned()
    }

    /// A worker's word on its task; returns the reply.
    pub(crate) fn update(&mut self, assignment: &Assignment, status: &str, more: Value) -> Reply {
        let mut body =
            json!({"task": assignment.task, "attempt": assignment.attempt, "status": status});
        for (key, value) in more.as_object().into_iter().flatten() {
            body[key] = value.clone();
        }
        self.ask(&format!("handoff/update/{}", self.id), body)
    }

    /// Ends a task well.
    pub(crate) fn succeed(&mut self, assignment: &Assignment, result: Value) {
        let reply = self.update(assignment, "success", json!({"result": result}));
        assert_eq!(u16::from(reply.code), 200, "{reply:?}");
    }

    /// The next assignment for a capability.
    pub(crate) fn assignment(&mut self, capability: &str) -> Assignment {
        self.next(&format!("handoff/work/{capability}"))
    }

    /// The next result of a task that this agent dispatched.
    pub(crate) fn result(&mut self) -> TaskResult {
        self.next(&format!("handoff/result/{}", self.id))
    }

    /// A task as `handoff/get` shows it.
    pub(crate) fn task(&mut self, task: &str) -> TaskView {
        let reply = self.accepted(&format!("handoff/get/{}", self.id), json!({"task": task}));
        let data = reply.data.expect("a query has data");
        serde_json::from_str(data.text()).expect("a task's view")
    }

    /// Writes a key and returns its version.
    pub(crate) fn set(&mut self, key: &str, value: Value) -> u64 {
        let reply = self.accepted(
            &format!("blackboard/set/{}/{key}", self.id),
            json!({"value": value}),
        );
        reply.version.expect("a write has a version")
    }

    /// The next state of a key; `None` if it was deleted.
    pub(crate) fn state(&mut self, key: &str) -> Option<Entry> {
        let topic = self.topic(&format!("blackboard/state/{key}"));
        let publish = self.client.message_on(&topic);
        (!publish.payload.is_empty()).then(|| read(&publish))
    }

    /// Asks for an approval and returns its id.
    pub(crate) fn request(&mut self, body: Value) -> String {
        let reply = self.accepted(&format!("approve/request/{}", self.id), body);
        reply
            .approval
            .expect("a request has an id")
            .as_str()
            .to_owned()
    }

    /// Decides an approval; returns the reply.
    pub(crate) fn decide(&mut self, approval: &str, body: Value) -> Reply {
        self.ask(&format!("approve/decide/{}/{approval}", self.id), body)
    }

    /// The next decision on a request of this agent.
    pub(crate) fn decision(&mut self) -> Decision {
        self.next(&format!("approve/decision/{}", self.id))
    }

    /// Provides a tool: registers it and listens to its exact topic.
    pub(crate) fn provide(&mut self, tool: &str, registration: Value) {
        self.listen(&format!("tools/run/{tool}"));
        self.accepted(&format!("tools/register/{}/{tool}", self.id), registration);
    }

    /// Calls a tool and returns the call's id.
    pub(crate) fn call(&mut self, tool: &str, body: Value) -> String {
        let reply = self.accepted(&format!("tools/call/{}/{tool}", self.id), body);
        reply.call.expect("a call has an id").as_str().to_owned()
    }

    /// The next call of a tool that this agent provides.
    pub(crate) fn run(&mut self, tool: &str) -> ToolRun {
        self.next(&format!("tools/run/{tool}"))
    }

    /// Answers a call; returns the reply.
    pub(crate) fn answer(&mut self, call: &str, status: &str, more: Value) -> Reply {
        let mut body = json!({"call": call, "status": status});
        for (key, value) in more.as_object().into_iter().flatten() {
            body[key] = value.clone();
        }
        self.ask(&format!("tools/return/{}", self.id), body)
    }

    /// The next result of a call of this agent.
    pub(crate) fn tool_result(&mut self) -> ToolResult {
        self.next(&format!("tools/result/{}", self.id))
    }

    /// A call as `tools/get` shows it.
    pub(crate) fn call_view(&mut self, call: &str) -> CallView {
        let reply = self.accepted(&format!("tools/get/{}", self.id), json!({"call": call}));
        let data = reply.data.expect("a query has data");
        serde_json::from_str(data.text()).expect("a call's view")
    }

    /// The next word that a call needs no answer any more.
    pub(crate) fn call_over(&mut self) -> CallOver {
        self.next(&format!("tools/cancelled/{}", self.id))
    }

    /// Waits until the gateway shows the agent in this way.
    pub(crate) fn presence_where(
        &mut self,
        agent: &str,
        wanted: impl Fn(&Presence) -> bool,
    ) -> Presence {
        let topic = self.topic(&format!("presence/agent/{agent}"));
        loop {
            let publish = self.client.message_on(&topic);
            if publish.payload.is_empty() {
                continue;
            }
            let presence: Presence = read(&publish);
            if wanted(&presence) {
                return presence;
            }
        }
    }

    /// The next message on a topic of the room.
    pub(crate) fn next<T: DeserializeOwned>(&mut self, rest: &str) -> T {
        let topic = self.topic(rest);
        let message = self.client.message_on(&topic);
        let shared = [
            "presence/",
            "blackboard/",
            "observe/",
            "approve/pending/",
            "tools/card/",
        ];
        if !shared.iter().any(|shared| rest.starts_with(shared)) {
            assert_eq!(is_cbor(&message), self.speaks_cbor, "{message:?}");
        }
        read(&message)
    }

    /// Sees that no directed message came, besides what was read: the reply to a query comes next.
    pub(crate) fn expect_no_mail(&mut self) {
        let correlation = format!("{}-marks-{}", self.id, self.asked);
        self.asked += 1;
        self.tell(
            &format!("blackboard/get/{}", self.id),
            &json!({"prefix": "no.such.key", "correlationId": correlation}),
        );
        self.client
            .expect_silence_until(|publish| publish.text().contains(&correlation));
    }

    /// Breaks the connection without a word.
    pub(crate) fn vanish(self) {
        self.client.vanish();
    }

    /// Says goodbye.
    pub(crate) fn disconnect(self) {
        self.client.disconnect();
    }
}
