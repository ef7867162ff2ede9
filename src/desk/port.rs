//! What sessions and the desk say to each other: requests here, responses in `responses`.
//!
//! Requests go through one bounded channel. Responses go through a channel per connection that
//! needs no bound of its own: acks are bounded by what the connection has sent unanswered,
//! deliveries by its in-flight window, and messages of QoS 0 are dropped (and counted) once
//! [`Connection::backlog`] says that the connection does not keep up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::forward::port::DeadLetter;
use super::limits::Configuration;
pub use super::responses::{
    CloseReason, Delivery, Full, Response, ResponseReceiver, ResponseSender, responses,
};
pub use super::route::{Route, Sorted, sort};
pub use super::subscription::{RetainHandling, Subscription};
use crate::wire::message::{Message, Qos};
use crate::wire::mirror::CommandMirrors;
use crate::wire::reply::Reply;

/// Numbers connections; never reused within a process.
pub type ConnectionId = u64;

/// The desk's end of a connection.
#[derive(Debug, Clone)]
pub struct Connection {
    /// Which.
    pub id: ConnectionId,
    /// Where responses go.
    pub responses: ResponseSender,
    /// Bytes of QoS 0 messages that wait to be written to the client; the connection keeps it, the
    /// desk looks at it.
    pub backlog: Arc<AtomicUsize>,
    /// How many of the connection's publishes have left the desk; the desk keeps it. What the
    /// connection sends past the desk must not overtake those that have not (MQTT-4.6.0-5).
    pub published: Arc<AtomicU64>,
}

/// What sessions ask before a publish leaves for the live plane: the shared, rarely changing index
/// of who wants messages kept.
pub trait Interest: Send + Sync + 'static {
    /// Whether a durable or shared subscription matches a message on this topic at this QoS: then
    /// it is the desk's.
    fn wants(&self, topic: &str, qos: Qos) -> bool;
}

/// What a client may do, for the desk to ask when the client's session cannot: about a will, and
/// about whose turn it is in a shared subscription. The answer follows the rules as they are at the
/// moment.
pub trait Authorizer: std::fmt::Debug + Send + Sync + 'static {
    /// Whether it may publish on a topic.
    fn may_publish(&self, topic: &str) -> bool;
    /// Whether a message on a topic may be delivered to it.
    fn may_receive(&self, topic: &str) -> bool;
}

/// Authorizers of clients that are not connected: whose will is all that is left, after a restart.
pub trait Authorizers: std::fmt::Debug + Send + Sync + 'static {
    /// For the client of this id, which is this user's.
    fn of(&self, owner: &str, client_id: &Arc<str>) -> Arc<dyn Authorizer>;
}

/// From a session to the desk.
#[derive(Debug)]
pub enum Request {
    /// CONNECT was read and allowed.
    Open(Box<OpenRequest>),
    /// SUBSCRIBE: filters are valid and allowed; `Subscribed` answers in the same order.
    Subscribe {
        /// Who asks.
        connection: ConnectionId,
        /// Echoed.
        packet_id: u16,
        /// What is asked for.
        subscriptions: Vec<Subscription>,
    },
    /// UNSUBSCRIBE.
    Unsubscribe {
        /// Who asks.
        connection: ConnectionId,
        /// Echoed.
        packet_id: u16,
        /// The filters, as they were subscribed to.
        filters: Vec<Arc<str>>,
    },
    /// PUBLISH of what only the desk may take; see `Publication`.
    Publish {
        /// Who publishes.
        connection: ConnectionId,
        /// The packet id, for QoS 1 and 2: `Published` answers.
        packet_id: Option<u16>,
        /// What.
        publication: Publication,
    },
    /// PUBREL for a packet id of inbound QoS 2: `Released` answers.
    Release {
        /// Who.
        connection: ConnectionId,
        /// Which.
        packet_id: u16,
    },
    /// The client acknowledged a delivery.
    Acknowledge {
        /// Who.
        connection: ConnectionId,
        /// From [`Delivery::seq`].
        seq: u64,
        /// How far.
        stage: Stage,
    },
    /// The network connection is gone, or the client said DISCONNECT.
    Close {
        /// Which.
        connection: ConnectionId,
        /// Whether the will is to be published.
        publish_will: bool,
        /// Why, in words for the rooms' events.
        why: &'static str,
        /// A new session expiry from an MQTT 5 DISCONNECT, in seconds.
        expiry: Option<u32>,
    },
    /// A command of a caller within the process, which is answered to the caller itself.
    Command(Box<CommandRequest>),
    /// Asks for what the desk alone can count.
    Measure(oneshot::Sender<Holdings>),
    /// Other settings.
    Configure(Box<Configuration>),
    /// Another broker has what waited for it, or will not.
    Forwarded {
        /// The queue's name.
        queue: Arc<str>,
        /// It is done with everything below this number.
        done: u64,
        /// What of that it will not have.
        dead: Vec<DeadLetter>,
    },
    /// Figures of the gateway's own under `$SYS`: retained, but not on disk.
    Announce(Vec<Message>),
}

