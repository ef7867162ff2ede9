//! History: what keys were before, as far as it is kept.
//!
//! Of each key the last versions are kept, deletes among them, and of a room so many bytes: beyond
//! it the oldest go. What is gone is never guessed at: a question about a revision before it is
//! refused.

use std::collections::{BTreeMap, BTreeSet, VecDeque, vec_deque};

use crate::wire::blackboard::{self as wire, GetHistory};
use crate::wire::name::Key;
use crate::wire::reply::{Code, Rejection};

use super::records::KeyChange;
use crate::engine::kept_bytes::MOST_AT_ONCE;
use crate::engine::recorded::Recorded;
use crate::engine::replies::{Accepted, Call, Outcome, between, too_large};
use crate::engine::settings::Settings;
use crate::engine::tx::RoomTx;

use super::{Blackboard, KeyVersion, StoredValue};

/// What a past version costs beyond its value, in bytes.
const OVERHEAD: usize = 128;

/// The past versions of a room's keys.
#[derive(Debug, Default)]
pub(in crate::engine) struct VersionHistory {
    /// What keys that are no longer remembered were before this revision is unknown; from it on
    /// they were absent.
    pub(in crate::engine) floor: u64,
    /// Oldest first.
    past: BTreeMap<Key, VecDeque<KeyVersion>>,
    /// All of them by revision, oldest first.
    order: BTreeSet<(u64, Key)>,
    bytes: usize,
}

impl VersionHistory {
    pub(super) fn push(&mut self, key: &Key, version: KeyVersion) {
        self.bytes += OVERHEAD + version.size();
        self.order.insert((version.revision, key.clone()));
        self.past.entry(key.clone()).or_default().push_back(version);
    }

    /// Forgets a key's oldest version and returns its revision.
    pub(super) fn pop(&mut self, key: &Key) -> Option<u64> {
        let versions = self.past.get_mut(key)?;
        let version = versions.pop_front()?;
        if versions.is_empty() {
            self.past.remove(key);
        }
        self.bytes -= OVERHEAD + version.size();
        self.order.remove(&(version.revision, key.clone()));
        Some(version.revision)
    }

    pub(super) fn find(&self, key: &Key, revision: u64) -> Option<&KeyVersion> {
        let versions = self.past.get(key)?;
        let at = versions.binary_search_by_key(&revision, |version| version.revision);
        versions.get(at.ok()?)
    }

    fn of(&self, key: &Key) -> vec_deque::Iter<'_, KeyVersion> {
        self.past
            .get(key)
            .map_or_else(Default::default, VecDeque::iter)
    }
}

impl Blackboard {
    /// What a key was at a revision: `None` while it was absent.
    ///
    /// # Errors
    /// The first revision from which on it is known, where that is later.
    pub(super) fn at(&self, key: &Key, revision: u64) -> Result<Option<&KeyVersion>, u64> {
        let standing = self.standing(key);
        if let Some(version) = standing.filter(|version| version.revision <= revision) {
            return Ok(Some(version));
        }
        let mut past = self.history.of(key);
        let oldest = past.clone().next().or(standing);
        if let Some(version) = past.rfind(|version| version.revision <= revision) {
            return Ok(Some(version));
        }
        match oldest {
            Some(oldest) if !oldest.first => Err(oldest.revision),
            _ => Ok(None),
        }
    }
}

impl Blackboard {
    /// Keeps a version that no longer stands, and forgets what is too much.
    pub(super) fn supersede(&mut self, tx: &mut RoomTx<'_>, key: &Key, mut version: KeyVersion) {
        if let Some(value) = &mut version.value {
            value.detach();
        }
        let history = &mut self.history;
        history.push(key, version);
        let mut forgotten = Vec::new();
        let kept = tx.cx.settings.blackboard.history - 1;
        while history.of(key).len() > kept && forgotten.len() < MOST_AT_ONCE {
            forgotten.extend(history.pop(key).map(|revision| (key.clone(), revision)));
        }
        while history.bytes > tx.cx.settings.blackboard.max_history_bytes_per_room.0
            && forgotten.len() < MOST_AT_ONCE
            && let Some((revision, oldest)) = history.order.first().cloned()
        {
            history.pop(&oldest);
            forgotten.push((oldest, revision));
            tx.cx.stats.forgotten_early += 1;
        }
        for (key, revision) in forgotten {
            self.change(tx, KeyChange::Version(key, revision));
        }
    }

    /// Forgets all of a key that was deleted.
    pub(super) fn forget_history(&mut self, tx: &mut RoomTx<'_>, key: &Key, deleted_at: u64) {
        let history = &mut self.history;
        history.floor = history.floor.max(deleted_at);
        while let Some(revision) = self.history.pop(key) {
            self.change(tx, KeyChange::Version(key.clone(), revision));
        }
    }

    pub(in crate::engine) fn history(
        &mut self,
        tx: &mut RoomTx<'_>,
        call: &mut Call<'_>,
    ) -> Outcome {
        let get: GetHistory = call.read(&tx.cx.settings)?;
        if let Some(limit) = get.limit {
            between("limit", limit, 1, u64::MAX)?;
        }
        let Some(standing) = self.standing(&get.key) else {
            let reason = format!("nothing is remembered of {}", get.key);
            return Err(Rejection::new(Code::NotFound, reason).at("key"));
        };
        let past = self.history.of(&get.key).rev();
        let newest = std::iter::once(standing).chain(past);
        let limit = usize::try_from(get.limit.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
        let mut versions = shown(&tx.cx.settings, newest.take(limit))?;
        versions.reverse();
        let key = get.key;
        Ok(Accepted::found(tx.cx, wire::History { key, versions }))
    }
}

fn shown<'a>(
    settings: &Settings,
    versions: impl Iterator<Item = &'a KeyVersion>,
) -> Result<Vec<wire::Version>, Rejection> {
    let mut bytes = 0;
    let mut shown = Vec::new();
    for version in versions {
        bytes += version.size();
        if bytes > settings.blackboard.max_snapshot.0 {
            let refused = too_large("a history", bytes, settings.blackboard.max_snapshot.0);
            return Err(refused.at("limit"));
        }
        shown.push(wire::Version {
            version: version.version,
            revision: version.revision,
            value: version.value.as_ref().map(StoredValue::json),
            deleted: version.value.is_none(),
            updated_at: version.updated_at,
            updated_by: version.updated_by.clone(),
            expires_at: version.expires_at,
        });
    }
    Ok(shown)
}
