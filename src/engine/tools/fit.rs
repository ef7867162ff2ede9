//! Who takes a call, as far as that is a matter of its size.

use std::cell::OnceCell;

use crate::engine::tx::RoomTx;
use crate::wire::json::Json;
use crate::wire::name::Agent;
use crate::wire::presence::Encoding;
use crate::wire::topic::{RoomTopic, Topic};

use super::call::OpenCall;

/// How large a call is as a packet, in whichever encoding it is larger.
pub(super) fn run_bytes(tx: &RoomTx<'_>, call: &OpenCall, arguments: &Json) -> usize {
    let run = Encoding::greatest_length_of(&call.run(Some(arguments)), arguments.text());
    let topic = Topic::ToolsRun {
        tool: call.tool.clone(),
    };
    let topic = RoomTopic::new(tx.room.name.clone(), topic);
    tx.cx.packet_bytes(&topic, run)
}

/// Tells who takes a call. Nobody counts its bytes unless somebody has a limit.
pub(super) fn takes_run(
    tx: &RoomTx<'_>,
    call: &OpenCall,
    arguments: &Json,
) -> impl Fn(&Agent) -> bool {
    let bytes = OnceCell::new();
    move |agent| {
        let most = tx.room.takes(agent.as_str());
        most.is_none_or(|most| *bytes.get_or_init(|| run_bytes(tx, call, arguments)) <= most)
    }
}
