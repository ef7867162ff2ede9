//! What one client may do: the ACL file first, then its roles; nothing else is allowed.
//!
//! A `deny` line beats a role. A line that allows needs no role, a role needs no line.

use std::fmt;
use std::sync::Arc;

use super::acl::{Asker, Decided, Opinion};
use super::identity::ClientIdentity;
use super::role::{Operation, Role, RoleRow, allowing};
use super::rules::Rules;
use super::users::Grants;
use crate::wire::filter::{SharedFilter, has_wildcard};
use crate::wire::topic::below_root;

/// A client's rights under one set of rules.
#[derive(Debug, Clone)]
pub struct Rights {
    rules: Arc<Rules>,
    identity: Arc<ClientIdentity>,
    client_id: Arc<str>,
    grants: Arc<Grants>,
}

/// An answer, and what it rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessVerdict<'a> {
    /// A line of the ACL file allows it.
    Line(Decided<'a>),
    /// A role allows it by this row; `admin` needs none.
    Role(Role, Option<&'static RoleRow>),
    /// A `deny` line of the ACL file.
    Denied(Decided<'a>),
    /// The ACL file has patterns, and a name with `+` or `#` must not be put in them.
    DangerousName,
    /// Nothing allows it.
    Nothing,
}

impl AccessVerdict<'_> {
    /// Whether it is a yes.
    pub fn allows(&self) -> bool {
        matches!(self, AccessVerdict::Line(_) | AccessVerdict::Role(..))
    }
}

impl fmt::Display for AccessVerdict<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AccessVerdict::Line(line) | AccessVerdict::Denied(line) => line.fmt(f),
            AccessVerdict::Role(role, Some(row)) => {
                write!(f, "role {}: {}", role.name(), row.topic)
            }
            AccessVerdict::Role(role, None) => write!(f, "role {}", role.name()),
            AccessVerdict::DangerousName => {
                f.write_str("the user's name or the client id has a + or #, which patterns refuse")
            }
            AccessVerdict::Nothing => f.write_str("no role and no line of the ACL file allows it"),
        }
    }
}

impl Rights {
    pub(super) fn new(
        rules: Arc<Rules>,
        identity: Arc<ClientIdentity>,
        client_id: Arc<str>,
        grants: Arc<Grants>,
    ) -> Rights {
        Rights {
            rules,
            identity,
            client_id,
            grants,
        }
    }

    /// Whether they follow from these rules.
    pub fn are_of(&self, rules: &Arc<Rules>) -> bool {
        Arc::ptr_eq(&self.rules, rules)
    }

    /// Who has them.
    pub fn identity(&self) -> &Arc<ClientIdentity> {
        &self.identity
    }

    /// The client id that they go with.
    pub fn client_id(&self) -> &Arc<str> {
        &self.client_id
    }

