//! Events: how a transition of any pattern is told to those who observe.
//!
//! It numbers and shapes them; every transition is worth one, and `machine` knows which there are.
//! Users' payloads never ride in an event, but for what agents say in events of their own.

use serde::Serialize;

use crate::wire::Millis;
use crate::wire::json::Json;
use crate::wire::name::{Agent, Capability, Room, Tool};
use crate::wire::observe::Event;

use super::context::Context;
use super::effect::Effect;

/// A transition, borrowed from where it happened.
#[derive(Debug, Clone, Copy)]
pub(super) struct RoomEvent<'a> {
    /// `pattern.transition`.
    pub(super) what: &'static str,
    pub(super) subject: &'a str,
    pub(super) who: &'a Agent,
    pub(super) from: Option<&'static str>,
    pub(super) to: Option<&'static str>,
    pub(super) detail: Detail<'a>,
    /// What an agent said in an event of its own.
    pub(super) payload: Option<&'a Json>,
    pub(super) traceparent: Option<&'a str>,
}

impl<'a> RoomEvent<'a> {
    pub(super) fn new(what: &'static str, subject: &'a str, who: &'a Agent) -> RoomEvent<'a> {
        RoomEvent {
            what,
            subject,
            who,
            from: None,
            to: None,
            detail: Detail::default(),
            payload: None,
            traceparent: None,
        }
    }
}

/// The particulars that an event may carry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Detail<'a> {
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub(super) task_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) dispatcher: Option<&'a Agent>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) attempt: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) worker: Option<&'a Agent>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) capability: Option<&'a Capability>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tool: Option<&'a Tool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) provider: Option<&'a Agent>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) revision: Option<u64>,
    /// The fencing token of a lock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) token: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bytes: Option<usize>,
    /// Until when it waits; a point of the timeline here, told as Unix milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) until: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) digest: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) edited: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) timed_out: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<&'a str>,
    /// By how much the wall clock was set, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) by_ms: Option<i64>,
}

/// A room's event numbers, and whether anybody has to look at the room before the batch ends.
#[derive(Debug)]
pub(super) struct EventCounter {
    room: Room,
    /// The last event's number.
    pub(super) seq: u64,
    /// When the last event was.
    pub(super) at: Millis,
    /// Whether the room is among `Context::touched`.
    pub(super) is_touched: bool,
}

impl EventCounter {
    pub(super) fn new(room: Room) -> EventCounter {
        EventCounter {
            room,
            seq: 0,
            at: 0,
            is_touched: false,
        }
    }

    pub(super) fn touch(&mut self, cx: &mut Context) {
        if !self.is_touched {
            self.is_touched = true;
            cx.touched.push(self.room.clone());
        }
    }

    /// Numbers a transition and tells those who observe.
    pub(super) fn record_event(&mut self, cx: &mut Context, happened: &RoomEvent<'_>) {
        self.touch(cx);
        self.seq += 1;
        self.at = cx.now;
        let detail = Detail {
            until: happened.detail.until.map(|until| cx.wall.at(until)),
            ..happened.detail
        };
        cx.emit(Effect::Event(Event {
            seq: self.seq,
            at: cx.wall.at(cx.now),
            room: self.room.clone(),
            what: happened.what.to_owned(),
            subject: happened.subject.to_owned(),
            who: happened.who.clone(),
            from: happened.from.map(str::to_owned),
            to: happened.to.map(str::to_owned),
            detail: (detail != Detail::default()).then(|| Json::of(&detail)),
            payload: happened.payload.cloned(),
            traceparent: happened.traceparent.map(str::to_owned),
        }));
    }
}
