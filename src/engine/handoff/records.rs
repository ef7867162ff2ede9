//! What of tasks is recorded, and how it comes back.

use crate::wire::name::Room;

use crate::engine::ids::TaskNo;
use crate::engine::record::{Changes, RecordKey, RecordProblem, decode, encode, key, number};
use crate::engine::recorded::Recorded;
use crate::engine::tx::RoomTx;

use super::Handoff;

const BODY: u8 = 3;
const STATE: u8 = 4;
const PROGRESS: u8 = 10;

/// What of a task must be recorded anew.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::engine) enum Change {
    Body(TaskNo),
    State(TaskNo),
    Progress(TaskNo),
}

impl RecordKey for Change {
    fn key(&self, room: &Room) -> Vec<u8> {
        let (tag, no) = match self {
            Change::Body(no) => (BODY, no),
            Change::State(no) => (STATE, no),
            Change::Progress(no) => (PROGRESS, no),
        };
        key(room, tag, &[&no.0.to_be_bytes()])
    }

    fn parse(tag: u8, rest: &[u8]) -> Option<Option<Change>> {
        let of = match tag {
            BODY => Change::Body,
            STATE => Change::State,
            PROGRESS => Change::Progress,
            _ => return None,
        };
        Some(number(rest).map(TaskNo).map(of))
    }
}

impl Recorded for Handoff {
    type Key = Change;

    fn changes(&mut self) -> &mut Changes<Change> {
        &mut self.changes
    }

    fn value(&self, change: &Change) -> Option<Vec<u8>> {
        match change {
            Change::Body(no) => Some(encode(&self.tasks.get(no)?.body)),
            Change::State(no) => Some(encode(&self.tasks.get(no)?.status)),
            Change::Progress(no) => Some(encode(self.progress.get(*no)?)),
        }
    }

    /// All bodies come first, then the states, then what was said of progress.
    fn take_back(
        &mut self,
        tx: &mut RoomTx<'_>,
        change: Change,
        value: &[u8],
    ) -> Result<(), RecordProblem> {
        match change {
            Change::Body(no) => {
                self.bodies.insert(no, decode(value)?);
            }
            Change::State(no) => {
                let body = self.bodies.remove(&no).ok_or(RecordProblem::Alone)?;
                self.rebuild_task(tx, no, body, decode(value)?);
            }
            Change::Progress(no) => self.rebuild_progress(no, decode(value)?),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::record::split;

    #[test]
    fn keys_are_read_as_they_were_written() {
        let room = Room::new("studio").unwrap();
        let changes = [
            Change::Body(TaskNo(7)),
            Change::State(TaskNo(u64::MAX)),
            Change::Progress(TaskNo(9)),
        ];
        for change in changes {
            let key = change.key(&room);
            let (_, tag, rest) = split(&key).unwrap();
            assert_eq!(Change::parse(tag, rest), Some(Some(change)));
        }
    }
}
