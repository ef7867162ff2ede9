//! Who acts in a command.

use crate::wire::name::Agent;

/// Who acts: an agent, and the user behind it where users are known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Actor<'a> {
    pub(super) agent: &'a Agent,
    pub(super) user: Option<&'a str>,
}

impl Actor<'_> {
    /// Whether this is its name, or that of its user.
    pub(super) fn is_called(self, name: &str) -> bool {
        name == self.agent.as_str() || self.user == Some(name)
    }
}
