//! The topic grammar of rooms: text ⇄ [`RoomTopic`], who may write which, and what becomes of a
//! publish.
//!
//! `table` has the rows, `segment` reads and writes levels, `admission` judges a publish, `offer`
//! reads filters.

mod admission;
mod offer;
mod segment;
mod table;

use super::name::{NameError, Room, TaskType};

pub use admission::{Admission, admit};
pub use offer::{Offer, is_own_mail};
pub(super) use segment::{TopicField, level, levels};
pub use table::{Topic, TopicKind, TopicMark, TopicRow};

/// A topic under the root: the room, and what it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomTopic {
    /// The room.
    pub room: Room,
    /// What the rest of the topic says.
    pub topic: Topic,
}

/// What follows the root and its slash, if the topic lies under it.
pub fn below_root<'a>(root: &str, topic: &'a str) -> Option<&'a str> {
    topic.strip_prefix(root)?.strip_prefix('/')
}

/// The room that a topic under the root is of, and what follows it: for a command, its name.
/// Neither is looked at further.
pub fn below_room<'a>(root: &str, topic: &'a str) -> Option<(&'a str, &'a str)> {
    below_root(root, topic)?.split_once('/')
}

/// A topic under the root that the grammar does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// One of the segments is no name.
    #[error("{0}")]
    Name(#[from] NameError),
    /// The segments after the room match no row of the topic table.
    #[error("no such topic in a room: {0:?} (expected one of {patterns} with its parts)", patterns = patterns())]
    Unknown(String),
}

/// Every pattern, in words.
fn patterns() -> String {
    let mut patterns: Vec<&str> = Topic::ROWS.iter().map(|row| row.pattern()).collect();
    patterns.dedup();
    patterns.join(", ")
}

/// Parses `{room}/…`, what stands below the root.
pub fn parse_below_root(rest: &str) -> Result<RoomTopic, TopicError> {
    let (room, rest) = rest.split_once('/').unwrap_or((rest, ""));
    let room = Room::new(room)?;
    let topic = read(rest)
        .transpose()?
        .ok_or_else(|| TopicError::Unknown(rest.chars().take(128).collect()))?;
    Ok(RoomTopic { room, topic })
}

/// Most topics begin with two words, a few with one.
fn read(text: &str) -> Option<Result<Topic, NameError>> {
    let (one, behind) = cut(text);
    let two = behind.and_then(|rest| {
        let (_, behind) = cut(rest);
        let words = match behind {
            Some(behind) => &text[..text.len() - behind.len() - 1],
            None => text,
        };
        Topic::read(words, behind)
    });
    two.or_else(|| Topic::read(one, behind))
}

/// The first level, and what is behind it.
fn cut(text: &str) -> (&str, Option<&str>) {
    match text.split_once('/') {
        Some((level, behind)) => (level, Some(behind)),
        None => (text, None),
    }
}

impl RoomTopic {
    /// A topic of a room.
    pub fn new(room: Room, topic: Topic) -> RoomTopic {
        RoomTopic { room, topic }
    }

    /// Parses a whole topic; `None` if it does not lie under `root`.
    pub fn parse(root: &str, topic: &str) -> Option<Result<RoomTopic, TopicError>> {
        below_root(root, topic).map(parse_below_root)
    }

    /// The topic as MQTT text under `root`.
    pub fn format(&self, root: &str) -> String {
        let mut text = String::with_capacity(96);
        text.push_str(root);
        text.push('/');
        text.push_str(self.room.as_str());
        text.push('/');
        self.topic.write(&mut text);
        text
    }
}

impl Topic {
    /// Who consumes the topic.
    pub fn kind(&self) -> TopicKind {
        self.row().kind
    }

    /// Whether the topic carries directed messages: they wait in one agent's mailbox until its MQTT
    /// ack.
    pub fn is_directed(&self) -> bool {
        self.row().has(TopicMark::Directed)
    }

