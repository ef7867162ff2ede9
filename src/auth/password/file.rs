//! The password file: `user:hash`, a line each, as `mosquitto_passwd` and `hallward passwd` write
//! it.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::sync::Arc;

use super::hash::PasswordHash;
use crate::auth::problem::{FileProblem, read_text};

/// A user's line.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::auth) struct UserLine {
    /// As it stands in the file: it changes with every new password.
    pub(in crate::auth) text: Arc<str>,
    hash: PasswordHash,
}

/// Everybody with a password.
#[derive(Debug, Default)]
pub(in crate::auth) struct PasswordFile {
    users: BTreeMap<Arc<str>, Arc<UserLine>>,
    /// The same entries, to pick from.
    entries: Vec<Arc<UserLine>>,
}

impl PasswordFile {
    pub(in crate::auth) fn load(path: &Path) -> Result<PasswordFile, Vec<FileProblem>> {
        let text = read_text(path).map_err(|problem| vec![problem])?;
        let mut file = PasswordFile::default();
        let mut lines: BTreeMap<Arc<str>, usize> = BTreeMap::new();
        let mut problems = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim_end();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match parse(line) {
                Ok((user, _)) if lines.contains_key(&user) => {
                    let first = lines[&user];
                    let message = format!("user {user:?} stands on line {first} already");
                    problems.push(FileProblem::at(path, number, message));
                }
                Ok((user, entry)) => {
                    lines.insert(user.clone(), number);
                    file.insert(user, entry);
                }
                Err(message) => problems.push(FileProblem::at(path, number, message)),
            }
        }
        if problems.is_empty() {
            Ok(file)
        } else {
            Err(problems)
        }
    }

    fn insert(&mut self, user: Arc<str>, entry: UserLine) {
        let entry = Arc::new(entry);
        self.entries.push(entry.clone());
        self.users.insert(user, entry);
    }

    /// A user's entry.
    pub(in crate::auth) fn entry(&self, user: &str) -> Option<&Arc<UserLine>> {
        self.users.get(user)
    }

    /// Everybody, in order.
    pub(in crate::auth) fn users(&self) -> impl Iterator<Item = &Arc<str>> {
        self.users.keys()
    }

    /// What checks a password of this user: for somebody unknown the entry of somebody else, always
    /// the same, so that the answer takes as long as it would for a known one.
    pub(in crate::auth) fn check_of(&self, user: &str, secret: &RandomState) -> Check {
        if let Some(entry) = self.entry(user) {
            return Check {
                entry: Some(entry.clone()),
                known: true,
            };
        }
        let count = self.entries.len().max(1) as u64;
        let pick = usize::try_from(secret.hash_one(user) % count).unwrap_or(0);
        Check {
            entry: self.entries.get(pick).cloned(),
            known: false,
        }
    }
}

/// A password check to be made where it may take its time.
#[derive(Debug)]
pub(in crate::auth) struct Check {
    entry: Option<Arc<UserLine>>,
    known: bool,
}

impl Check {
    /// The entry, if the password is right.
    pub(in crate::auth) fn run(self, password: &[u8]) -> Option<Arc<UserLine>> {
        let entry = self.entry?;
        let right = entry.hash.verify(password);
        (right && self.known).then_some(entry)
    }
}

fn parse(line: &str) -> Result<(Arc<str>, UserLine), String> {
    let Some((user, hash)) = line.split_once(':') else {
        return Err("expected USER:HASH, but found no colon".to_owned());
    };
    let (user, hash) = (user.trim(), hash.trim());
    if user.is_empty() {
        return Err("expected USER:HASH, but the user is empty".to_owned());
    }
    let parsed = PasswordHash::parse(hash).map_err(|error| format!("user {user:?}: {error}"))?;
    let entry = UserLine {
        text: hash.into(),
        hash: parsed,
    };
    Ok((user.into(), entry))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(
        text: &str,
    ) -> (
        tempfile::NamedTempFile,
        Result<PasswordFile, Vec<FileProblem>>,
    ) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let loaded = PasswordFile::load(file.path());
        (file, loaded)
    }

    const ANN: &str = "ann:$7$101$cK04mgLtgIJLmVsk$aqyrwQ/UZOB7v7bAm3DVH6x6s7ZaQigOKvps9lSrWcGhE0ntgglz7nKlLkMe8kIKkpje+leN5UADEWHocBqOCg==";

    #[test]
    fn known_users_log_in_and_unknown_ones_cost_the_same_work() {
        let (_kept, loaded) = file(&format!("# people\n\n{ANN}\n"));
        let loaded = loaded.unwrap();
        let secret = RandomState::new();
        assert!(
            loaded
                .check_of("ann", &secret)
                .run(b"correct horse")
                .is_some()
        );
        assert!(loaded.check_of("ann", &secret).run(b"wrong").is_none());
        let stranger = loaded.check_of("eve", &secret);
        assert!(stranger.entry.is_some(), "somebody's hash is computed");
        assert!(
            stranger.run(b"correct horse").is_none(),
            "and does not count"
        );
    }

    #[test]
    fn every_fault_is_told_with_its_line() {
        let (kept, loaded) = file(&format!("{ANN}\nnobody\nbob:plain\n{ANN}\n:x\n"));
        let told: Vec<String> = loaded
            .unwrap_err()
            .iter()
            .map(ToString::to_string)
            .collect();
        let path = kept.path().display();
        assert_eq!(told.len(), 4, "{told:?}");
        assert_eq!(
            told[0],
            format!("{path}:2: expected USER:HASH, but found no colon")
        );
        assert!(told[1].starts_with(&format!("{path}:3: user \"bob\": expected a password hash")));
        assert_eq!(
            told[2],
            format!("{path}:4: user \"ann\" stands on line 1 already")
        );
        assert!(told[3].contains("the user is empty"));
    }
}
