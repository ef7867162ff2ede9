//! Roles: what each may publish and receive in the rooms that its user may enter. The table is the
//! whole truth; `docs/security.md` shows it, and a test holds the two equal.

use serde::{Deserialize, Serialize};

use crate::wire::filter::levels_overlap;
use crate::wire::name::is_name;

/// What a user is to a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// An ordinary participant: dispatches, works, shares state, asks for approval.
    Agent,
    /// Takes work and tool calls, and answers them.
    Worker,
    /// Decides what awaits approval.
    Approver,
    /// Sees events, presence, state and what awaits approval.
    Observer,
    /// Everything, in rooms and outside.
    Admin,
    /// Relays whole rooms.
    Bridge,
}

impl Role {
    /// Every role.
    pub const ALL: [Role; 6] = [
        Role::Agent,
        Role::Worker,
        Role::Approver,
        Role::Observer,
        Role::Admin,
        Role::Bridge,
    ];

    /// As files and tokens name it.
    pub fn name(self) -> &'static str {
        match self {
            Role::Agent => "agent",
            Role::Worker => "worker",
            Role::Approver => "approver",
            Role::Observer => "observer",
            Role::Admin => "admin",
            Role::Bridge => "bridge",
        }
    }

    /// The role of a name.
    pub fn of_name(name: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.name() == name)
    }
}

/// Some of the roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RoleSet(u8);

impl RoleSet {
    const fn of(roles: &[Role]) -> RoleSet {
        let mut set = 0;
        let mut index = 0;
        while index < roles.len() {
            set |= 1 << roles[index] as u8;
            index += 1;
        }
        RoleSet(set)
    }

    /// Whether the role is among them.
    pub fn contains(self, role: Role) -> bool {
        self.0 & 1 << role as u8 != 0
    }

    /// Those that are in both.
    fn and(self, other: RoleSet) -> RoleSet {
        RoleSet(self.0 & other.0)
    }

    fn first(self) -> Option<Role> {
        Role::ALL.into_iter().find(|role| self.contains(*role))
    }
}

impl FromIterator<Role> for RoleSet {
    fn from_iter<I: IntoIterator<Item = Role>>(roles: I) -> RoleSet {
        roles.into_iter().fold(RoleSet::default(), |set, role| {
            RoleSet(set.0 | 1 << role as u8)
        })
    }
}

/// What is to be done with a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Write it.
    Publish,
    /// Have it delivered.
    Receive,
}

/// A row of the table: topics below a room, and who may do what with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoleRow {
    /// A filter below the room; `{me}` is the client's own id.
    pub topic: &'static str,
    publish: RoleSet,
    receive: RoleSet,
}

impl RoleRow {
    /// Which of these roles the row lets do this.
    pub fn allows(&self, access: Operation, roles: RoleSet) -> RoleSet {
        roles.and(match access {
            Operation::Publish => self.publish,
            Operation::Receive => self.receive,
        })
    }
}

const NOBODY: RoleSet = RoleSet(0);
const EVERYBODY: RoleSet = RoleSet::of(&[
    Role::Agent,
    Role::Worker,
    Role::Approver,
    Role::Observer,
    Role::Bridge,
]);
const AGENTS: RoleSet = RoleSet::of(&[Role::Agent, Role::Bridge]);
const WORKERS: RoleSet = RoleSet::of(&[Role::Agent, Role::Worker, Role::Bridge]);
const WATCHERS: RoleSet = RoleSet::of(&[Role::Agent, Role::Observer, Role::Bridge]);
const APPROVERS: RoleSet = RoleSet::of(&[Role::Approver]);
const BRIDGES: RoleSet = RoleSet::of(&[Role::Bridge]);

const fn writes(topic: &'static str, publish: RoleSet) -> RoleRow {
    RoleRow {
        topic,
        publish,
        receive: NOBODY,
    }
}

const fn reads(topic: &'static str, receive: RoleSet) -> RoleRow {
    RoleRow {
        topic,
        publish: NOBODY,
        receive,
    }
}

