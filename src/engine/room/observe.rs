//! Observe: a room's past, a page at a time.
//!
//! A question is answered from what the desk keeps, in the reply itself; nothing is remembered
//! between two pages but what the asker says. How far one page looks is bounded, so that nobody
//! waits for somebody's long past.

use std::ops::ControlFlow;

use crate::wire::cbor;
use crate::wire::filter;
use crate::wire::json::Json;
use crate::wire::name::Category;
use crate::wire::observe::{Event, Replay, ReplayPage};
use crate::wire::reply::{Code, Rejection};
use crate::wire::topic::{RoomTopic, Topic};

use crate::engine::event::{Detail, RoomEvent};
use crate::engine::event_log::{EventLogError, EventRange, Recalled};
use crate::engine::replies::{Accepted, Call, Outcome, page_limit};
use crate::engine::tx::RoomTx;

/// Events in a page where the question does not say.
const USUAL_PAGE: u32 = 100;
/// A page looks at so many events at least for those that it returns, and at twice as many as it
/// may return.
const LOOKS: usize = 1_000;
/// The category of agents' own events.
const AGENTS: &str = "agent";

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
    let may_read = |topic: Topic| {
        let topic = RoomTopic::new(tx.room.name.clone(), topic);
        call.mailboxes.may_receive(call.from(), &topic)
    };
    past.read(&tx.room.name, page.next, &mut |event| {
        page.look(event, &may_read)
    })
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

/// An agent tells something: it has a number from now on, and is part of the room's past.
pub(in crate::engine) fn told(
    tx: &mut RoomTx<'_>,
    call: &Call<'_>,
    category: &Category,
) -> Outcome {
    let settings = &tx.cx.settings.observe;
    if settings.journal_agents {
        let bytes = &call.command.payload;
        let is_small = bytes.len() <= settings.max_agent_event.0;
        let payload = Some(bytes)
            .filter(|_| is_small)
            .and_then(|bytes| text_of(bytes));
        let happened = RoomEvent {
            detail: Detail {
                bytes: payload.is_none().then_some(bytes.len()),
                ..Detail::default()
            },
            payload: payload.as_ref(),
            traceparent: call.command.mirrors.trace.traceparent.as_deref(),
            ..RoomEvent::new("agent.told", category.as_str(), call.from())
        };
        tx.record_event(&happened);
    }
    Ok(Accepted::new(Code::Done))
}

/// Where an agent told it, if it is an agent's own event.
fn told_on(event: &Recalled<'_>) -> Option<String> {
    if event.category != AGENTS {
        return None;
    }
    let told: Event = serde_json::from_slice(event.payload).ok()?;
    Some(format!("observe/events/{}/{}", told.who, told.subject))
}

/// The topic on which an agent told it.
fn told_where(told: &Event) -> Option<Topic> {
    Some(Topic::ObserveEvents {
        source: told.who.clone(),
        category: Category::new(&told.subject).ok()?,
    })
}

/// What was said, where it is JSON or CBOR.
fn text_of(payload: &[u8]) -> Option<Json> {
    if cbor::begins(payload) {
        let text = cbor::to_json(payload).ok()?;
        return Json::parse(std::str::from_utf8(&text).ok()?).ok();
    }
    Json::parse(std::str::from_utf8(payload).ok()?).ok()
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
    if filter::overlap(wanted, "observe/events/+/+") {
        return Ok(());
    }
    let reason =
        format!("{wanted:?} matches no event: those are on observe/events/{{source}}/{{category}}");
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

    fn look(&mut self, event: Recalled<'_>, may_read: &dyn Fn(Topic) -> bool) -> ControlFlow<()> {
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
            let Ok(mut told) = serde_json::from_slice::<Event>(event.payload) else {
                self.unreadable = true;
                return ControlFlow::Break(());
            };
            if told.payload.is_some() && !told_where(&told).is_some_and(may_read) {
                told.payload = None;
            }
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
            let own = format!("observe/events/gateway/{}", event.category);
            filter::matches(wanted, &own)
                || told_on(event).is_some_and(|topic| filter::matches(wanted, &topic))
        })
    }
}
