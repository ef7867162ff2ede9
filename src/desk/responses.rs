//! What the desk says to one session, and the way there.
//!
//! Responses travel in boxes: a channel keeps room for 32 entries however idle it is, and most
//! connections are idle.

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TryRecvError;

use super::subscription::Subscription;
use crate::wire::message::{Message, Qos};
use crate::wire::reply::Code;

/// The session is gone; nobody will read this.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the session is gone")]
pub struct SessionGone;

/// The desk's end.
#[derive(Debug, Clone)]
pub struct ResponseSender(mpsc::UnboundedSender<Box<Response>>);

/// The session's end.
#[derive(Debug)]
pub struct ResponseReceiver(mpsc::UnboundedReceiver<Box<Response>>);

/// A way for the responses to one connection.
pub fn responses() -> (ResponseSender, ResponseReceiver) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (ResponseSender(sender), ResponseReceiver(receiver))
}

impl ResponseSender {
    /// Sends without waiting.
    ///
    /// # Errors
    /// If the session is gone.
    pub fn send(&self, response: Response) -> Result<(), SessionGone> {
        self.0.send(Box::new(response)).map_err(|_| SessionGone)
    }
}

impl ResponseReceiver {
    /// The next response; `None` once the desk has let go of the connection.
    pub async fn recv(&mut self) -> Option<Response> {
        self.0.recv().await.map(|response| *response)
    }

    /// The next response that is there already.
    ///
    /// # Errors
    /// If there is none.
    pub fn try_recv(&mut self) -> Result<Response, TryRecvError> {
        self.0.try_recv().map(|response| *response)
    }
}

/// Where there is no room for a publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// There are as many retained messages as there may be, or as many bytes of them.
    Retained,
    /// A session that it is for is full, and such publishes are refused.
    Queue,
    /// The queue of a bridge that it is for is full, and such publishes are refused.
    Bridge,
    /// There is no memory for what waits.
    Memory,
}

impl Full {
    /// Which limit it is.
    pub fn words(self) -> &'static str {
        match self {
            Full::Retained => "retained.max_messages or retained.max_bytes is reached",
            Full::Queue => "the queue of a session that it is for is full",
            Full::Bridge => "the queue of a bridge that it is for is full",
            Full::Memory => "memory.max_queued is reached",
        }
    }
}

/// From the desk to a session.
#[derive(Debug)]
pub enum Response {
    /// CONNACK may go; deliveries that were in flight follow.
    Opened {
        /// Whether an earlier session goes on.
        session_present: bool,
        /// Whether the session outlives this connection, so that the desk delivers all of QoS 1 and
        /// 2.
        durable: bool,
        /// The subscriptions that still stand.
        subscriptions: Vec<Subscription>,
        /// Packet ids of inbound QoS 2 messages that were taken and not released.
        unreleased: Vec<u16>,
    },
    /// SUBACK may go.
    Subscribed {
        /// Echoed.
        packet_id: u16,
        /// Granted QoS or a refusal, in order.
        results: Vec<Result<Qos, Code>>,
        /// The retained messages to send now, each with the index of the subscription that asked.
        /// Those of a durable session come as deliveries instead.
        retained: Vec<(usize, Message)>,
        /// Retained messages that may wait for one client; more of them are not to be taken in.
        retained_room: usize,
        /// Broadcasts whose `retained_seq` is not above this are in `retained` already.
        retained_seq: u64,
    },
    /// UNSUBACK may go.
    Unsubscribed {
        /// Echoed.
        packet_id: u16,
        /// Whether each subscription existed, in order.
        existed: Vec<bool>,
    },
    /// PUBACK or PUBREC may go.
    Published {
        /// Echoed.
        packet_id: u16,
        /// Refusals become MQTT 5 reason codes; 3.1.1 acknowledges all the same, the reply has the
        /// words.
        verdict: Result<(), Code>,
        /// Why it was refused, in the reply's words: MQTT 5's Reason String.
        words: Option<Box<str>>,
        /// Whether it was refused because its publisher waits for as much as it may.
        of_own_backlog: bool,
    },
    /// A publish was not taken because there is no room to keep it, and had no effect: MQTT 5 is
    /// told so (0x97), and from a 3.1.1 client the connection is closed, for its acknowledgement
    /// would be a promise (MQTT-4.8.0-2).
    NoRoom {
        /// Echoed.
        packet_id: u16,
        /// Where.
        full: Full,
        /// What was not taken.
        message: Message,
    },
    /// PUBCOMP may go.
    Released {
        /// Echoed.
        packet_id: u16,
    },
    /// PUBLISH may go.
    Deliver(Delivery),
    /// PUBREL may go: PUBREC is on disk.
    Release {
        /// Which delivery.
        seq: u64,
        /// Its packet id, for durable sessions (else the session knows).
        packet_id: Option<u16>,
    },
    /// Close the connection.
    Close(CloseReason),
}

/// A message for the client.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Counts the client's deliveries; acknowledged by it.
    pub seq: u64,
    /// Durable sessions: the packet id, bound to `seq` so that it is the same after a crash. Else
    /// the session picks one.
    pub packet_id: Option<u16>,
    /// Sent before, perhaps.
    pub dup: bool,
    /// The effective QoS.
    pub qos: Qos,
    /// The retain flag to show.
    pub retain: bool,
    /// MQTT 5 identifiers of the subscriptions that it matches.
    pub subscription_ids: Vec<u32>,
    /// The message.
    pub message: Message,
}

/// Why the desk closes a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// The same client id connected elsewhere (0x8E).
    TakenOver,
    /// The gateway is going down (0x8B).
    ShuttingDown,
    /// A limit was reached that leaves no other way (0x97).
    QuotaExceeded,
    /// What is kept under this client id belongs to another user (0x87).
    NotOwner,
    /// The disk takes nothing, and the session is to be kept (0x97).
    NoDisk,
}
