//! What clients did and were told, in one order. Clients write it, `check` and `linear` read it; it
//! judges nothing.

use std::collections::BTreeMap;

use hallward::wire::Millis;

use super::network::LinkId;

/// How something arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Arrival {
    pub(super) qos: u8,
    pub(super) dup: bool,
    /// The receiver began a new session each time: it cannot be told that something is a repeat.
    pub(super) clean: bool,
}

impl Arrival {
    /// Whether what came before may come again like this.
    pub(super) fn may_repeat(self) -> bool {
        self.clean || (self.qos == 1 && self.dup)
    }
}

/// What is exactly one for each that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Task,
    Approval,
    Call,
}

/// What a client asks of the blackboard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Op {
    /// Each key that is named gets the value, or goes where there is none; all or nothing, if each
    /// is at the version that is named.
    Write(Vec<(String, Option<u64>, Option<String>)>),
    /// All keys.
    Read,
}

/// What it was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The versions that a write made of what it set.
    Written(BTreeMap<String, u64>),
    /// A condition did not hold, or there was nothing to delete.
    Refused,
    /// Each key that is there, with version and value.
    Found(BTreeMap<String, (u64, String)>),
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    /// Somebody sets the wall clock.
    ClockSet,
    /// A message to another's inbox goes out, for the first time or again.
    Sent {
        to: String,
        n: u64,
        qos: u8,
        ttl: Option<Millis>,
    },
    /// Its sender is told that it waits.
    Taken { to: String, n: u64 },
    /// Its sender is told that there is no room.
    Full { to: String, n: u64 },
    /// It arrives.
    Got { from: String, n: u64, how: Arrival },
    /// The gateway says that it knows: QoS 2.
    Settled { from: String, n: u64 },
    /// Somebody asks what waits for another, or asks once more, …
    Looks { n: u64, whose: String },
    /// … and is told: from whom, and which.
    Listed { n: u64, mail: Vec<(String, u64)> },
    /// An operator wants what waits for somebody to be taken out.
    Purges { whose: String },
    /// An operator took so many messages out of somebody's inbox.
    Purged { whose: String, count: u64 },
    /// Something is asked for, and was taken.
    Asked { kind: Kind, id: String },
    /// A worker, an approver or a provider gives its word.
    Word { kind: Kind, id: String, yes: bool },
    /// How it ended, in words that are the same for the same end.
    Ended {
        kind: Kind,
        id: String,
        yes: bool,
        words: String,
        how: Arrival,
    },
    /// A client asks something of the blackboard …
    Invoked { n: usize, op: Op },
    /// … which leaves once more, for nothing acknowledged it …
    Repeated { n: usize },
    /// … and is told.
    Answered { n: usize, outcome: Outcome },
    /// A client holds a lock from here until then, as far as it knows.
    Locked { token: u64, until: Millis },
    /// It gives it back.
    Unlocked { token: u64 },
    /// It wrote under a token, and the write was taken or not; as the key's version, if it was.
    Fenced { token: u64, version: Option<u64> },
    /// A room was closed, or opened.
    Room(&'static str),
    /// A retained message goes out, for the first time or again, as one that may be a repeat;
    /// without a value it clears its topic.
    Writes {
        n: u64,
        topic: String,
        value: Option<String>,
        qos: u8,
        ttl: Option<Millis>,
        dup: bool,
    },
    /// Its sender is told that it was taken.
    Wrote { n: u64 },
    /// A reader asks for a topic's retained message with its first subscription, …
    Reads { topic: String },
    /// … and has it, or nothing. It is not sure of that where what was sent at QoS 0 may have been
    /// lost.
    Read { value: Option<String>, sure: bool },
    /// A client is told that it is subscribed.
    Granted,
    /// A client connects, and says what is to be published if it is lost.
    Dials {
        link: LinkId,
        promise: Option<Promise>,
    },
    /// It is let in.
    Opened,
    /// Its connection breaks, or it finds that it did.
    Lost,
    /// It says DISCONNECT.
    HangsUp,
    /// Something outside the rooms arrives.
    Heard {
        topic: String,
        words: String,
        how: Arrival,
    },
    /// A job for whoever of a group has the next turn goes out, for the first time or again, …
    Posts { n: u64, qos: u8, dup: bool },
    /// … and was taken.
    Posted { n: u64 },
    /// A member of the group is subscribed: in a session that ends with its connection, or one that
    /// lasts.
    Joins { qos: u8, clean: bool },
    /// A member has a job: whose, and which.
    Works { whose: String, n: u64, how: Arrival },
    /// The network tells the gateway that a connection is no more.
    Noticed { link: LinkId },
    /// The gateway died.
    Crashed,
    /// It is back.
    Restarted,
}

