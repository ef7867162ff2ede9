//! Wills, and whatever else is published outside the rooms, as somebody hears them whose session
//! lasts.

use std::collections::BTreeMap;

use hallward::wire::Millis;

use super::super::history::{Arrival, Counts, Event, Promise, What};
use super::super::network::LinkId;

/// How long it takes at most until what a client said is on disk.
const SLACK_MS: Millis = 1_000;

/// What was heard of something.
#[derive(Debug, Clone, Default)]
struct Heard {
    times: u64,
    /// Not as a repeat.
    fresh: u64,
}

/// How a connection went on.
#[derive(Debug, Default)]
struct Course {
    opened: bool,
    /// Where its client hung up, or lost it.
    hung_up: Option<usize>,
    lost: Option<usize>,
    /// When the client dialled again, and when it was let in.
    dialled_again: Option<Millis>,
    back: Option<Millis>,
    /// When the gateway knew of the loss at the latest, before the client dialled again.
    known: Option<Millis>,
}

/// Never published after DISCONNECT, nor while the client is there or back in time; published when
/// it was promised; at QoS 2 once. And what was acknowledged reaches whoever is subscribed.
pub(super) fn check(history: &[Event], counts: &mut Counts) -> Result<(), String> {
    let is_ear = |event: &&Event| event.who == "ear";
    let heard = heard(history.iter().filter(is_ear));
    let mut events = history.iter();
    let listens = events.position(|event| is_ear(&event) && event.what == What::Granted);
    let listens = listens.unwrap_or(usize::MAX);
    for (place, event) in history.iter().enumerate() {
        let what = match &event.what {
            What::Dials {
                link,
                promise: Some(promise),
            } => {
                let words = format!("will-{link}");
                let heard = heard.get(words.as_str()).cloned().unwrap_or_default();
                let course = course(history, place, *link);
                let verdict = will(history, *promise, &heard, &course, place > listens, counts);
                verdict.map_err(|why| format!("{why}: {heard:?} of {course:?}"))
            }
            What::Writes {
                n, value, qos, ttl, ..
            } if *qos > 0 && ttl.is_none() && place > listens => {
                let words = value.as_deref().unwrap_or_default();
                let heard = heard.get(words).cloned().unwrap_or_default();
                published(history, place, *n, *qos, &heard)
            }
            _ => Ok(()),
        };
        what.map_err(|why| format!("{event:?}: {why}"))?;
    }
    Ok(())
}

fn heard<'a>(history: impl Iterator<Item = &'a Event>) -> BTreeMap<&'a str, Heard> {
    let mut all: BTreeMap<&str, Heard> = BTreeMap::new();
    for event in history {
        if let What::Heard { words, how, .. } = &event.what {
            let Arrival { dup, .. } = how;
            let heard = all.entry(words).or_default();
            heard.times += 1;
            heard.fresh += u64::from(!dup);
        }
    }
    all
}

fn course(history: &[Event], from: usize, link: LinkId) -> Course {
    let mut course = Course::default();
    let who = &history[from].who;
    for (event, place) in history.iter().zip(0..).skip(from + 1) {
        let own = event.who == *who;
        let is_over = course.lost.is_some() || course.hung_up.is_some();
        match &event.what {
            What::Opened if own && is_over => {
                course.back = Some(event.at);
                break;
            }
            What::Opened if own => course.opened = true,
            What::Lost if own && !is_over => course.lost = Some(place),
            What::HangsUp if own && !is_over => course.hung_up = Some(place),
            What::Dials { .. } if own => {
                course.dialled_again.get_or_insert(event.at);
            }
            What::Noticed { link: which } if *which == link && course.dialled_again.is_none() => {
                course.known = Some(event.at);
            }
            What::Restarted if is_over && course.dialled_again.is_none() => {
                course.known = Some(event.at);
            }
            _ => {}
        }
    }
    course
}

fn will(
    history: &[Event],
    promise: Promise,
    heard: &Heard,
    course: &Course,
    listens: bool,
    counts: &mut Counts,
) -> Result<(), String> {
    if heard.fresh > 1 || (promise.qos == 2 && heard.times > 1) {
        return Err("published more than once".to_owned());
    }
    let crashes = |from: usize, until: Millis| {
        let mut later = history[from..].iter().take_while(|event| event.at <= until);
        later.any(|event| event.what == What::Crashed)
    };
    let is_heard = heard.times > 0;
    let mut count = |name| *counts.entry(name).or_default() += 1;
    match (course.hung_up, course.lost) {
        (None, None) if is_heard => Err("published though its client is there".to_owned()),
        (None, None) => Ok(()),
        (Some(at), _) => {
            // A crash before the gateway has written it down is a lost connection.
            if is_heard && !crashes(at, history[at].at + SLACK_MS) {
                return Err("published though its client said goodbye".to_owned());
            }
            count("will withdrawn");
            Ok(())
        }
        (None, Some(lost)) => {
            let in_time = history[lost].at + promise.delay_ms;
            let taken_back = promise.delay_ms > 0 && course.back.is_some_and(|at| at <= in_time);
            if taken_back {
                count("will taken back");
                return match is_heard {
                    true => Err("published though its client was back in time".to_owned()),
                    false => Ok(()),
                };
            }
            let again = course.dialled_again.unwrap_or(Millis::MAX);
            let known = course.known.map(|known| known + promise.delay_ms);
            let is_due = promise.delay_ms == 0 || known.is_some_and(|due| due < again);
            if is_due && course.opened && listens {
                if !is_heard {
                    return Err("never published".to_owned());
                }
                if promise.delay_ms > 0 {
                    count("will after its delay");
                }
                if history[lost..]
                    .iter()
                    .any(|event| event.at <= in_time && event.what == What::Crashed)
                {
                    count("will over a crash");
                }
            }
            Ok(())
        }
    }
}

/// What was acknowledged is heard; at QoS 2, if it left once, once.
fn published(history: &[Event], from: usize, n: u64, qos: u8, heard: &Heard) -> Result<(), String> {
    let What::Writes {
        topic,
        value: Some(_),
        ..
    } = &history[from].what
    else {
        return Ok(());
    };
    let who = &history[from].who;
    let own = || history.iter().filter(|event| event.who == *who);
    let taken = own().any(|event| event.what == What::Wrote { n });
    let left =
        own().filter(|event| matches!(event.what, What::Writes { n: which, .. } if which == n));
    if topic.starts_with("plain/") && taken && heard.times == 0 {
        return Err("acknowledged, and never heard".to_owned());
    }
    if heard.times > 1 && left.count() == 1 && (qos == 2 || heard.fresh > 1) {
        return Err(format!("too often: {heard:?}"));
    }
    Ok(())
}
