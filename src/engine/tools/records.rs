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
pub(in crate::engine) enum ToolChange {
    Tool(Tool),
    Call(CallId),
    EndedCall(CallId),
}

impl RecordKey for ToolChange {
    fn key(&self, room: &Room) -> Vec<u8> {
        match self {
            ToolChange::Tool(tool) => key(room, TOOL, &[tool.as_str().as_bytes()]),
            ToolChange::Call(id) => key(room, CALL, &[id.as_str().as_bytes()]),
            ToolChange::EndedCall(id) => key(room, ENDED_CALL, &[id.as_str().as_bytes()]),
        }
    }

    fn parse(tag: u8, rest: &[u8]) -> Option<Option<ToolChange>> {
        Some(match tag {
            TOOL => name(rest, Tool::new).map(ToolChange::Tool),
            CALL => name(rest, CallId::new).map(ToolChange::Call),
            ENDED_CALL => name(rest, CallId::new).map(ToolChange::EndedCall),
            _ => return None,
        })
    }
}

impl Recorded for Tools {
    type Key = ToolChange;

    fn changes(&mut self) -> &mut Changes<ToolChange> {
        &mut self.changes
    }

    fn value(&self, change: &ToolChange) -> Option<Vec<u8>> {
        match change {
            ToolChange::Tool(tool) => Some(encode(self.registry.definition(tool)?)),
            ToolChange::Call(id) => Some(encode(self.calls.get(id)?)),
            ToolChange::EndedCall(id) => Some(encode(self.ended.get(id)?)),
        }
    }

    /// Tools come before their calls.
    fn take_back(
        &mut self,
        tx: &mut RoomTx<'_>,
        change: ToolChange,
        value: &[u8],
    ) -> Result<(), RecordProblem> {
        match change {
            ToolChange::Tool(tool) => self.rebuild_tool(tx, tool, decode(value)?),
            ToolChange::Call(_) => self.rebuild_call(tx, decode(value)?),
            ToolChange::EndedCall(_) => self.rebuild_ended_call(tx, decode(value)?),
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
            ToolChange::Tool(Tool::new("t").unwrap()),
            ToolChange::Call(CallId::new("a/c").unwrap()),
            ToolChange::EndedCall(CallId::new("a/c").unwrap()),
        ];
        for change in changes {
            let key = change.key(&room);
            let (_, tag, rest) = split(&key).unwrap();
            assert_eq!(ToolChange::parse(tag, rest), Some(Some(change)));
        }
    }
}