    fn asker(&self) -> Asker<'_> {
        Asker {
            user: &self.identity.user,
            anonymous: self.identity.is_anonymous(),
            client_id: &self.client_id,
        }
    }

    /// May a message on this topic be published, or delivered?
    pub fn of_topic(&self, access: Operation, topic: &str) -> AccessVerdict<'_> {
        let acl = self.rules.acl.as_ref();
        let opinion = acl.map(|acl| acl.of_topic(self.asker(), access, topic));
        combine(opinion).unwrap_or_else(|| self.by_role(access, topic))
    }

    /// May a subscription stand? Yes if its filter can match something that may be delivered; what
    /// is delivered is checked again, each time. A shared subscription is judged by the filter that
    /// its group listens to.
    pub fn of_filter(&self, filter: &str) -> AccessVerdict<'_> {
        let filter = SharedFilter::parse(filter).map_or(filter, |shared| shared.filter);
        let acl = self.rules.acl.as_ref();
        let opinion = acl.map(|acl| acl.of_filter(self.asker(), filter));
        combine(opinion).unwrap_or_else(|| self.by_role_of_filter(filter))
    }

    /// Whether a message on this topic may be published.
    pub fn may_publish(&self, topic: &str) -> bool {
        self.of_topic(Operation::Publish, topic).allows()
    }

    /// Whether a message on this topic may be delivered.
    pub fn may_receive(&self, topic: &str) -> bool {
        self.of_topic(Operation::Receive, topic).allows()
    }

    fn by_role(&self, access: Operation, topic: &str) -> AccessVerdict<'static> {
        let roles = self.grants.roles;
        if roles.contains(Role::Admin) {
            return AccessVerdict::Role(Role::Admin, None);
        }
        let below = below_root(&self.rules.settings.root, topic);
        let Some((room, rest)) = below.and_then(|below| below.split_once('/')) else {
            return AccessVerdict::Nothing;
        };
        if !self.grants.may_enter(room) {
            return AccessVerdict::Nothing;
        }
        self.by_row(access, rest)
    }

    fn by_role_of_filter(&self, filter: &str) -> AccessVerdict<'static> {
        if !has_wildcard(filter) || self.grants.roles.contains(Role::Admin) {
            return self.by_role(Operation::Receive, filter);
        }
        let (root, below) = filter.split_once('/').unwrap_or((filter, ""));
        if root != "#" && root != "+" && root != self.rules.settings.root {
            return AccessVerdict::Nothing;
        }
        let (room, rest) = match (root, below.split_once('/')) {
            ("#", _) => ("#", "#"),
            (_, Some(parts)) => parts,
            (_, None) => (below, if below == "#" { "#" } else { "" }),
        };
        let may_enter = match room {
            "#" | "+" => !self.grants.rooms.is_empty(),
            room => self.grants.may_enter(room),
        };
        if may_enter && !rest.is_empty() {
            self.by_row(Operation::Receive, rest)
        } else {
            AccessVerdict::Nothing
        }
    }

    fn by_row(&self, access: Operation, rest: &str) -> AccessVerdict<'static> {
        let found = allowing(self.grants.roles, access, &self.client_id, rest);
        found.map_or(AccessVerdict::Nothing, |(role, row)| {
            AccessVerdict::Role(role, Some(row))
        })
    }
}

