//! The wall clock, between the engine and everybody else: agents and model live on the timeline and
//! see the engine's messages as if the clock had never been set.
//!
//! Which fields of which messages are times is said here once more, and not taken from the engine:
//! a time that the engine forgets to show, or shows by mistake, is one that no model expects.

use bytes::Bytes;
use hallward::engine::{Directed, Effect, Input};
use hallward::wire::cbor::{self, ReaderEncoding};
use hallward::wire::json::Json;
use hallward::wire::observe::Event;
use hallward::wire::presence::Encoding;
use hallward::wire::topic::Topic;

/// Fields of the gateway's messages that say when something was or will be.
const SHOWN: [&str; 17] = [
    "at",
    "askedAt",
    "assignedAt",
    "calledAt",
    "createdAt",
    "deadline",
    "decidedAt",
    "dueAt",
    "endedAt",
    "expiresAt",
    "lastSeen",
    "leftAt",
    "requestedAt",
    "since",
    "until",
    "updatedAt",
    "lockedAt",
];
/// Fields of questions that do.
const ASKED: [&str; 4] = ["since", "until", "createdAfter", "createdBefore"];

/// Where the wall clock is.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wall {
    /// Milliseconds that it is ahead of the timeline.
    pub(super) ahead: i64,
}

impl Wall {
    /// An input as it comes from people who look at that clock.
    pub(super) fn asked(self, input: &Input) -> Input {
        let mut input = input.clone();
        if let Input::Command(command) = &mut input
            && !matches!(command.topic.topic, Topic::Inbox { .. })
        {
            command.payload = self.moved(&command.payload, &ASKED, self.ahead);
        }
        input
    }

    /// An effect as it would be if the clock had not been set.
    pub(super) fn effect(self, mut effect: Effect) -> Effect {
        let back = self.ahead.saturating_neg();
        match &mut effect {
            // Replayed events are as they were told.
            Effect::Deliver(Directed { payload, class, .. })
                if class.is_reply() && is_replay(payload) => {}
            Effect::Deliver(Directed { payload, .. }) => {
                *payload = self.moved(payload, &SHOWN, back);
            }
            Effect::Retain {
                payload: Some(payload),
                ..
            } => *payload = self.moved(payload, &SHOWN, back),
            Effect::Event(event) => self.event(event, back),
            _ => {}
        }
        effect
    }

    fn event(self, event: &mut Event, back: i64) {
        event.at = event.at.saturating_add_signed(back);
        if let Some(detail) = &event.detail {
            let moved = moved_text(detail.text(), &SHOWN, back);
            event.detail = Some(Json::parse(&moved).expect("still JSON"));
        }
    }

    fn moved(self, payload: &Bytes, fields: &[&str], by: i64) -> Bytes {
        if self.ahead == 0 {
            return payload.clone();
        }
        if !cbor::is_map(payload) {
            let Ok(text) = std::str::from_utf8(payload) else {
                return payload.clone();
            };
            return moved_text(text, fields, by).into();
        }
        let Ok(json) = cbor::to_json(payload) else {
            return payload.clone();
        };
        let text = String::from_utf8(json).expect("JSON is text");
        let moved = moved_text(&text, fields, by);
        if moved == text {
            return payload.clone();
        }
        let spelling = ReaderEncoding {
            encoding: Encoding::Cbor,
            half_floats: cbor::has_half_float(payload),
        };
        spelling.encode(moved.into())
    }
}

fn is_replay(payload: &Bytes) -> bool {
    let name = b"observe/replay";
    payload.windows(name.len()).any(|part| part == name)
}

/// Every number behind one of these names, moved.
fn moved_text(text: &str, fields: &[&str], by: i64) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(quote) = rest.find('"') {
        let (before, from) = rest.split_at(quote);
        out.push_str(before);
        let name = fields.iter().find_map(|field| {
            let behind = from[1..].strip_prefix(field)?.strip_prefix("\":")?;
            let digits = behind.bytes().take_while(u8::is_ascii_digit).count();
            let number: u64 = behind[..digits].parse().ok()?;
            Some((field, number, &behind[digits..]))
        });
        match name {
            Some((field, number, behind)) => {
                let number = number.saturating_add_signed(by);
                out.push_str(&format!("\"{field}\":{number}"));
                rest = behind;
            }
            None => {
                out.push('"');
                rest = &from[1..];
            }
        }
    }
    out + rest
}
