//! Answering: what a provider may say of a call that it has.
//!
//! An answer that is refused changes nothing: the call stays open, and the provider may say it
//! better until the time is over.

use crate::wire::name::{Agent, CallId};
use crate::wire::reply::{Code, Rejection};
use crate::wire::tools::{ReturnStatus, ToolError, ToolReturn};

use crate::engine::context::Context;
use crate::engine::replies::{Accepted, Call, Outcome, json_at_most, text_at_most};
use crate::engine::tx::RoomTx;

use super::Tools;
use super::call::CallEnd;
use super::calling::invalid;

impl Tools {
    pub(in crate::engine) fn return_call(
        &mut self,
        tx: &mut RoomTx<'_>,
        call: &mut Call<'_>,
    ) -> Outcome {
        let said: ToolReturn = call.read(&tx.cx.settings)?;
        tx.once(call, |tx| {
            check_return(tx.cx, &said)?;
            let id = said.call.clone();
            self.expect_provider(&id, call.from())?;
            match said.status {
                ReturnStatus::Partial => self.partial_return(tx, call, said)?,
                ReturnStatus::Input => self.ask(tx, call, said)?,
                ReturnStatus::Success => {
                    self.check_output(&said)?;
                    self.end_call(tx, &id, Some(call.from()), CallEnd::Success(said.result));
                }
                ReturnStatus::Error => {
                    let error = said.error.unwrap_or_else(|| ToolError {
                        code: None,
                        message: "the provider did not say what went wrong".to_owned(),
                        data: None,
                    });
                    self.end_call(tx, &id, Some(call.from()), CallEnd::Error(error));
                }
            }
            if let Some(member) = tx.room.members.0.get_mut(call.from()) {
                member.last_seen = tx.cx.now;
            }
            Ok(Accepted::call(Code::Done, &id))
        })
    }

    fn expect_provider(&self, id: &CallId, from: &Agent) -> Result<(), Rejection> {
        let provider = &self.open_call(id)?.provider;
        if provider != from {
            let reason = format!("{id} is not with {from}, but with {provider}");
            return Err(Rejection::new(Code::Conflict, reason).at("call"));
        }
        Ok(())
    }

    /// A success must be what the tool promises; a provider that gives nothing has given `null`.
    fn check_output(&self, said: &ToolReturn) -> Result<(), Rejection> {
        let tool = &self.open_call(&said.call)?.tool;
        let Some(entry) = self.registry.get(tool) else {
            return Ok(());
        };
        let Some(output) = &entry.contract()?.output else {
            return Ok(());
        };
        let text = said.result.as_ref().map_or("null", |result| result.text());
        output
            .check(text)
            .map_err(|violation| invalid("result", violation))
    }

    /// Parts go on at once, in order; they need room that is not promised to final results.
    fn partial_return(
        &mut self,
        tx: &mut RoomTx<'_>,
        call: &Call<'_>,
        said: ToolReturn,
    ) -> Result<(), Rejection> {
        let open = self.open_call(&said.call)?.clone();
        if open.is_asking() {
            let reason = format!("{} waits for an answer, and has no partial result", open.id);
            return Err(Rejection::new(Code::Conflict, reason).at("call"));
        }
        let size = said.result.as_ref().map_or(0, |result| result.text().len());
        let to = &open.caller;
        tx.cx
            .has_room_beside_promises(call.mailboxes, to, size, "a partial result")?;
        self.tell_call(tx, &open, "tools.progress", None, None);
        self.deliver_partial(tx, &open, said.result);
        Ok(())
    }
}

fn check_return(cx: &Context, said: &ToolReturn) -> Result<(), Rejection> {
    let settings = &cx.settings;
    json_at_most(
        "result",
        said.result.as_ref(),
        settings.handoff.max_payload.0,
    )?;
    let error = said.error.as_ref();
    let code = error.and_then(|error| error.code.as_deref());
    text_at_most("error.code", code, settings.commands.max_label.0)?;
    let message = error.map(|error| error.message.as_str());
    text_at_most("error.message", message, settings.commands.max_reason.0)?;
    let data = error.and_then(|error| error.data.as_ref());
    json_at_most("error.data", data, settings.rooms.max_metadata.0)
}
