//! The blackboard of a room: entries, and the version of every key that ever was.

use std::collections::BTreeMap;

use bytes::Bytes;
use hallward::wire::Millis;
use hallward::wire::blackboard::Entry;
use hallward::wire::json::Json;
use hallward::wire::name::Key;
use hallward::wire::observe::Event;

use super::super::history::read;
use super::Tally;

/// One room's keys.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct Board {
    pub(in super::super) entries: BTreeMap<Key, Entry>,
    /// The last version of each key, deleted or not.
    pub(in super::super) versions: BTreeMap<Key, u64>,
    /// The last version of any key of which the room has forgotten its own.
    floor: u64,
    /// The highest revision seen.
    pub(in super::super) revision: u64,
    /// Everything that each key ever was, as far as the room cannot have forgotten it.
    pub(in super::super) past: BTreeMap<Key, Vec<Past>>,
    /// The revision up to which the room has forgotten what it was.
    pub(in super::super) forgotten_until: u64,
}

/// What a write made of a key.
#[derive(Debug, Clone)]
pub(in super::super) struct Past {
    pub(in super::super) version: u64,
    pub(in super::super) revision: u64,
    /// `None` where it deleted the key.
    pub(in super::super) entry: Option<Entry>,
}

impl Board {
    /// The key's version as `ifVersion` means it: 0 if it is absent.
    pub(in super::super) fn version(&self, key: &Key) -> u64 {
        self.entries.get(key).map_or(0, |entry| entry.version)
    }

    /// The version that the next write of the key makes.
    pub(in super::super) fn next_version(&self, key: &Key) -> u64 {
        self.versions.get(key).copied().unwrap_or(self.floor) + 1
    }

    /// Whether the key's time is up, whether or not it has been deleted yet.
    pub(in super::super) fn is_lapsed(&self, key: &Key, now: Millis) -> bool {
        let expires_at = self.entries.get(key).and_then(|entry| entry.expires_at);
        expires_at.is_some_and(|at| at <= now)
    }

    /// A room without keys that has long been deserted knows only that no version was higher.
    pub(in super::super) fn everybody_is_gone(&mut self) {
        if self.entries.is_empty() {
            let forgotten = std::mem::take(&mut self.versions);
            self.floor = forgotten.into_values().fold(self.floor, u64::max);
            self.past.clear();
            self.forgotten_until = self.revision;
        }
    }

    pub(super) fn retained(&mut self, key: &Key, payload: Option<&Bytes>, tally: &mut Tally) {
        match payload {
            Some(payload) => {
                let entry: Entry = read(payload);
                if self.version(key) == entry.version {
                    return;
                }
                tally.writes += 1;
                self.versions.insert(key.clone(), entry.version);
                self.revision = self.revision.max(entry.revision);
                self.past.entry(key.clone()).or_default().push(Past {
                    version: entry.version,
                    revision: entry.revision,
                    entry: Some(entry.clone()),
                });
                self.entries.insert(key.clone(), entry);
            }
            None => {
                if let Some(entry) = self.entries.remove(key) {
                    match entry.expires_at {
                        Some(_) => tally.lapsed_keys += 1,
                        None => tally.deletes += 1,
                    }
                }
            }
        }
    }

    /// An event says at which revision a key went.
    pub(super) fn event(&mut self, event: &Event) {
        if !matches!(
            event.what.as_str(),
            "blackboard.deleted" | "blackboard.expired"
        ) {
            return;
        }
        let detail = event.detail.as_ref().map(Json::text).unwrap_or_default();
        let detail: Detail = read(detail.as_bytes());
        let key = Key::new(&event.subject).expect("a key");
        self.revision = self.revision.max(detail.revision);
        self.past.entry(key).or_default().push(Past {
            version: detail.version,
            revision: detail.revision,
            entry: None,
        });
    }
}

/// What an event of the blackboard says besides.
#[derive(serde::Deserialize)]
struct Detail {
    version: u64,
    revision: u64,
}