/// What the file says; `None` if that is nothing.
fn combine(opinion: Option<Opinion<'_>>) -> Option<AccessVerdict<'_>> {
    match opinion? {
        Opinion::Allows(line) => Some(AccessVerdict::Line(line)),
        Opinion::Denies(line) => Some(AccessVerdict::Denied(line)),
        Opinion::DangerousName => Some(AccessVerdict::DangerousName),
        Opinion::Nothing => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::settings::AuthSettings;
    use super::*;

    fn rights(users: &str, acl: &str, user: &str, client_id: &str) -> Rights {
        let directory = tempfile::tempdir().unwrap();
        let settings = AuthSettings {
            root: "rooms".to_owned(),
            users_file: Some(directory.path().join("users.toml")),
            acl_file: Some(directory.path().join("acl")),
            client_ids: vec!["*".to_owned()],
            ..AuthSettings::default()
        };
        std::fs::write(settings.users_file.as_ref().unwrap(), users).unwrap();
        std::fs::write(settings.acl_file.as_ref().unwrap(), acl).unwrap();
        let rules = Arc::new(Rules::load(&settings).unwrap());
        let identity = rules.suppose(user);
        rules.rights(&identity, &client_id.into()).unwrap()
    }

    const USERS: &str = "[users.ann]\nroles = [\"agent\"]\nrooms = [\"lab\", \"dev-*\"]\n\
                         [users.root]\nroles = [\"admin\"]\n[users.eye]\nroles = [\"observer\"]\nrooms = [\"*\"]\n";

    #[test]
    fn an_agent_works_in_its_rooms_under_its_own_id() {
        let ann = rights(USERS, "", "ann", "ann-1");
        assert!(ann.may_publish("rooms/lab/handoff/dispatch/ann-1"));
        assert!(ann.may_publish("rooms/dev-2/blackboard/set/ann-1/a/b"));
        assert!(!ann.may_publish("rooms/lab/handoff/dispatch/ann-2"));
        assert!(!ann.may_publish("rooms/other/handoff/dispatch/ann-1"));
        assert!(!ann.may_publish("plain") && !ann.may_receive("plain"));
        assert!(ann.may_receive("rooms/lab/reply/ann-1/x"));
        assert!(!ann.may_receive("rooms/lab/reply/ann-2"));
        assert!(!ann.may_receive("rooms/other/reply/ann-1"));
    }

    #[test]
    fn an_id_with_wildcards_gets_nothing_by_its_name() {
        let sly = rights(USERS, "", "ann", "+");
        assert!(!sly.may_receive("rooms/lab/inbox/bob/eve"));
        assert!(!sly.may_receive("rooms/lab/reply/bob"));
        assert!(sly.may_receive("rooms/lab/presence/agent/bob"));
    }

    #[test]
    fn deny_lines_beat_roles_and_lines_need_none() {
        let acl = "user ann\ntopic deny rooms/lab/blackboard/#\ntopic read plain/#\nuser root\ntopic deny secret\n";
        let ann = rights(USERS, acl, "ann", "ann-1");
        assert!(!ann.may_publish("rooms/lab/blackboard/set/ann-1/a"));
        assert!(!ann.may_receive("rooms/lab/blackboard/state/a"));
        assert!(ann.may_receive("rooms/dev-1/blackboard/state/a"));
        assert!(ann.may_receive("plain/x") && !ann.may_publish("plain/x"));
        let root = rights(USERS, acl, "root", "root");
        assert!(root.may_publish("anything") && root.may_receive("$SYS/broker/uptime"));
        assert!(!root.may_publish("secret"));
    }

    #[test]
    fn a_subscription_needs_something_to_receive() {
        let ann = rights(USERS, "user ann\ntopic read plain/+\n", "ann", "ann-1");
        for filter in [
            "#",
            "+/#",
            "rooms/#",
            "rooms/+/presence/agent/+",
            "rooms/lab/#",
            "rooms/lab/+/+/ann-1",
            "rooms/dev-3/handoff/work/code",
            "$share/g/rooms/lab/handoff/work/code",
            "rooms/lab/inbox/ann-1/#",
            "plain/#",
            "$share/g/plain/x",
        ] {
            assert!(ann.of_filter(filter).allows(), "{filter}");
        }
        for filter in [
            "rooms",
            "rooms/lab",
            "rooms/other/#",
            "rooms/lab/inbox/bob/#",
            "rooms/+/reply/bob",
            "other/#",
            "$SYS/#",
            "$share/g/other/#",
            "$share/g/rooms/lab/reply/bob",
            "rooms/lab/approve/decide/+/+",
        ] {
            assert!(!ann.of_filter(filter).allows(), "{filter}");
        }
        let nobody = rights(USERS, "", "stranger", "x");
        assert!(!nobody.of_filter("#").allows());
        assert!(
            rights(USERS, "", "root", "root")
                .of_filter("$SYS/#")
                .allows()
        );
        let eye = rights(USERS, "", "eye", "eye");
        assert!(eye.of_filter("rooms/#").allows());
        assert!(!eye.may_receive("rooms/lab/handoff/work/code"));
    }

    #[test]
    fn verdicts_say_what_they_rest_on() {
        let ann = rights(USERS, "user ann\ntopic deny a\n", "ann", "ann-1");
        let why = |topic| ann.of_topic(Operation::Publish, topic).to_string();
        assert!(why("a").ends_with("acl:2: topic deny a"), "{}", why("a"));
        assert_eq!(
            why("rooms/lab/handoff/dispatch/ann-1"),
            "role agent: handoff/dispatch/{me}"
        );
        assert_eq!(why("b"), "no role and no line of the ACL file allows it");
    }
}
