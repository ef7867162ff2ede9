//! The table of topics: one row for each kind, from which everything else that is known of topics
//! is made.

use crate::wire::blackboard::LockName;
use crate::wire::name::{Agent, ApprovalId, Capability, Category, Key, NameError, TaskId, Tool};

use super::segment::TopicField;

/// Who consumes what a topic carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TopicKind {
    /// A client writes, the gateway alone consumes.
    Command,
    /// A client writes, subscribers receive it as it is.
    Relayed,
    /// The gateway writes.
    Gateway,
}

/// What is special about a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TopicMark {
    /// What it carries waits in one agent's mailbox until that agent's MQTT acknowledgement.
    Directed,
    /// The last message is kept for whoever subscribes later.
    Retained,
    /// A closed room still takes the command: it asks, or is for operators.
    WhenClosed,
}

/// What is known of one kind of topic.
#[derive(Debug, PartialEq, Eq)]
pub struct TopicRow {
    /// The levels that it begins with: the pattern, and for most a verb.
    pub words: &'static str,
    /// The levels that follow, by name, and whether they may be left out.
    pub levels: &'static [(&'static str, bool)],
    /// Who consumes it.
    pub kind: TopicKind,
    /// What is special about it.
    pub marks: &'static [TopicMark],
    /// What it carries, as the documentation says it.
    pub carries: &'static str,
}

impl TopicRow {
    /// The pattern that it belongs to.
    pub fn pattern(&self) -> &'static str {
        self.words.split('/').next().unwrap_or_default()
    }

    /// Whether it has a mark.
    pub fn has(&self, mark: TopicMark) -> bool {
        self.marks.contains(&mark)
    }
}

/// The agent that a level names; where it is the gateway, or nobody is named, `None`.
macro_rules! agent {
    () => {
        None
    };
    (gateway) => {
        None
    };
    ($level:ident) => {
        Some($level)
    };
}

macro_rules! topics {
    ($(
        $(#[doc = $carries:literal])+
        $topic:ident = $words:literal { $($level:ident: $type:ty),+ }
        $kind:ident by $writer:ident $(to $reader:ident)? $([$($mark:ident),+])?;
    )+) => {
        /// Everything that can follow `rooms/{room}/`.
        ///
        /// `me` is the writing client's own agent id; the other names are what the variant is
        /// about.
        #[expect(missing_docs, reason = "the fields are the levels of the table in docs/protocol.md")]
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Topic {
            $(
                $(#[doc = $carries])+
                $topic { $($level: $type),+ },
            )+
        }

        #[expect(non_upper_case_globals, reason = "named as the variants are")]
        mod rows {
            use super::*;

            $(
                pub(super) const $topic: TopicRow = TopicRow {
                    words: $words,
                    levels: &[$((stringify!($level), <$type as TopicField>::IS_OPTIONAL)),+],
                    kind: TopicKind::$kind,
                    marks: &[$($(TopicMark::$mark),+)?],
                    carries: concat!($($carries),+),
                };
            )+
        }

        impl Topic {
            /// Every row, in the order of the documentation.
            pub const ROWS: &'static [&'static TopicRow] = &[$(&rows::$topic),+];

            /// Its row.
            pub fn row(&self) -> &'static TopicRow {
                match self {
                    $(Topic::$topic { .. } => &rows::$topic,)+
                }
            }

            /// Reads the levels behind the words of a row; `None` if there is no row of these words
            /// with so many levels.
            pub(super) fn read(words: &str, rest: Option<&str>) -> Option<Result<Topic, NameError>> {
                let mut rest = rest;
                let topic = match words {
                    $($words => {
                        $(
                            let $level = match <$type as TopicField>::take(&mut rest)? {
                                Ok(level) => level,
                                Err(error) => return Some(Err(error)),
                            };
                        )+
                        Topic::$topic { $($level),+ }
                    })+
                    _ => return None,
                };
                rest.is_none().then_some(Ok(topic))
            }

            /// Adds it, as it follows the room and a slash.
            pub(super) fn write(&self, out: &mut String) {
                out.push_str(self.row().words);
                match self {
                    $(Topic::$topic { $($level),+ } => {
                        $(TopicField::write($level, out);)+
                    })+
                }
            }

            /// The client that the topic names as its writer; `None` where the gateway writes.
            #[expect(unused_variables, reason = "all levels have their names")]
            pub fn writer(&self) -> Option<&Agent> {
                match self {
                    $(Topic::$topic { $($level),+ } => agent!($writer),)+
                }
            }

            /// The agent that a directed topic (inbox, result, decision, tool result or
            /// cancellation, reply) is for. Assignments and tool runs are directed too, but their
            /// topic does not say to whom.
            #[expect(unused_variables, reason = "all levels have their names")]
            pub fn addressee(&self) -> Option<&Agent> {
                match self {
                    $(Topic::$topic { $($level),+ } => agent!($($reader)?),)+
                }
            }
        }
    };
}

