//! The narrow waist of the ledger: key spaces, batches, the [`Store`] trait and what can go wrong
//! with one.
//!
//! It owns no file and no thread. Everything above speaks this trait alone, so that the records of
//! a room can one day live in another engine than the SQLite file beside the process.

use std::collections::BTreeMap;
use std::io;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

/// An ordered key space. Keys of different spaces never meet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Space {
    /// Facts about the ledger itself: counters, ids, the last clean shutdown.
    Meta,
    /// The records that rebuild the engine.
    Engine,
    /// Persistent MQTT sessions: subscriptions, wills, expiry.
    Session,
    /// Messages on their way to a client, in the order of delivery.
    Outbox,
    /// QoS 2 packet ids received and not yet released.
    Inbound,
    /// Retained messages by topic.
    Retained,
    /// What happened in rooms, in order.
    Journal,
    /// Messages on their way to other brokers, in order.
    Bridge,
}

impl Space {
    /// Every space, in declaration order.
    pub const ALL: [Self; 8] = [
        Self::Meta,
        Self::Engine,
        Self::Session,
        Self::Outbox,
        Self::Inbound,
        Self::Retained,
        Self::Journal,
        Self::Bridge,
    ];

    /// The name on disk and in logs: lower case ASCII, never changed once released.
    pub fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Engine => "engine",
            Self::Session => "session",
            Self::Outbox => "outbox",
            Self::Inbound => "inbound",
            Self::Retained => "retained",
            Self::Journal => "journal",
            Self::Bridge => "bridge",
        }
    }

    /// The space's number in the log: never changed once released.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Meta => 1,
            Self::Engine => 2,
            Self::Session => 3,
            Self::Outbox => 4,
            Self::Inbound => 5,
            Self::Retained => 6,
            Self::Journal => 7,
            Self::Bridge => 8,
        }
    }

    /// The space of a number in the log.
    pub(crate) fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|space| space.code() == code)
    }

    /// Where the space stands in [`Space::ALL`].
    pub(crate) fn index(self) -> usize {
        self as usize
    }
}

/// What one commit changes.
///
/// A later change of a key replaces the earlier one, so an entity written five times in a batch
/// costs one row. A delete is always kept, even of a key that was put in the same batch: an older
/// value may be on disk.
///
/// It has no limit of its own: whoever fills it seals it by [`Batch::len`] and [`Batch::bytes`].
#[derive(Default, Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    changes: BTreeMap<(Space, Vec<u8>), Option<Bytes>>,
    bytes: usize,
}

impl Batch {
    /// The key has this value after the commit.
    pub fn put(&mut self, space: Space, key: impl Into<Vec<u8>>, value: impl Into<Bytes>) {
        self.change(space, key.into(), Some(value.into()));
    }

    /// The key is absent after the commit. Deleting an absent key is no error.
    pub fn delete(&mut self, space: Space, key: impl Into<Vec<u8>>) {
        self.change(space, key.into(), None);
    }

    fn change(&mut self, space: Space, key: Vec<u8>, value: Option<Bytes>) {
        let key_bytes = key.len();
        let value_bytes = value.as_ref().map_or(0, Bytes::len);
        self.bytes += match self.changes.insert((space, key), value) {
            None => key_bytes + value_bytes,
            Some(earlier) => {
                self.bytes -= earlier.map_or(0, |earlier| earlier.len());
                value_bytes
            }
        };
    }

    /// Nothing to make durable.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Changes after coalescing: the rows that the commit writes or deletes.
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// Bytes of the keys and values that the commit carries.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Forgets every change.
    pub fn clear(&mut self) {
        self.changes.clear();
        self.bytes = 0;
    }

    /// The changes in the order of space and key; `None` is a delete.
    pub fn iter(&self) -> impl Iterator<Item = (Space, &[u8], Option<&Bytes>)> {
        self.changes
            .iter()
            .map(|((space, key), value)| (*space, key.as_slice(), value.as_ref()))
    }
}

/// Sees a key and its value; breaking ends the scan.
pub type Visit<'a> = &'a mut (dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a);

