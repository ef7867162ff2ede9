//! What of tools and calls is recorded, and how it comes back.

use crate::wire::name::{CallId, Room, Tool};

use crate::engine::record::{Changes, RecordKey, RecordProblem, decode, encode, key, name};
use crate::engine::recorded::Recorded;
use crate::engine::tx::RoomTx;

use super::Tools;

const TOOL: u8 = 20;
const CALL: u8 = 21;
const ENDED_CALL: u8 = 22;

/// What of them must be recorded anew.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::engine) enum Change {
    Tool(Tool),
    Call(CallId),
    EndedCall(CallId),
}

impl RecordKey for Change {
    fn key(&self, room: &Room) -> Vec<u8> {
        match self {
            Change::Tool(tool) => key(room, TOOL, &[tool.as_str().as_bytes()]),
            Change::Call(id) => key(room, CALL, &[id.as_str().as_bytes()]),
            Change::EndedCall(id) => key(room, ENDED_CALL, &[id.as_str().as_bytes()]),
        }
    }

    fn parse(tag: u8, rest: &[u8]) -> Option<Option<Change>> {
        Some(match tag {
            TOOL => name(rest, Tool::new).map(Change::Tool),
            CALL => name(rest, CallId::new).map(Change::Call),
            ENDED_CALL => name(rest, CallId::new).map(Change::EndedCall),
            _ => return None,
        })
    }
}

impl Recorded for Tools {
    type Key = Change;

    fn changes(&mut self) -> &mut Changes<Change> {
        &mut self.changes
    }

    fn value(&self, change: &Change) -> Option<Vec<u8>> {
        match change {
            Change::Tool(tool) => Some(encode(self.registry.definition(tool)?)),
            Change::Call(id) => Some(encode(self.calls.get(id)?)),
            Change::EndedCall(id) => Some(encode(self.ended.get(id)?)),
        }
    }

    /// Tools come before their calls.
    fn take_back(
        &mut self,
        tx: &mut RoomTx<'_>,
        change: Change,
        value: &[u8],
    ) -> Result<(), RecordProblem> {
        match change {
            Change::Tool(tool) => self.rebuild_tool(tx, tool, decode(value)?),
            Change::Call(_) => self.rebuild_call(tx, decode(value)?),
            Change::EndedCall(_) => self.rebuild_ended_call(tx, decode(value)?),
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
            Change::Tool(Tool::new("t").unwrap()),
            Change::Call(CallId::new("a/c").unwrap()),
            Change::EndedCall(CallId::new("a/c").unwrap()),
        ];
        for change in changes {
            let key = change.key(&room);
            let (_, tag, rest) = split(&key).unwrap();
            assert_eq!(Change::parse(tag, rest), Some(Some(change)));
        }
    }
}