/// The table. `admin` is not in it: it may do everything.
#[rustfmt::skip]
pub const ROWS: &[RoleRow] = &[
    writes("presence/announce/{me}", RoleSet::of(&[Role::Agent, Role::Worker, Role::Approver, Role::Bridge])),
    reads("presence/agent/+", EVERYBODY),
    writes("presence/list/{me}", EVERYBODY),
    writes("handoff/dispatch/{me}", AGENTS),
    reads("handoff/work/+", WORKERS),
    writes("handoff/update/{me}", WORKERS),
    reads("handoff/asking/+", RoleSet::of(&[Role::Agent, Role::Approver, Role::Observer, Role::Bridge])),
    writes("handoff/answer/{me}", RoleSet::of(&[Role::Agent, Role::Approver, Role::Bridge])),
    writes("handoff/cancel/{me}", AGENTS),
    writes("handoff/get/{me}", AGENTS),
    writes("handoff/list/{me}", AGENTS),
    writes("handoff/redrive/{me}", AGENTS),
    reads("handoff/result/{me}", EVERYBODY),
    writes("inbox/+/{me}", WORKERS),
    reads("inbox/{me}/+", EVERYBODY),
    writes("blackboard/set/{me}/#", AGENTS),
    writes("blackboard/delete/{me}/#", AGENTS),
    writes("blackboard/txn/{me}", AGENTS),
    writes("blackboard/get/{me}", WATCHERS),
    writes("blackboard/list/{me}", WATCHERS),
    writes("blackboard/history/{me}", WATCHERS),
    writes("blackboard/lock/{me}/+", AGENTS),
    writes("blackboard/unlock/{me}/+", AGENTS),
    reads("blackboard/state/#", WATCHERS),
    writes("observe/events/{me}/+", AGENTS),
    reads("observe/events/+/+", WATCHERS),
    writes("observe/replay/{me}", WATCHERS),
    writes("approve/request/{me}", AGENTS),
    reads("approve/pending/+", RoleSet::of(&[Role::Agent, Role::Approver, Role::Observer, Role::Bridge])),
    writes("approve/decide/{me}/+", APPROVERS),
    reads("approve/decision/{me}", EVERYBODY),
    writes("approve/cancel/{me}", AGENTS),
    writes("approve/audit/{me}", RoleSet::of(&[Role::Agent, Role::Approver, Role::Observer, Role::Bridge])),
    writes("tools/register/{me}/+", WORKERS),
    reads("tools/card/+", WORKERS),
    writes("tools/call/{me}/+", AGENTS),
    reads("tools/run/+", WORKERS),
    writes("tools/return/{me}", WORKERS),
    reads("tools/result/{me}", EVERYBODY),
    writes("tools/answer/{me}", AGENTS),
    writes("tools/cancel/{me}", AGENTS),
    writes("tools/get/{me}", AGENTS),
    reads("tools/cancelled/{me}", EVERYBODY),
    writes("mailbox/list/{me}", EVERYBODY),
    writes("mailbox/list/{me}/+", NOBODY),
    writes("mailbox/purge/{me}", EVERYBODY),
    writes("mailbox/purge/{me}/+", NOBODY),
    writes("room/close/{me}", NOBODY),
    writes("room/open/{me}", NOBODY),
    reads("reply/{me}/#", EVERYBODY),
    reads("#", BRIDGES),
];

/// Whether anything that the gateway or an agent sends in a room can match this filter of what is
/// below the room.
pub fn may_match(rest: &str) -> bool {
    ROWS.iter().any(|row| {
        let levels = row.topic.split('/');
        let levels = levels.map(|level| if level == "{me}" { "+" } else { level });
        row.topic != "#"
            && row.receive != RoleSet::default()
            && levels_overlap(levels, rest.split('/'))
    })
}