/// Sees a key; breaking ends the scan.
pub type VisitKey<'a> = &'a mut (dyn FnMut(&[u8]) -> ControlFlow<()> + 'a);

/// Reads what is committed, beside the thread that commits. What is committed while a call runs may
/// be seen by it or not.
pub trait StoreReader: Send {
    /// Visits the keys from `from` on and below `to`, in byte order, with their values, until
    /// `visit` breaks.
    ///
    /// # Errors
    /// Whatever reading meets; what was visited before it is valid.
    fn range(
        &self,
        space: Space,
        from: &[u8],
        to: &[u8],
        visit: Visit<'_>,
    ) -> Result<(), StoreError>;

    /// The same without the values, which costs less the larger they are.
    ///
    /// # Errors
    /// Whatever reading meets; what was visited before it is valid.
    fn keys(
        &self,
        space: Space,
        from: &[u8],
        to: &[u8],
        visit: VisitKey<'_>,
    ) -> Result<(), StoreError>;
}

/// An ordered, atomic, durable key-value store.
pub trait Store: Send {
    /// Applies the whole batch or nothing. The batch is durable when this returns `Ok`.
    ///
    /// After an error the batch may be committed again: puts and deletes are idempotent, and a
    /// failed commit may yet turn out to be on disk after a crash.
    ///
    /// # Errors
    /// See [`StoreError::retryable`] for what may be tried again.
    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError>;

    /// Visits the keys that start with `prefix`, in byte order, with their values, until `visit`
    /// breaks.
    ///
    /// # Errors
    /// Whatever reading meets; what was visited before it is valid.
    fn scan(&self, space: Space, prefix: &[u8], visit: Visit<'_>) -> Result<(), StoreError>;

    /// The value of one key, if it has one.
    ///
    /// # Errors
    /// Whatever reading meets.
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// A second way in, for whoever reads while another thread commits.
    ///
    /// # Errors
    /// Whatever opening it meets.
    fn reader(&self) -> Result<Box<dyn StoreReader>, StoreError>;

    /// A way in that sees what is committed now and nothing that comes later.
    ///
    /// # Errors
    /// Whatever opening it meets.
    fn view(&self) -> Result<Box<dyn StoreReader>, StoreError>;

    /// One bounded step towards giving back to the system what is not needed; for when there is
    /// nothing else to do. While it is quiet, what would only save time goes, too. A store that
    /// keeps nothing has nothing to give back.
    ///
    /// # Errors
    /// Whatever the step meets; nothing is lost.
    fn tidy(&mut self, _is_quiet: bool) -> Result<Tidied, StoreError> {
        Ok(Tidied::default())
    }
}

/// How large a store is after [`Store::tidy`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tidied {
    /// Bytes on disk.
    pub bytes: u64,
    /// Those that hold nothing.
    pub free_bytes: u64,
    /// Another step would give back more.
    pub has_more: bool,
}

/// What can be done about files that do not read as they were written.
pub const REMEDIES: &str = "`hallward ledger check` says what is whole, `hallward ledger repair --to DIR` copies that, and \
                        `hallward restore` takes a backup back; nothing was thrown away";

/// What can go wrong with a store. Cheap to clone, so that a test can script the same failure many
/// times.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The file system has no room left. Retryable: the batch goes in when there is space again.
    #[error("no space left for {path}")]
    Full {
        /// The database file.
        path: PathBuf,
    },
    /// The file could not be written for now. Retryable.
    #[error("{path} cannot be written at the moment: {reason}")]
    Busy {
        /// The database file.
        path: PathBuf,
        /// The engine's own words.
        reason: String,
    },
    /// The file is damaged.
    #[error("{path} is damaged: {reason}; {REMEDIES}")]
    Corrupt {
        /// The database file.
        path: PathBuf,
        /// The engine's own words.
        reason: String,
    },
    /// Files that belong together are not all there.
    #[error(
        "{path} is not complete: {reason}; put the files back as they were, or else {REMEDIES}"
    )]
    Missing {
        /// The directory or file that shows it.
        path: PathBuf,
        /// What lacks, and how that is known.
        reason: String,
    },
    /// A newer release wrote the file.
    #[error(
        "{path} has format {found}, this release reads up to {supported}: run a newer release, nothing was changed"
    )]
    NewerFormat {
        /// The format version in the file.
        found: u32,
        /// The newest version that this build knows.
        supported: u32,
        /// The database file.
        path: PathBuf,
    },
    /// Another program's database lies where the ledger belongs.
    #[error(
        "{path} belongs to another program (application id {found:#010x}): choose another data directory"
    )]
    Foreign {
        /// The application id in the file.
        found: u32,
        /// The database file.
        path: PathBuf,
    },
    /// Something would be written over.
    #[error(
        "{path} is not empty, there is {found} in it: choose another directory or move it away"
    )]
    NotEmpty {
        /// The directory.
        path: PathBuf,
        /// The first name found.
        found: String,
    },
    /// Another instance has the directory.
    #[error(
        "{path} is in use by another running instance: end that one or choose another directory"
    )]
    Locked {
        /// The data directory.
        path: PathBuf,
    },
    /// The directory or a file in it cannot be created or written.
    #[error("{path} is not writable: {source}")]
    NotWritable {
        /// What was refused.
        path: PathBuf,
        /// The operating system's answer.
        source: Arc<io::Error>,
    },
    /// A file lies where the data directory should be.
    #[error("{path} is not a directory, expected the data directory")]
    NotADirectory {
        /// The path given.
        path: PathBuf,
    },
    /// Anything else. Not retryable, because nobody knows what it means.
    #[error("the store failed on {path}: {reason}")]
    Other {
        /// The database file.
        path: PathBuf,
        /// The engine's own words.
        reason: String,
    },
}

