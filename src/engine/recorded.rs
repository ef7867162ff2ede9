//! Whoever keeps what it holds in records of its own: notes what changed, hands it out, takes it
//! back.

use crate::wire::name::Room;

use super::record::{Changes, Put, RecordKey, RecordProblem};
use super::tx::RoomTx;

/// A pattern with records of its own tags.
pub(super) trait Recorded {
    /// What its records are about.
    type Key: RecordKey;

    /// What must be recorded anew.
    fn changes(&mut self) -> &mut Changes<Self::Key>;

    /// What a record says now; `None` if there is no such thing any more.
    fn value(&self, key: &Self::Key) -> Option<Vec<u8>>;

    /// Takes what a record says back. Records come in the order of their keys.
    fn take_back(
        &mut self,
        tx: &mut RoomTx<'_>,
        key: Self::Key,
        value: &[u8],
    ) -> Result<(), RecordProblem>;

    /// Notes that a record must be written or deleted.
    fn change(&mut self, tx: &mut RoomTx<'_>, key: Self::Key) {
        tx.touch();
        self.changes().note(key);
    }
}

/// The same, whatever its records are about.
pub(super) trait Records {
    /// Every record that changed since the last call, each once.
    fn drain_records(&mut self, room: &Room, put: Put<'_>);

    /// Takes a record back, if one of this tag is its own.
    fn restore(
        &mut self,
        tx: &mut RoomTx<'_>,
        tag: u8,
        rest: &[u8],
        value: &[u8],
    ) -> Option<Result<(), RecordProblem>>;
}

impl<T: Recorded> Records for T {
    fn drain_records(&mut self, room: &Room, put: Put<'_>) {
        for key in self.changes().take() {
            put(key.key(room), self.value(&key));
        }
    }

    fn restore(
        &mut self,
        tx: &mut RoomTx<'_>,
        tag: u8,
        rest: &[u8],
        value: &[u8],
    ) -> Option<Result<(), RecordProblem>> {
        let key = T::Key::parse(tag, rest)?.ok_or(RecordProblem::Key);
        Some(key.and_then(|key| self.take_back(tx, key, value)))
    }
}