topics! {
    /// [Announcement](#presence); empty: leave the room
    PresenceAnnounce = "presence/announce" { me: Agent } Command by me;
    /// Presence; empty: gone
    PresenceAgent = "presence/agent" { agent: Agent } Gateway by gateway [Retained];
    /// asks who is here, or was
    PresenceList = "presence/list" { me: Agent } Command by me [WhenClosed];
    /// [Task](#handoff)
    HandoffDispatch = "handoff/dispatch" { me: Agent } Command by me;
    /// Assignment, for one worker; **subscribing to exactly this topic makes you one**
    HandoffWork = "handoff/work" { capability: Capability } Gateway by gateway [Directed];
    /// Update of a task that you work on
    HandoffUpdate = "handoff/update" { me: Agent } Command by me;
    /// a question of a task's worker that awaits its answer; empty: it needs none any more
    HandoffAsking = "handoff/asking" { task: TaskId } Gateway by gateway [Retained];
    /// Answer to it
    HandoffAnswer = "handoff/answer" { me: Agent } Command by me;
    /// Cancel
    HandoffCancel = "handoff/cancel" { me: Agent } Command by me;
    /// asks for one task
    HandoffGet = "handoff/get" { me: Agent } Command by me [WhenClosed];
    /// asks for a page of tasks
    HandoffList = "handoff/list" { me: Agent } Command by me [WhenClosed];
    /// gives a dead task another chance, or those of a type
    HandoffRedrive = "handoff/redrive" { me: Agent } Command by me;
    /// Result
    HandoffResult = "handoff/result" { dispatcher: Agent } Gateway by gateway to dispatcher [Directed];
    /// [any bytes](#inbox)
    Inbox = "inbox" { to: Agent, me: Agent } Relayed by me to to [Directed];
    /// [what waits](#mailboxes) for you, or for another
    MailboxList = "mailbox/list" { me: Agent, of: Option<Agent> } Command by me [WhenClosed];
    /// takes some of it out
    MailboxPurge = "mailbox/purge" { me: Agent, of: Option<Agent> } Command by me [WhenClosed];
    /// [Set](#blackboard)
    BlackboardSet = "blackboard/set" { me: Agent, key: Key } Command by me;
    /// Delete; may be empty
    BlackboardDelete = "blackboard/delete" { me: Agent, key: Key } Command by me;
    /// asks for a snapshot
    BlackboardGet = "blackboard/get" { me: Agent } Command by me [WhenClosed];
    /// Txn: several writes, all or none
    BlackboardTxn = "blackboard/txn" { me: Agent } Command by me;
    /// asks which keys there are, a page at a time
    BlackboardList = "blackboard/list" { me: Agent } Command by me [WhenClosed];
    /// asks for past versions
    BlackboardHistory = "blackboard/history" { me: Agent } Command by me [WhenClosed];
    /// takes a lease with a fencing token; may be empty
    BlackboardLock = "blackboard/lock" { me: Agent, name: LockName } Command by me;
    /// gives it back; may be empty
    BlackboardUnlock = "blackboard/unlock" { me: Agent, name: LockName } Command by me;
    /// Entry; empty: deleted
    BlackboardState = "blackboard/state" { key: Key } Gateway by gateway [Retained];
    /// [any JSON](#observe); from `gateway`, which only the gateway writes: an Event, what happened
    /// in the room
    ObserveEvents = "observe/events" { source: Agent, category: Category } Relayed by source;
    /// asks for past events
    ObserveReplay = "observe/replay" { me: Agent } Command by me [WhenClosed];
    /// [ApprovalRequest](#approve)
    ApproveRequest = "approve/request" { me: Agent } Command by me;
    /// what awaits a decision; empty: decided
    ApprovePending = "approve/pending" { id: ApprovalId } Gateway by gateway [Retained];
    /// Decide
    ApproveDecide = "approve/decide" { me: Agent, id: ApprovalId } Command by me;
    /// Decision
    ApproveDecision = "approve/decision" { requester: Agent } Gateway by gateway to requester [Directed];
    /// Cancel
    ApproveCancel = "approve/cancel" { me: Agent } Command by me;
    /// asks what was requested and decided
    ApproveAudit = "approve/audit" { me: Agent } Command by me [WhenClosed];
    /// [Registration](#tools); empty: withdraw
    ToolsRegister = "tools/register" { me: Agent, tool: Tool } Command by me;
    /// what a tool is, and who provides it; empty: gone
    ToolsCard = "tools/card" { tool: Tool } Gateway by gateway [Retained];
    /// Call
    ToolsCall = "tools/call" { me: Agent, tool: Tool } Command by me;
    /// Run, for one provider; **subscribing to exactly this topic makes you one**
    ToolsRun = "tools/run" { tool: Tool } Gateway by gateway [Directed];
    /// Return: a call's outcome, or a part of it
    ToolsReturn = "tools/return" { me: Agent } Command by me;
    /// Result
    ToolsResult = "tools/result" { caller: Agent } Gateway by gateway to caller [Directed];
    /// Answer to a question of the provider's
    ToolsAnswer = "tools/answer" { me: Agent } Command by me;
    /// Cancel
    ToolsCancel = "tools/cancel" { me: Agent } Command by me;
    /// a call that needs no answer any more
    ToolsCancelled = "tools/cancelled" { provider: Agent } Gateway by gateway to provider [Directed];
    /// asks for one call
    ToolsGet = "tools/get" { me: Agent } Command by me [WhenClosed];
    /// [ends all that is in the room](#rooms)
    RoomClose = "room/close" { me: Agent } Command by me [WhenClosed];
    /// lets it be used again
    RoomOpen = "room/open" { me: Agent } Command by me [WhenClosed];
    /// [Reply](#replies-and-codes) to any of your commands; `rest` is what you appended in a
    /// Response Topic
    Reply = "reply" { me: Agent, rest: Option<Key> } Gateway by gateway to me [Directed];
}