    /// The pattern that a command belongs to and its verb, as replies and events name it:
    /// `handoff/dispatch`.
    pub fn command_name(&self) -> &'static str {
        match self.kind() {
            TopicKind::Command | TopicKind::Relayed => self.row().words,
            TopicKind::Gateway => "gateway",
        }
    }

    /// Where an assignment of a task of this type goes when the worker offers just that.
    pub fn work(task_type: &TaskType) -> Topic {
        Topic::HandoffWork {
            capability: task_type.clone().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::name::Agent;
    use super::*;

    fn parsed(topic: &str) -> Topic {
        RoomTopic::parse("rooms", topic)
            .expect("under the root")
            .expect("known")
            .topic
    }

    proptest! {
        #[test]
        fn parse_and_format_are_inverse(
            room in "[a-zA-Z0-9_.-]{1,8}", name in "[a-zA-Z0-9_.-]{1,8}", key in "[a-z0-9_.-]{1,4}(/[a-z0-9_.-]{1,4}){0,7}",
            row in proptest::sample::select(Topic::ROWS), is_short: bool,
        ) {
            let mut topic = format!("rooms/{room}/{}", row.words);
            for (level, is_optional) in row.levels {
                if !(*is_optional && is_short) {
                    topic += &format!("/{}", if matches!(*level, "key" | "rest") { &key } else { &name });
                }
            }
            let parsed = RoomTopic::parse("rooms", &topic).expect("under the root").expect("in the table");
            prop_assert_eq!(parsed.format("rooms"), topic);
        }

        #[test]
        fn any_text_parses_or_is_refused_and_what_parses_formats_back(text in "rooms/[a-z/+#$ ]{0,40}") {
            if let Some(Ok(parsed)) = RoomTopic::parse("rooms", &text) {
                prop_assert_eq!(parsed.format("rooms"), text);
            }
        }
    }

    #[test]
    fn commands_name_their_writer_and_others_are_refused() {
        let admission = admit("rooms", "ann", "rooms/lab/handoff/dispatch/ann");
        assert!(matches!(admission, Admission::Desk(_)));
        let code = |client: &str, topic: &str| match admit("rooms", client, topic) {
            Admission::Refused { rejection, .. } => u16::from(rejection.code),
            other => panic!("{topic} by {client} should be refused, not {other:?}"),
        };
        assert_eq!(code("bob", "rooms/lab/handoff/dispatch/ann"), 403);
        assert_eq!(code("bob", "rooms/lab/blackboard/state/plan"), 403);
        assert_eq!(code("gateway", "rooms/lab/observe/events/gateway/x"), 403);
        assert_eq!(code("ann", "rooms/no room/handoff/dispatch/ann"), 400);
        assert_eq!(code("ann", "rooms/lab/handoff/nonsense/ann"), 400);
        assert_eq!(code("ann", "rooms/lab"), 400);
        assert_eq!(code("ann", "rooms/lab/blackboard/set/ann"), 400);
        assert_eq!(code("ann", "rooms/lab/handoff/dispatch/ann/more"), 400);
    }

    #[test]
    fn other_topics_are_ordinary() {
        for topic in [
            "sensors/1",
            "room/lab/handoff/dispatch/ann",
            "rooms",
            "roomsx/lab",
        ] {
            assert_eq!(admit("rooms", "ann", topic), Admission::Ordinary, "{topic}");
        }
        assert!(matches!(
            admit("rooms", "ann", "rooms/lab/observe/events/ann/log"),
            Admission::Relayed(_)
        ));
        assert!(matches!(
            admit("rooms", "ann", "rooms/lab/inbox/bob/ann"),
            Admission::Desk(_)
        ));
    }

    #[test]
    fn directed_topics_know_their_addressee() {
        assert_eq!(
            parsed("rooms/lab/inbox/bob/ann")
                .addressee()
                .map(Agent::as_str),
            Some("bob")
        );
        assert!(parsed("rooms/lab/handoff/work/draft").is_directed());
        assert!(!parsed("rooms/lab/blackboard/state/plan").is_directed());
    }
}
