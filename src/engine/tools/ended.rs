//! Calls that are over: what came of each can be asked for as long as it is remembered, and as far
//! as there is room.
//!
//! It remembers, shows and forgets; how a call ends is the business of the module above.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

use crate::wire::Millis;
use crate::wire::json::{self, Json};
use crate::wire::name::{Agent, CallId, Tool};
use crate::wire::reply::{Code, Rejection};
use crate::wire::tools::{CallState, CallView, GetCall, ToolError};

use super::records::ToolChange;
use crate::engine::kept_bytes::{KeptBytes, MOST_AT_ONCE};
use crate::engine::recorded::Recorded;
use crate::engine::replies::{Accepted, Call, Outcome};
use crate::engine::tx::RoomTx;

use super::{OpenCall, Tools};

/// How much of an error's message is kept where there is no room for all of it, in bytes.
const KEPT_MESSAGE_BYTES: usize = 200;

/// What an error can give up and still say what went wrong, in bytes.
fn droppable_bytes(error: &ToolError) -> usize {
    let beyond = error.message.len().saturating_sub(KEPT_MESSAGE_BYTES);
    error.data.as_ref().map_or(0, |data| data.text().len()) + beyond
}

/// Gives that up.
fn cut(error: &mut ToolError) {
    let end = error.message.floor_char_boundary(KEPT_MESSAGE_BYTES);
    error.message.truncate(end);
    error.data = None;
}

/// What is remembered of a call that is over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::engine) struct EndedCall {
    id: CallId,
    tool: Tool,
    caller: Agent,
    provider: Agent,
    /// Of the command that it came with, where that had an id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fingerprint: Option<NonZeroU64>,
    called_at: Millis,
    deadline: Millis,
    at: Millis,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    result: Option<Json>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<ToolError>,
    /// There was no room to keep all that it came to.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    omitted: bool,
}

impl EndedCall {
    /// Bytes that can be given up while the call is still remembered.
    fn bytes(&self) -> usize {
        let error = self.error.as_ref().map_or(0, droppable_bytes);
        self.result.as_ref().map_or(0, |json| json.text().len()) + error
    }

    /// Gives them up.
    fn leave_out(&mut self) {
        self.result = None;
        if let Some(error) = &mut self.error {
            cut(error);
        }
        self.omitted = true;
    }

    fn view(&self) -> CallView {
        CallView {
            call: self.id.clone(),
            tool: self.tool.clone(),
            state: match self.error {
                None => CallState::Success,
                Some(_) => CallState::Error,
            },
            caller: self.caller.clone(),
            provider: self.provider.clone(),
            approval: None,
            called_at: self.called_at,
            deadline: self.deadline,
            ended_at: Some(self.at),
            arguments: None,
            result: self.result.clone(),
            result_omitted: self.omitted,
            error: self.error.clone(),
        }
    }
}

/// A room's calls that are over.
#[derive(Debug, Default)]
pub(in crate::engine) struct EndedCalls {
    by_id: BTreeMap<CallId, EndedCall>,
    /// Oldest first.
    order: BTreeSet<(Millis, CallId)>,
    /// Those of which something can be given up.
    results: KeptBytes<(Millis, CallId)>,
}

impl EndedCalls {
    pub(in crate::engine) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    pub(in crate::engine) fn get(&self, id: &CallId) -> Option<&EndedCall> {
        self.by_id.get(id)
    }

    /// When the one ended that did so first.
    pub(in crate::engine) fn oldest(&self) -> Option<Millis> {
        self.order.first().map(|(at, _)| *at)
    }

    fn put(&mut self, call: EndedCall) {
        let key = (call.at, call.id.clone());
        self.results.add(key.clone(), call.bytes());
        self.order.insert(key);
        self.by_id.insert(call.id.clone(), call);
    }

    fn pop_oldest(&mut self) -> Option<CallId> {
        let key = self.order.pop_first()?;
        self.results.remove(&key);
        self.by_id.remove(&key.1);
        Some(key.1)
    }
}

impl OpenCall {
    fn view(&self) -> CallView {
        CallView {
            call: self.id.clone(),
            tool: self.tool.clone(),
            state: match &self.gate {
                Some(_) => CallState::Approving,
                None if self.is_asking() => CallState::Asking,
                None => CallState::Running,
            },
            caller: self.caller.clone(),
            provider: self.provider.clone(),
            approval: self.gate.as_ref().map(|gate| gate.approval.clone()),
            called_at: self.called_at,
            deadline: self.deadline,
            ended_at: None,
            arguments: self.arguments.clone(),
            result: None,
            result_omitted: false,
            error: None,
        }
    }
}

