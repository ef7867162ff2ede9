//! Mosquitto's ACL file: the same grammar, the same answers.
//!
//! A user's own lines are asked first, then the pattern lines; in each group a `deny` that matches
//! beats every allowance. A file that mosquitto reads is read here alike, so what is written about
//! its `acl_file` holds. One thing mosquitto does not know: the user as whom anonymous clients act.
//! That user's lines are theirs, besides those before the first `user`.

mod parse;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::role::Operation;
use crate::wire::filter::{has_wildcard, levels_cover, levels_overlap};

/// What a line grants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AclGrant {
    Read,
    Write,
    ReadWrite,
    Deny,
}

impl AclGrant {
    fn allows(self, access: Operation) -> bool {
        match self {
            AclGrant::Read => access == Operation::Receive,
            AclGrant::Write => access == Operation::Publish,
            AclGrant::ReadWrite => true,
            AclGrant::Deny => false,
        }
    }

    fn word(self) -> &'static str {
        match self {
            AclGrant::Read => "read",
            AclGrant::Write => "write",
            AclGrant::ReadWrite => "readwrite",
            AclGrant::Deny => "deny",
        }
    }
}

/// A `topic` or `pattern` line.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    number: usize,
    keyword: &'static str,
    grant: AclGrant,
    filter: Box<str>,
}

/// Which line decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decided<'a> {
    path: &'a Path,
    line: &'a Line,
}

impl std::fmt::Display for Decided<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Line {
            number,
            keyword,
            grant,
            filter,
        } = self.line;
        let word = grant.word();
        write!(
            f,
            "{}:{number}: {keyword} {word} {filter}",
            self.path.display()
        )
    }
}

/// What the file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opinion<'a> {
    /// A line allows it.
    Allows(Decided<'a>),
    /// A `deny` line matches.
    Denies(Decided<'a>),
    /// There are pattern lines, and the user's name or client id has a wildcard in it, which must
    /// not be put in their place.
    DangerousName,
    /// No line matches.
    Nothing,
}

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub struct Asker<'a> {
    /// The user, or as whom an anonymous client acts.
    pub user: &'a str,
    /// Without a name of its own: the lines before the first `user` count as well, and `%u` stands
    /// for nobody.
    pub anonymous: bool,
    /// The MQTT client id.
    pub client_id: &'a str,
}

/// A whole file; `deny` lines stand first in each list.
#[derive(Debug, Default)]
pub(super) struct Acl {
    path: PathBuf,
    anonymous: Vec<Line>,
    users: HashMap<Box<str>, Vec<Line>>,
    patterns: Vec<Line>,
}

impl Acl {
    /// Whoever is named by a `user` line.
    pub(super) fn users(&self) -> impl Iterator<Item = &str> {
        self.users.keys().map(|user| &**user)
    }

    /// May this topic be published, or delivered?
    pub(super) fn of_topic(&self, asker: Asker<'_>, access: Operation, topic: &str) -> Opinion<'_> {
        self.ask(asker, |line, substitute| {
            (line.grant == AclGrant::Deny || line.grant.allows(access))
                && levels(line, substitute, topic)
                    .is_some_and(|levels| levels_overlap(levels, topic.split('/')))
        })
    }

    /// May a subscription to this filter stand: can it match anything that may be delivered?
    pub(super) fn of_filter(&self, asker: Asker<'_>, filter: &str) -> Opinion<'_> {
        if !has_wildcard(filter) {
            return self.of_topic(asker, Operation::Receive, filter);
        }
        self.ask(asker, |line, substitute| {
            let Some(levels) = levels(line, substitute, filter) else {
                return false;
            };
            match line.grant {
                AclGrant::Deny => levels_cover(levels, filter.split('/')),
                grant => {
                    grant.allows(Operation::Receive) && levels_overlap(levels, filter.split('/'))
                }
            }
        })
    }

    /// Asks line by line; pattern lines are asked with whom to put in their place.
    fn ask(
        &self,
        asker: Asker<'_>,
        concerns: impl Fn(&Line, Option<Asker<'_>>) -> bool,
    ) -> Opinion<'_> {
        let named = self.users.get(asker.user);
        let nameless = Some(&self.anonymous).filter(|_| asker.anonymous);
        let own = [nameless, named]
            .into_iter()
            .flatten()
            .filter_map(|lines| lines.iter().find(|line| concerns(line, None)));
        // The first of each list is a `deny` if one concerns it.
        if let Some(line) = own.min_by_key(|line| line.grant != AclGrant::Deny) {
            return self.opinion(line);
        }
        if self.patterns.is_empty() {
            return Opinion::Nothing;
        }
        let dangerous = |name: &str| name.contains(['+', '#']);
        if !asker.anonymous && dangerous(asker.user) || dangerous(asker.client_id) {
            return Opinion::DangerousName;
        }
        let found = self
            .patterns
            .iter()
            .find(|line| concerns(line, Some(asker)));
        found.map_or(Opinion::Nothing, |line| self.opinion(line))
    }

    fn opinion<'a>(&'a self, line: &'a Line) -> Opinion<'a> {
        let decided = Decided {
            path: &self.path,
            line,
        };
        match line.grant {
            AclGrant::Deny => Opinion::Denies(decided),
            _ => Opinion::Allows(decided),
        }
    }
}

/// The levels of a line, with `%c` and `%u` replaced where they fill a level of a pattern; `None`
/// if there is nobody to put there, or if only one of line and topic begins with `$`. A name with a
/// slash fills no level, so it matches nothing.
fn levels<'a>(
    line: &'a Line,
    substitute: Option<Asker<'a>>,
    topic: &str,
) -> Option<impl Iterator<Item = &'a str>> {
    let dollars = line.filter.starts_with('$') == topic.starts_with('$');
    let needs_user = substitute.is_some_and(|asker| asker.anonymous)
        && line.filter.split('/').any(|level| level == "%u");
    (dollars && !needs_user).then(|| {
        line.filter
            .split('/')
            .map(move |level| match (level, substitute) {
                ("%c", Some(asker)) => asker.client_id,
                ("%u", Some(asker)) => asker.user,
                _ => level,
            })
    })
}

#[cfg(test)]
mod tests;