/// A will, of which the connection's number is the payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Promise {
    pub(super) qos: u8,
    pub(super) retain: bool,
    /// How long it waits for the client, whose session must last that long.
    pub(super) delay_ms: Millis,
}

/// What happened how often.
pub(in super::super) type Counts = BTreeMap<&'static str, u64>;

impl What {
    /// What to count it as.
    pub(super) fn name(&self) -> &'static str {
        match self {
            What::Sent { .. } => "sent",
            What::Taken { .. } => "taken",
            What::Full { .. } => "full",
            What::Got { how, .. } if how.dup => "got again",
            What::Got { .. } => "got",
            What::Settled { .. } => "settled",
            What::Looks { .. } => "looks",
            What::Listed { mail, .. } if mail.is_empty() => "listed nothing",
            What::Listed { .. } => "listed",
            What::Purges { .. } => "purges",
            What::Purged { count: 0, .. } => "purged nothing",
            What::Purged { .. } => "purged",
            What::Asked { .. } => "asked",
            What::Word { .. } => "word",
            What::Ended { kind, yes, how, .. } => match (kind, yes) {
                _ if how.dup => "ended again",
                (Kind::Task, true) => "task done",
                (Kind::Task, false) => "task failed",
                (Kind::Approval, true) => "approved",
                (Kind::Approval, false) => "not approved",
                (Kind::Call, true) => "call done",
                (Kind::Call, false) => "call failed",
            },
            What::Invoked { .. } => "invoked",
            What::Repeated { .. } => "repeated",
            What::Answered {
                outcome: Outcome::Refused,
                ..
            } => "board refused",
            What::Answered { .. } => "board answered",
            What::Locked { .. } => "locked",
            What::Unlocked { .. } => "unlocked",
            What::Fenced { version: None, .. } => "fenced off",
            What::Fenced { .. } => "wrote under a token",
            What::Room(what) => what,
            What::Writes { value: None, .. } => "clears",
            What::Writes { dup: true, .. } => "writes again",
            What::Writes { .. } => "writes",
            What::Wrote { .. } => "wrote",
            What::Reads { .. } => "reads",
            What::Read { value: None, .. } => "read nothing",
            What::Read { .. } => "read",
            What::Granted => "granted",
            What::Dials { .. } => "dials",
            What::Opened => "opened",
            What::Lost => "lost",
            What::HangsUp => "hangs up",
            What::Heard { words, .. } if words.starts_with("will-") => "will heard",
            What::Heard { .. } => "heard",
            What::Posts { .. } => "posts",
            What::Posted { .. } => "posted",
            What::Joins { .. } => "joins",
            What::Works { how, .. } if how.dup => "works again",
            What::Works { .. } => "works",
            What::Noticed { .. } => "noticed",
            What::Restarted => "restarted",
            What::Crashed => "crashed",
            What::ClockSet => "clock set",
        }
    }
}

/// What happens in any number of runs.
pub(in super::super) const ALL: [&str; 43] = [
    "damage refused",
    "clock set",
    "sent",
    "taken",
    "full",
    "got",
    "got again",
    "purged",
    "asked",
    "word",
    "ended again",
    "task done",
    "approved",
    "not approved",
    "call done",
    "call failed",
    "board refused",
    "board answered",
    "locked",
    "fenced off",
    "wrote under a token",
    "crashed",
    "close",
    "open",
    "repeated",
    "settled",
    "listed",
    "expired unread",
    "clears",
    "wrote",
    "read",
    "read nothing",
    "hangs up",
    "heard",
    "will heard",
    "will withdrawn",
    "will taken back",
    "will after its delay",
    "will over a crash",
    "posted",
    "works",
    "job once",
    "job of a session that ended",
];

/// One line of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) at: Millis,
    pub(super) who: String,
    pub(super) what: What,
}