impl Tools {
    /// The fingerprint of the command that a call came with, if it is under way or remembered.
    pub(super) fn fingerprint_of(&self, id: &CallId) -> Option<Option<NonZeroU64>> {
        let open = self.calls.get(id).map(|call| call.fingerprint);
        open.or_else(|| self.ended.get(id).map(|call| call.fingerprint))
    }

    fn view(&self, id: &CallId) -> Option<CallView> {
        let open = self.calls.get(id).map(OpenCall::view);
        open.or_else(|| self.ended.get(id).map(EndedCall::view))
    }
}

impl Tools {
    pub(in crate::engine) fn get_call(&self, tx: &RoomTx<'_>, call: &mut Call<'_>) -> Outcome {
        let get: GetCall = call.read(&tx.cx.settings)?;
        let view = self.view(&get.call).ok_or_else(|| {
            let reason = format!("no call {}", get.call);
            Rejection::new(Code::NotFound, reason).at("call")
        })?;
        let view = fitting(view, get.arguments, tx.can_take(call));
        Ok(Accepted {
            call: Some(get.call),
            ..Accepted::found(tx.cx, view)
        })
    }

    pub(super) fn remember_call_as_ended(
        &mut self,
        tx: &mut RoomTx<'_>,
        call: OpenCall,
        result: Option<Json>,
        error: Option<ToolError>,
    ) {
        if tx.cx.settings.tools.result_retention.ms() == 0 {
            return;
        }
        self.change(tx, ToolChange::EndedCall(call.id.clone()));
        tx.cx.stats.ended_calls += 1;
        self.ended.put(EndedCall {
            id: call.id,
            tool: call.tool,
            caller: call.caller,
            provider: call.provider,
            fingerprint: call.fingerprint,
            called_at: call.called_at,
            deadline: call.deadline,
            at: tx.cx.now,
            result,
            error,
            omitted: false,
        });
        self.forget_calls_over_limits(tx);
    }

    /// Where there are too many calls that are over, the oldest are forgotten; where there are too
    /// many bytes, what they came to.
    pub(in crate::engine) fn forget_calls_over_limits(&mut self, tx: &mut RoomTx<'_>) {
        let limit = tx.cx.settings.tools.max_ended_calls_per_room;
        let excess = self.ended.by_id.len().saturating_sub(limit);
        for _ in 0..excess.min(MOST_AT_ONCE) {
            tx.cx.stats.forgotten_early += 1;
            self.forget_oldest_call(tx);
        }
        let limit = tx.cx.settings.tools.max_result_bytes_per_room.0;
        for _ in 0..MOST_AT_ONCE {
            let Some((_, id)) = self.ended.results.pop_over(limit) else {
                break;
            };
            tx.cx.stats.forgotten_early += 1;
            if let Some(call) = self.ended.by_id.get_mut(&id) {
                call.leave_out();
            }
            self.change(tx, ToolChange::EndedCall(id));
        }
    }

    pub(in crate::engine) fn forget_oldest_call(&mut self, tx: &mut RoomTx<'_>) {
        if let Some(id) = self.ended.pop_oldest() {
            tx.cx.stats.ended_calls -= 1;
            self.change(tx, ToolChange::EndedCall(id));
        }
    }

    /// Puts a call back that was over when earlier runs ended.
    pub(in crate::engine) fn rebuild_ended_call(&mut self, tx: &mut RoomTx<'_>, call: EndedCall) {
        tx.cx.stats.ended_calls += 1;
        self.ended.put(call);
    }
}

/// As much of a call as was asked for and its reader takes.
fn fitting(mut view: CallView, with_arguments: bool, most: usize) -> CallView {
    let is_too_much = |view: &CallView| json::length(view) > most;
    if !with_arguments || is_too_much(&view) {
        view.arguments = None;
    }
    let error = view.error.as_ref();
    let more = error.is_some_and(|error| droppable_bytes(error) > 0);
    if (view.result.is_some() || more) && is_too_much(&view) {
        view.result = None;
        if let Some(error) = &mut view.error {
            cut(error);
        }
        view.result_omitted = true;
    }
    view
}
