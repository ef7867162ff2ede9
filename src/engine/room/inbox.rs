//! Inbox: messages between agents, kept for the recipient until it acknowledges them.
//!
//! It only admits them; the desk relays the bytes as they are and keeps them in the recipient's
//! mailbox.

use crate::wire::name::{Agent, GATEWAY};
use crate::wire::reply::{Code, Rejection};

use crate::engine::context::Context;
use crate::engine::effect::Effect;
use crate::engine::event::{Detail, RoomEvent};
use crate::engine::replies::{Accepted, Call, Outcome, between, too_large};
use crate::engine::tx::RoomTx;

pub(in crate::engine) fn inbox(tx: &mut RoomTx<'_>, call: &mut Call<'_>, to: &Agent) -> Outcome {
    // Correlation Data on an inbox message is for its recipient: it asks for no reply of ours.
    let correlation_id = call.correlation_id.take();
    let admitted = admit(tx, call, to);
    if admitted.is_err() {
        call.correlation_id = correlation_id;
    }
    let ttl_ms = admitted?;
    tx.cx.emit(Effect::Relay {
        to: to.clone(),
        expires_at: tx.cx.after(ttl_ms),
    });
    let detail = Detail {
        bytes: Some(call.command.payload.len()),
        ..Detail::default()
    };
    let happened = RoomEvent::new("inbox.queued", to.as_str(), call.from());
    tx.record_event(&RoomEvent { detail, ..happened });
    Ok(Accepted::new(Code::Taken))
}

/// Refuses an inbox message that its recipient cannot take.
fn expect_to_fit(tx: &RoomTx<'_>, call: &Call<'_>, to: &Agent) -> Result<(), Rejection> {
    let Some(most) = tx.room.takes(to.as_str()) else {
        return Ok(());
    };
    let bytes = tx
        .cx
        .packet_bytes(&call.command.topic, call.command.payload.len());
    if bytes <= most {
        return Ok(());
    }
    let reason = format!("{to} takes packets of at most {most} bytes, and this has {bytes}");
    Err(Rejection::new(Code::TooLarge, reason))
}

fn admit(tx: &RoomTx<'_>, call: &Call<'_>, to: &Agent) -> Result<u64, Rejection> {
    let size = call.command.payload.len();
    if to.as_str() == GATEWAY {
        let reason = "the gateway has no inbox";
        return Err(Rejection::new(Code::Forbidden, reason));
    }
    if size > tx.cx.settings.handoff.max_payload.0 {
        return Err(too_large(
            "an inbox message",
            size,
            tx.cx.settings.handoff.max_payload.0,
        ));
    }
    expect_to_fit(tx, call, to)?;
    let ttl_ms = call
        .command
        .mirrors
        .ttl_ms
        .unwrap_or(tx.cx.settings.mailbox.inbox_ttl.ms());
    if ttl_ms == 0 {
        let reason = "the message's time to live is over";
        return Err(Rejection::new(Code::Expired, reason));
    }
    between("ttlMs", ttl_ms, 1, tx.cx.settings.commands.max_ttl.ms())?;
    Context::has_room(call.mailboxes, to, size, &format!("{size} bytes more"))?;
    Ok(ttl_ms)
}
