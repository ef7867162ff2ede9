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
const QUESTIONS: u8 = 11;

/// What of a task must be recorded anew.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::engine) enum TaskChange {
    Body(TaskNo),
    State(TaskNo),
    Progress(TaskNo),
    Questions(TaskNo),
}

impl RecordKey for TaskChange {
    fn key(&self, room: &Room) -> Vec<u8> {
        let (tag, no) = match self {
            TaskChange::Body(no) => (BODY, no),
            TaskChange::State(no) => (STATE, no),
            TaskChange::Progress(no) => (PROGRESS, no),
            TaskChange::Questions(no) => (QUESTIONS, no),
        };
        key(room, tag, &[&no.0.to_be_bytes()])
    }

    fn parse(tag: u8, rest: &[u8]) -> Option<Option<TaskChange>> {
        let of = match tag {
            BODY => TaskChange::Body,
            STATE => TaskChange::State,
            PROGRESS => TaskChange::Progress,
            QUESTIONS => TaskChange::Questions,
            _ => return None,
        };
        Some(number(rest).map(TaskNo).map(of))
    }
}

impl Recorded for Handoff {
    type Key = TaskChange;

    fn changes(&mut self) -> &mut Changes<TaskChange> {
        &mut self.changes
    }

    fn value(&self, change: &TaskChange) -> Option<Vec<u8>> {
        match change {
            TaskChange::Body(no) => Some(encode(&self.tasks.get(no)?.body)),
            TaskChange::State(no) => Some(encode(&self.tasks.get(no)?.status)),
            TaskChange::Progress(no) => Some(encode(self.progress.get(*no)?)),
            TaskChange::Questions(no) => Some(encode(self.questions.get(*no)?)),
        }
    }

    /// All bodies come first, then the states, then what was said of progress and asked.
    fn take_back(
        &mut self,
        tx: &mut RoomTx<'_>,
        change: TaskChange,
        value: &[u8],
    ) -> Result<(), RecordProblem> {
        match change {
            TaskChange::Body(no) => {
                self.bodies.insert(no, decode(value)?);
            }
            TaskChange::State(no) => {
                let body = self.bodies.remove(&no).ok_or(RecordProblem::Alone)?;
                self.rebuild_task(tx, no, body, decode(value)?);
            }
            TaskChange::Progress(no) => self.rebuild_progress(no, decode(value)?),
            TaskChange::Questions(no) => self.rebuild_questions(no, decode(value)?),
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
            TaskChange::Body(TaskNo(7)),
            TaskChange::State(TaskNo(u64::MAX)),
            TaskChange::Progress(TaskNo(9)),
            TaskChange::Questions(TaskNo(9)),
        ];
        for change in changes {
            let key = change.key(&room);
            let (_, tag, rest) = split(&key).unwrap();
            assert_eq!(TaskChange::parse(tag, rest), Some(Some(change)));
        }
    }
}
