//! Which client ids belong to a user: an agent is its client id, so nobody may bring another's.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::prefix::Prefix;

/// A text with `%u` for the user's name, and perhaps a `*` at its end for anything.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ClientIdPattern(Prefix);

impl ClientIdPattern {
    /// What it says of one user.
    fn of(&self, user: &str) -> Prefix {
        Prefix {
            text: self.0.text.replace("%u", user).into(),
            open: self.0.open,
        }
    }

    fn binds(&self, user: &str, client_id: &str) -> bool {
        self.of(user).fits(client_id)
    }

    fn names_user(&self) -> bool {
        self.0.text.contains("%u")
    }
}

/// The rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientIds(Vec<ClientIdPattern>);

/// A pattern that cannot be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a pattern of client ids must not be empty and may have a * only at its end, but is {0:?}")]
pub struct BadPattern(String);

impl ClientIds {
    /// Reads the patterns.
    ///
    /// # Errors
    /// If one is empty or has a `*` before its end.
    pub fn new(patterns: &[String]) -> Result<ClientIds, BadPattern> {
        let read = |text: &String| {
            let prefix = Prefix::read(text);
            if text.is_empty() || prefix.text.contains('*') {
                return Err(BadPattern(text.clone()));
            }
            Ok(ClientIdPattern(prefix))
        };
        patterns
            .iter()
            .map(read)
            .collect::<Result<_, _>>()
            .map(ClientIds)
    }

    /// Whether a user may have this id. Where one known user's name begins another's (`ann` and
    /// `ann-b`), an id that fits both is the one's with the longer name.
    pub(super) fn allow(&self, user: &str, client_id: &str, known: &BTreeSet<Arc<str>>) -> bool {
        self.0.iter().any(|pattern| {
            pattern.binds(user, client_id)
                && (!pattern.names_user() || !self.closer(user, client_id, known))
        })
    }

    fn closer(&self, user: &str, client_id: &str, known: &BTreeSet<Arc<str>>) -> bool {
        let longer = known
            .range::<str, _>((std::ops::Bound::Excluded(user), std::ops::Bound::Unbounded))
            .take_while(|other| other.starts_with(user));
        let binds = |other: &str| {
            let mut named = self.0.iter().filter(|pattern| pattern.names_user());
            named.any(|pattern| pattern.binds(other, client_id))
        };
        longer
            // Most names are ruled out without making a text of them.
            .filter(|other| client_id.contains(&***other))
            .any(|other| binds(other))
    }

    /// An id for a client that brought none; `None` if the rule leaves no room for new ones.
    pub(super) fn assign(&self, user: &str, fresh: &str) -> Option<String> {
        let open = self.0.iter().find(|pattern| pattern.0.open)?;
        Some(format!("{}{fresh}", open.of(user).text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(patterns: &[&str]) -> ClientIds {
        let patterns: Vec<String> = patterns.iter().map(|p| (*p).to_owned()).collect();
        ClientIds::new(&patterns).unwrap()
    }

    fn default() -> ClientIds {
        rule(&["%u", "%u-*", "%u.*", "%u:*"])
    }

    fn known(users: &[&str]) -> BTreeSet<Arc<str>> {
        users.iter().map(|user| Arc::from(*user)).collect()
    }

    #[test]
    fn ids_begin_with_their_users_name() {
        let (rule, nobody) = (default(), BTreeSet::new());
        for id in ["ann", "ann-1", "ann.phone", "ann:x/y"] {
            assert!(rule.allow("ann", id, &nobody), "{id}");
        }
        for id in ["anna", "bob", "bob-ann", "an", "ann_1", ""] {
            assert!(!rule.allow("ann", id, &nobody), "{id}");
        }
    }

    #[test]
    fn a_longer_name_keeps_its_own_ids() {
        let rule = default();
        let known = known(&["ann", "ann-b", "anne"]);
        assert!(rule.allow("ann", "ann-1", &known));
        assert!(!rule.allow("ann", "ann-b", &known));
        assert!(!rule.allow("ann", "ann-b-2", &known));
        assert!(rule.allow("ann", "ann-bc", &known));
        assert!(rule.allow("ann-b", "ann-b-2", &known));
        assert!(!rule.allow("ann-b", "ann", &known));
    }

    #[test]
    fn an_open_rule_binds_nobody() {
        let rule = rule(&["*"]);
        assert!(rule.allow("ann", "bob", &known(&["ann", "bob"])));
        assert_eq!(rule.assign("ann", "X").as_deref(), Some("X"));
    }

    #[test]
    fn assigned_ids_are_their_users() {
        let id = default().assign("ann", "01J").unwrap();
        assert_eq!(id, "ann-01J");
        assert!(default().allow("ann", &id, &BTreeSet::new()));
        assert_eq!(rule(&["%u"]).assign("ann", "01J"), None);
    }

    #[test]
    fn stars_stand_at_the_end() {
        for bad in ["", "*-%u", "a**"] {
            assert!(ClientIds::new(&[bad.to_owned()]).is_err(), "{bad}");
        }
    }
}
