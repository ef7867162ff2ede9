//! Names: what may stand in one segment of a room topic, and the typed names made of it.

use std::fmt;

use serde::de::{self, Visitor};

/// The agent id that no client may use: it stands for the gateway itself.
pub const GATEWAY: &str = "gateway";

/// The longest name, in bytes.
pub const MAX_NAME_BYTES: usize = 64;

/// The most segments in a blackboard key.
pub const MAX_KEY_SEGMENTS: usize = 8;

/// A text that cannot be a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} must be {}1 to {MAX_NAME_BYTES} of A-Z a-z 0-9 _ . -, but is {found:?}", parts(.what))]
pub struct NameError {
    what: &'static str,
    found: String,
}

/// What those consist of that are not one name.
fn parts(what: &str) -> &'static str {
    match what {
        "a key" => "1 to 8 names joined by /, each ",
        "a call id" => "two names, {caller}/{id}, each ",
        _ => "",
    }
}

impl NameError {
    pub(super) fn new(what: &'static str, found: &str) -> NameError {
        let found = found.chars().take(MAX_NAME_BYTES + 1).collect();
        NameError { what, found }
    }
}

/// Whether `text` is 1 to 64 of `A-Z a-z 0-9 _ . -`.
pub fn is_name(text: &str) -> bool {
    (1..=MAX_NAME_BYTES).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal, $valid:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(std::sync::Arc<str>);

        impl $type {
            /// Parses the text; the error says what is allowed.
            pub fn new(text: &str) -> Result<$type, $crate::wire::name::NameError> {
                if $valid(text) {
                    Ok($type(text.into()))
                } else {
                    Err($crate::wire::name::NameError::new($what, text))
                }
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<$type, D::Error> {
                deserializer.deserialize_str($crate::wire::name::Reader($type::new))
            }
        }

        impl std::str::FromStr for $type {
            type Err = $crate::wire::name::NameError;
            fn from_str(text: &str) -> Result<$type, $crate::wire::name::NameError> {
                $type::new(text)
            }
        }

        impl std::borrow::Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Debug::fmt(&self.0, f)
            }
        }

        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string",
                    "pattern": $crate::wire::name::schema_pattern($what),
                })
            }
        }
    };
}
pub(crate) use name;

/// Reads a name straight from the text that it stands in: a message has many, and each costs one
/// allocation.
pub(super) struct Reader<T>(pub(super) fn(&str) -> Result<T, NameError>);

impl<T> Visitor<'_> for Reader<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.0)(text).map_err(E::custom)
    }
}

/// The regular expression that the schemas give for a name of this kind.
pub(super) fn schema_pattern(what: &str) -> &'static str {
    match what {
        "a call id" => "^[A-Za-z0-9_.-]{1,64}/[A-Za-z0-9_.-]{1,64}$",
        "a key" => "^[A-Za-z0-9_.-]{1,64}(/[A-Za-z0-9_.-]{1,64}){0,7}$",
        _ => "^[A-Za-z0-9_.-]{1,64}$",
    }
}

fn is_key(text: &str) -> bool {
    text.split('/').count() <= MAX_KEY_SEGMENTS && text.split('/').all(is_name)
}

fn is_call_id(text: &str) -> bool {
    text.split_once('/')
        .is_some_and(|(caller, id)| is_name(caller) && is_name(id))
}

name!(
    /// A room: the scope of agents, tasks, keys and approvals that see one another.
    Room, "a room", is_name
);
name!(
    /// An agent: its MQTT client id.
    Agent, "an agent id", is_name
);
name!(
    /// What a worker can do, and what a task needs.
    Capability, "a capability", is_name
);
name!(
    /// A task's type; where a task names no capabilities, the type is the one that it needs.
    TaskType, "a task type", is_name
);
name!(
    /// A task's id: the client's own, or minted by the gateway (a ULID).
    TaskId, "a task id", is_name
);
name!(
    /// An approval's id: the requester's own, or minted by the gateway (a ULID).
    ApprovalId, "an approval id", is_name
);
name!(
    /// A tool call's id: its caller and, after a `/`, the caller's own id or one minted by the
    /// gateway (a ULID).
    CallId, "a call id", is_call_id
);
name!(
    /// A client-minted id that makes a command idempotent.
    CommandId, "a command id", is_name
);
name!(
    /// A remote tool.
    Tool, "a tool", is_name
);
name!(
    /// A category of events.
    Category, "a category", is_name
);
name!(
    /// A blackboard key: 1 to 8 names joined by `/`.
    Key, "a key", is_key
);

impl From<TaskType> for Capability {
    fn from(task_type: TaskType) -> Capability {
        Capability(task_type.0)
    }
}

impl CallId {
    /// The id of a caller's call.
    pub fn of(caller: &Agent, id: &CommandId) -> CallId {
        CallId(format!("{caller}/{id}").into())
    }
}

impl Agent {
    /// The gateway's own, reserved id.
    pub fn gateway() -> Agent {
        Agent(GATEWAY.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_one_to_sixty_four_plain_characters() {
        assert!(is_name("a"));
        assert!(is_name("Room_1.b-c"));
        assert!(is_name(&"x".repeat(64)));
        for bad in ["", "a b", "a/b", "é", "+", "#", &"x".repeat(65)] {
            assert!(!is_name(bad), "{bad:?}");
        }
    }

    #[test]
    fn keys_have_one_to_eight_segments() {
        assert!(Key::new("plan").is_ok());
        assert!(Key::new("a/b/c/d/e/f/g/h").is_ok());
        for bad in ["", "a//b", "/a", "a/", "a/b/c/d/e/f/g/h/i"] {
            assert!(Key::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn call_ids_say_who_calls() {
        let caller = Agent::new("ann").expect("a name");
        let id = CallId::of(&caller, &CommandId::new("7").expect("a name"));
        assert_eq!(id, CallId::new("ann/7").expect("two names"));
        for bad in ["ann", "ann/", "/7", "a/b/c", ""] {
            assert!(CallId::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn error_says_what_was_expected_and_what_came() {
        let error = Room::new("no spaces").expect_err("a space is not allowed");
        assert_eq!(
            error.to_string(),
            "a room must be 1 to 64 of A-Z a-z 0-9 _ . -, but is \"no spaces\""
        );
    }
}
