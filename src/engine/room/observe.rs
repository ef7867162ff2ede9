//! Observe: a room's past, a page at a time.
//!
//! A question is answered from what the desk keeps, in the reply itself; nothing is remembered
//! between two pages but what the asker says. How far one page looks is bounded, so that nobody
//! waits for somebody's long past.

use std::ops::ControlFlow;

use crate::wire::filter;
use crate::wire::observe::{Event, Replay, ReplayPage};
use crate::wire::reply::{Code, Rejection};

use crate::engine::event_log::{EventLogError, EventRange, Recalled};
use crate::engine::replies::{Accepted, Call, Outcome, page_limit};
use crate::engine::tx::RoomTx;

/// Events in a page where the question does not say.
const USUAL_PAGE: u32 = 100;
/// A page looks at so many events at least for those that it returns, and at twice as many as it
/// may return.
const LOOKS: usize = 1_000;

/// A page while it fills.
struct EventPage {
    asked: Replay,
    max_events: usize,
    max_bytes: usize,
    looks: usize,
    bytes: usize,
    events: Vec<Event>,
    /// Where the next page begins.
    next: u64,
    /// An event that did not fit even alone.
    too_large: Option<usize>,
    /// `until` is reached.
    over: bool,
    unreadable: bool,
}

pub(in crate::engine) fn replay(tx: &mut RoomTx<'_>, call: &mut Call<'_>) -> Outcome {
    let mut asked: Replay = call.read_or_default(&tx.cx.settings)?;
    check(&asked)?;
    asked.since = asked.since.map(|shown| tx.cx.wall.point(shown));
    asked.until = asked.until.map(|shown| tx.cx.wall.point(shown));
    let max_events = page_limit(asked.limit, USUAL_PAGE, tx.cx.settings.observe.max_page)?;
    let past = call.mailboxes.past();
    let kept = past.kept(&tx.room.name).unwrap_or(EventRange {
        oldest: tx.room.log.seq + 1,
        newest: tx.room.log.seq,
        lost_at: tx.room.log.at,
    });
    let (start, complete) = match (asked.from_seq, asked.since) {
        (Some(seq), _) => (seq, seq.max(1) >= kept.oldest),
        (None, Some(at)) => (
            past.near(&tx.room.name, at).map_err(refusal)?,
            at > kept.lost_at,
        ),
        (None, None) => (kept.oldest, true),
    };
    let max_bytes = tx.page_bytes(call)?;
    let mut page = EventPage::new(asked, start.max(kept.oldest), max_events, max_bytes);
    past.read(&tx.room.name, page.next, &mut |event| page.look(event))
        .map_err(refusal)?;
    if page.unreadable {
        return Err(refusal(EventLogError::Unreadable));
    }
    if let Some(bytes) = page.too_large.filter(|_| page.events.is_empty()) {
        let most = page.max_bytes;
        let reason = format!(
            "event {} has {bytes} bytes, an answer to you may have {most}",
            page.next
        );
        return Err(Rejection::new(Code::TooLarge, reason));
    }
    Ok(Accepted::found(
        tx.cx,
        ReplayPage {
            end: page.over || page.next > kept.newest,
            events: page.events,
            next: page.next,
            complete,
            oldest: kept.oldest,
            newest: kept.newest,
        },
    ))
}

fn check(asked: &Replay) -> Result<(), Rejection> {
    if asked.from_seq.is_some() && asked.since.is_some() {
        let reason = "fromSeq and since say both where to begin: give one of them";
        return Err(Rejection::new(Code::Invalid, reason).at("since"));
    }
    let Some(wanted) = &asked.filter else {
        return Ok(());
    };
    filter::check_filter(wanted)
        .map_err(|rule| Rejection::new(Code::Invalid, rule.to_string()).at("filter"))?;
    if filter::overlap(wanted, "observe/events/gateway/+") {
        return Ok(());
    }
    let reason = format!(
        "{wanted:?} matches no event that is kept: those are on observe/events/gateway/{{category}}"
    );
    Err(Rejection::new(Code::Invalid, reason).at("filter"))
}

fn refusal(error: EventLogError) -> Rejection {
    let code = match error {
        EventLogError::Busy => Code::TooMany,
        EventLogError::Unreadable => Code::Unavailable,
    };
    Rejection::new(code, error.to_string())
}

impl EventPage {
    fn new(asked: Replay, start: u64, max_events: usize, max_bytes: usize) -> EventPage {
        EventPage {
            asked,
            max_events,
            max_bytes,
            looks: max_events.saturating_mul(2).max(LOOKS),
            bytes: 0,
            events: Vec::new(),
            next: start,
            too_large: None,
            over: false,
            unreadable: false,
        }
    }

    fn look(&mut self, event: Recalled<'_>) -> ControlFlow<()> {
        if self.asked.until.is_some_and(|until| event.at >= until) {
            self.over = true;
            return ControlFlow::Break(());
        }
        if self.looks == 0 || self.events.len() >= self.max_events {
            return ControlFlow::Break(());
        }
        if self.wants(&event) {
            let bytes = event.payload.len() + 1;
            if self.bytes + bytes > self.max_bytes {
                self.too_large = Some(bytes);
                return ControlFlow::Break(());
            }
            let Ok(told) = serde_json::from_slice(event.payload) else {
                self.unreadable = true;
                return ControlFlow::Break(());
            };
            self.bytes += bytes;
            self.events.push(told);
        }
        self.looks -= 1;
        self.next = event.seq + 1;
        ControlFlow::Continue(())
    }

    fn wants(&self, event: &Recalled<'_>) -> bool {
        if self.asked.since.is_some_and(|since| event.at < since) {
            return false;
        }
        self.asked.filter.as_ref().is_none_or(|wanted| {
            filter::matches(
                wanted,
                &format!("observe/events/gateway/{}", event.category),
            )
        })
    }
}
