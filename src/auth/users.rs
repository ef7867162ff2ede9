//! The users file: who has which roles in which rooms. TOML, a table per user.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;

use super::prefix::Prefix;
use super::problem::{FileProblem, line_at, read_text};
use super::role::{Role, RoleSet};
use crate::wire::name::is_name;

/// A room by its name, rooms by how their names begin (`lab-*`), or all of them (`*`).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct RoomPattern(Prefix);

impl TryFrom<String> for RoomPattern {
    type Error = String;
    fn try_from(text: String) -> Result<RoomPattern, String> {
        let prefix = Prefix::read(&text);
        if is_name(&prefix.text) || (prefix.open && prefix.text.is_empty()) {
            Ok(RoomPattern(prefix))
        } else {
            Err(format!(
                "a room must be 1 to 64 of A-Z a-z 0-9 _ . -, with or without a * at its end, but is {text:?}"
            ))
        }
    }
}

impl RoomPattern {
    /// Whether the room is meant.
    pub fn matches(&self, room: &str) -> bool {
        self.0.fits(room)
    }
}

/// Roles, and the rooms in which they count.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Grants {
    /// The roles.
    pub roles: RoleSet,
    /// The rooms.
    pub rooms: Vec<RoomPattern>,
}

impl Grants {
    /// Whether the room may be entered.
    pub fn may_enter(&self, room: &str) -> bool {
        self.rooms.iter().any(|pattern| pattern.matches(room))
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct UserTable {
    #[serde(default)]
    roles: Vec<Role>,
    #[serde(default)]
    rooms: Vec<RoomPattern>,
}

impl From<UserTable> for Grants {
    fn from(table: UserTable) -> Grants {
        Grants {
            roles: table.roles.into_iter().collect(),
            rooms: table.rooms,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    default: Option<UserTable>,
    #[serde(default)]
    users: BTreeMap<String, UserTable>,
}

/// Everybody with roles.
#[derive(Debug, Default)]
pub(super) struct UsersFile {
    default: Arc<Grants>,
    users: BTreeMap<String, Arc<Grants>>,
}

impl UsersFile {
    pub(super) fn load(path: &Path) -> Result<UsersFile, FileProblem> {
        let text = read_text(path)?;
        let document: Document = toml::from_str(&text).map_err(|error| FileProblem {
            path: path.to_owned(),
            line: error.span().map(|span| line_at(&text, span.start)),
            message: error.message().replace('\n', ", "),
        })?;
        Ok(UsersFile {
            default: Arc::new(document.default.map(Grants::from).unwrap_or_default()),
            users: document
                .users
                .into_iter()
                .map(|(user, table)| (user, Arc::new(table.into())))
                .collect(),
        })
    }

    /// What a user may be and where.
    pub(super) fn grants(&self, user: &str) -> &Arc<Grants> {
        self.users.get(user).unwrap_or(&self.default)
    }

    /// Everybody who is named.
    pub(super) fn users(&self) -> impl Iterator<Item = &str> {
        self.users.keys().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<UsersFile, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let path = file.path().display().to_string();
        UsersFile::load(file.path()).map_err(|problem| problem.to_string().replace(&path, "users"))
    }

    #[test]
    fn users_have_roles_in_rooms_and_others_the_default() {
        let file = load(
            "[default]\nroles = [\"observer\"]\nrooms = [\"lobby\"]\n\n\
             [users.ann]\nroles = [\"agent\", \"worker\"]\nrooms = [\"news\", \"lab-*\"]\n[users.\"b@x.org\"]\n",
        )
        .unwrap();
        let ann = file.grants("ann");
        assert!(ann.roles.contains(Role::Worker) && !ann.roles.contains(Role::Admin));
        assert!(ann.may_enter("news") && ann.may_enter("lab-7"));
        assert!(!ann.may_enter("lab") && !ann.may_enter("newsroom") && !ann.may_enter("lobby"));
        assert!(file.grants("stranger").may_enter("lobby"));
        assert_eq!(
            file.grants("b@x.org"),
            &Arc::new(Grants::default()),
            "named, so no default"
        );
    }

    #[test]
    fn faults_are_told_with_their_lines() {
        let told = |text| load(text).unwrap_err();
        let role = told("[users.ann]\nroles = [\"agent\", \"king\"]\n");
        assert!(
            role.starts_with("users:2: unknown variant `king`"),
            "{role}"
        );
        let room = told("[users.ann]\n\nrooms = [\"a b\"]\n");
        assert!(room.starts_with("users:3: a room must be"), "{room}");
        let key = told("[users.ann]\nroom = []\n");
        assert!(key.starts_with("users:2: unknown field `room`"), "{key}");
        let toml = told("[users.ann\n");
        assert!(toml.starts_with("users:1: "), "{toml}");
    }
}