/// A command of a caller within the process: an HTTP API, a console, a bridge. It needs no
/// connection, session or subscription.
///
/// The command is carried out as if its agent had published it, and its reply goes to `answer`
/// alone, once the batch that has what came of the command is on disk. There is always one, a
/// refusal too: what MQTT does without a reply for (a publish without an id) has one here. It is
/// [`Reply`] as the schema has it, with the times of the wall clock.
///
/// **What comes later** by its nature goes to the mailbox of the agent, which whoever is connected
/// under that client id reads, as long as it keeps: a task's or a call's result, an approval's
/// decision, work, the call of a tool, and that a lock was got which the reply says is waited for
/// (202). For those a caller subscribes over MQTT, or asks again (`handoff/get`, `tools/get`).
///
/// An agent that is not connected counts as one whose connection is lost: in a room that it has
/// come to by its command it is away, and has left once the reconnect grace is over.
///
/// **Bounds.** Requests wait in the desk's channel (`desk.max_requests`), so that a caller who
/// sends waits too. Answers that wait for the disk count in `memory.max_queued` (holder `answers`);
/// when that is reached, commands are refused at once (429), with no effect. A caller that has gone
/// (whose receiver is dropped) before its command was taken up has none carried out; what is
/// answered to one that has gone since is dropped.
#[derive(Debug)]
pub struct CommandRequest {
    /// Who acts: the client id, which the topic names as its writer.
    pub client_id: Arc<str>,
    /// The user behind it, as with [`OpenRequest::owner`]: what is kept under the client id is this
    /// user's alone.
    pub owner: Option<Arc<str>>,
    /// What it may do; `None` for everything.
    pub authorizer: Option<Arc<dyn Authorizer>>,
    /// A command's topic, `{root}/{room}/handoff/dispatch/{client id}` for instance, or that of an
    /// inbox message.
    pub topic: String,
    /// JSON or CBOR.
    pub payload: Bytes,
    /// What is said beside the payload.
    pub mirrors: CommandMirrors,
    /// Where the reply goes.
    pub answer: oneshot::Sender<Reply>,
}

/// What the desk holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Clients with a session or mail, connected or not.
    pub clients: usize,
    /// Of these, connected.
    pub connected: usize,
    /// Subscriptions of all sessions, shared ones included.
    pub subscriptions: usize,
    /// Of these, shared.
    pub shared_subscriptions: usize,
    /// Messages in mailboxes and session queues, and retained ones.
    pub stored_messages: usize,
    /// Their bytes.
    pub stored_bytes: usize,
    /// Retained messages.
    pub retained: usize,
}

/// A client that connects.
#[derive(Debug)]
pub struct OpenRequest {
    /// Where responses go.
    pub connection: Connection,
    /// MQTT client id, never empty.
    pub client_id: Arc<str>,
    /// The user who proved to be behind it: what the client keeps is this user's alone. `None`
    /// while nobody is asked.
    pub owner: Option<Arc<str>>,
    /// What it may do; `None` for everything.
    pub authorizer: Option<Arc<dyn Authorizer>>,
    /// Forget any earlier session.
    pub clean_start: bool,
    /// Seconds that the session outlives its connection; 0 ends it with the connection (3.1.1 clean
    /// session), `u32::MAX` keeps it for ever (3.1.1 without clean session).
    pub expiry: u32,
    /// How many deliveries may be unacknowledged at once: our limit and the client's Receive
    /// Maximum, whichever is less.
    pub window: u16,
    /// Published if the connection ends without DISCONNECT.
    pub will: Option<Publication>,
    /// Seconds that the will waits for the client to come back (MQTT 5 section 3.1.3.2.2); 0
    /// publishes it at once.
    pub will_delay: u32,
    /// The will's Message Expiry in seconds; it counts from when the will is published, so the
    /// message has none yet.
    pub will_expiry: Option<u32>,
}

impl OpenRequest {
    /// Whether the session outlives its connection.
    pub fn is_durable(&self) -> bool {
        self.expiry > 0
    }
}

/// A publish that the desk takes: a command, an inbox message, a retained message, or one that a
/// durable or shared subscriber wants. (The rest goes from the session to the live plane.)
#[derive(Debug, Clone)]
pub struct Publication {
    /// The message; `retain` and `qos` as published.
    pub message: Message,
    /// What the topic grammar says of it.
    pub route: Route,
}

/// How far a client has acknowledged a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// QoS 0: written to the socket. QoS 1: PUBACK. QoS 2: PUBREC with an error, which ends the
    /// flow.
    Done,
    /// QoS 2: PUBREC; `Response::Release` says when PUBREL may go.
    Received,
    /// QoS 2: PUBCOMP.
    Completed,
}