/// The first role, and the row, that let client `me` do this with a topic whose part below the room
/// is `rest`; with a filter for `rest`, do it with some topic that the filter matches.
pub(super) fn allowing(
    roles: RoleSet,
    access: Operation,
    me: &str,
    rest: &str,
) -> Option<(Role, &'static RoleRow)> {
    // An id that is no name could be a wildcard; it has no topics of its own.
    let is_agent = is_name(me);
    ROWS.iter().find_map(|row| {
        let role = row.allows(access, roles).first()?;
        if row.topic.contains("{me}") && !is_agent {
            return None;
        }
        let topic = row
            .topic
            .split('/')
            .map(|level| if level == "{me}" { me } else { level });
        levels_overlap(topic, rest.split('/')).then_some((role, row))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::topic::{RoomTopic, Topic, TopicKind};

    fn may(role: Role, access: Operation, rest: &str) -> bool {
        allowing(RoleSet::from_iter([role]), access, "me", rest).is_some()
    }

    /// What the client `me` writes, or is sent, by a row of the grammar.
    fn topics(row: &crate::wire::topic::TopicRow) -> Vec<(&'static str, String, Operation)> {
        let mut found = Vec::new();
        let accesses: &[Operation] = match row.kind {
            TopicKind::Command => &[Operation::Publish],
            TopicKind::Relayed => &[Operation::Publish, Operation::Receive],
            TopicKind::Gateway => &[Operation::Receive],
        };
        for access in accesses {
            let of = |(name, _): &(&str, bool)| match (*name, access) {
                ("key" | "rest", _) => "a/b",
                ("me" | "source", Operation::Publish) => "me",
                ("to" | "dispatcher" | "requester" | "caller" | "provider", Operation::Receive) => {
                    "me"
                }
                ("me", Operation::Receive) if row.kind == TopicKind::Gateway => "me",
                _ => "x",
            };
            let needed = row.levels.iter().filter(|(_, is_optional)| !is_optional);
            for levels in [
                needed.clone().map(of).collect::<Vec<_>>(),
                row.levels.iter().map(of).collect(),
            ] {
                found.push((
                    row.words,
                    format!("{}/{}", row.words, levels.join("/")),
                    *access,
                ));
            }
        }
        found
    }

    #[test]
    fn every_topic_of_the_grammar_is_somebodys() {
        // Decided by approvers, or for operators alone.
        const OTHERS: [&str; 3] = ["approve/decide", "room/close", "room/open"];
        let topics = Topic::ROWS.iter().flat_map(|row| topics(row));
        for (words, rest, access) in topics {
            let is_for_others =
                OTHERS.contains(&words) || rest.starts_with("mailbox/") && rest.ends_with("/x");
            assert_eq!(may(Role::Agent, access, &rest), !is_for_others, "{rest}");
            let parsed = RoomTopic::parse("rooms", &format!("rooms/r/{rest}"));
            assert!(parsed.is_some_and(|parsed| parsed.is_ok()), "{rest}");
            let has_row = ROWS.iter().any(|row| {
                let levels = row.topic.split('/');
                let levels = levels.map(|level| if level == "{me}" { "me" } else { level });
                row.topic != "#" && levels_overlap(levels, rest.split('/'))
            });
            assert!(has_row, "the table of roles says nothing of {rest}");
        }
        for role in Role::ALL.into_iter().filter(|role| *role != Role::Admin) {
            assert!(
                !may(role, Operation::Publish, "room/close/me"),
                "admin alone"
            );
            assert!(
                !may(role, Operation::Publish, "mailbox/purge/me/bob"),
                "admin alone"
            );
        }
        assert!(may(
            Role::Approver,
            Operation::Publish,
            "approve/decide/me/p"
        ));
        assert!(!may(Role::Agent, Operation::Publish, "approve/decide/me/p"));
    }

    #[test]
    fn nobody_writes_as_another_or_reads_anothers_mail() {
        for role in [
            Role::Agent,
            Role::Worker,
            Role::Approver,
            Role::Observer,
            Role::Bridge,
        ] {
            for rest in [
                "handoff/dispatch/bob",
                "inbox/me/bob",
                "approve/decide/bob/p",
            ] {
                assert!(!may(role, Operation::Publish, rest), "{role:?} {rest}");
            }
        }
        for role in [Role::Agent, Role::Worker, Role::Approver, Role::Observer] {
            for rest in [
                "inbox/bob/me",
                "reply/bob",
                "handoff/result/bob",
                "approve/decision/bob",
            ] {
                assert!(!may(role, Operation::Receive, rest), "{role:?} {rest}");
            }
        }
        assert!(may(Role::Bridge, Operation::Receive, "inbox/bob/me"));
    }

    #[test]
    fn an_observer_changes_nothing() {
        let observer = RoleSet::from_iter([Role::Observer]);
        let written: Vec<_> = ROWS
            .iter()
            .filter(|row| row.allows(Operation::Publish, observer) != RoleSet::default())
            .map(|row| row.topic)
            .collect();
        assert_eq!(
            written,
            [
                "presence/list/{me}",
                "blackboard/get/{me}",
                "blackboard/list/{me}",
                "blackboard/history/{me}",
                "observe/replay/{me}",
                "approve/audit/{me}",
                "mailbox/list/{me}",
                "mailbox/purge/{me}"
            ],
            "questions alone, and its own mail"
        );
    }

    #[test]
    fn docs_show_this_table() {
        let docs = include_str!("../../docs/security.md");
        for row in ROWS {
            let names = |access| {
                let roles = Role::ALL.into_iter();
                let allowed = row.allows(access, RoleSet::of(&Role::ALL));
                let names: Vec<_> = roles
                    .filter(|r| allowed.contains(*r))
                    .map(Role::name)
                    .collect();
                names.join(", ")
            };
            let line = format!(
                "| `{}` | {} | {} |",
                row.topic,
                names(Operation::Publish),
                names(Operation::Receive)
            );
            let line = line.replace("|  |", "| |");
            let line = line.replace("|  |", "| |");
            assert!(
                docs.lines().any(|shown| shown == line),
                "docs/security.md lacks: {line}"
            );
        }
        let shown = docs
            .lines()
            .filter(|line| line.starts_with("| `") && line.matches(" |").count() == 3);
        let shown = shown
            .filter(|line| {
                ROWS.iter()
                    .any(|row| line.starts_with(&format!("| `{}`", row.topic)))
            })
            .count();
        assert_eq!(shown, ROWS.len(), "docs/security.md shows a row twice");
    }
}