impl StoreError {
    /// True if the same batch may be committed again later and nothing was lost; false if only
    /// people can help.
    pub fn retryable(&self) -> bool {
        matches!(self, Self::Full { .. } | Self::Busy { .. })
    }
}

/// The smallest key above every key that starts with `prefix`; `None` if there is no such bound.
pub(crate) fn prefix_end(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|&byte| byte != u8::MAX)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_change_of_a_key_wins_and_costs_one_row() {
        let mut batch = Batch::default();
        batch.put(Space::Engine, b"task", vec![1; 10]);
        batch.put(Space::Engine, b"task", vec![2; 3]);
        batch.put(Space::Session, b"task", vec![3; 5]);
        assert_eq!((batch.len(), batch.bytes()), (2, 4 + 3 + 4 + 5));
        batch.delete(Space::Session, b"task");
        assert_eq!((batch.len(), batch.bytes()), (2, 4 + 3 + 4));
        batch.clear();
        assert_eq!((batch.len(), batch.bytes(), batch.is_empty()), (0, 0, true));
    }

    #[test]
    fn delete_after_put_is_kept_for_the_older_value_on_disk() {
        let mut batch = Batch::default();
        batch.put(Space::Outbox, b"message", vec![1]);
        batch.delete(Space::Outbox, b"message");
        let changes: Vec<_> = batch.iter().collect();
        assert_eq!(changes, [(Space::Outbox, b"message".as_slice(), None)]);
    }

    #[test]
    fn batch_is_in_order_of_space_and_key() {
        let mut batch = Batch::default();
        for space in Space::ALL.into_iter().rev() {
            batch.put(space, b"b", vec![]);
            batch.delete(space, b"a");
        }
        let order: Vec<_> = batch
            .iter()
            .map(|(space, key, _)| (space, key.to_vec()))
            .collect();
        let mut sorted = order.clone();
        sorted.sort();
        assert_eq!(order, sorted);
    }

    #[test]
    fn prefix_end_bounds_exactly_the_prefix() {
        assert_eq!(prefix_end(b"ab"), Some(b"ac".to_vec()));
        assert_eq!(prefix_end(&[1, 255, 255]), Some(vec![2]));
        assert_eq!(prefix_end(&[255, 255]), None);
        assert_eq!(prefix_end(b""), None);
    }

    #[test]
    fn spaces_have_distinct_names_and_stand_at_their_index() {
        for (index, space) in Space::ALL.into_iter().enumerate() {
            assert_eq!(space.index(), index);
            assert!(
                Space::ALL
                    .iter()
                    .all(|other| *other == space || other.name() != space.name())
            );
        }
    }
}
