//! Retained messages: each topic is a register, and there is an order that explains what was read
//! of it.

use std::collections::BTreeMap;

use hallward::wire::Millis;

use super::super::history::{Event, What};
use super::super::linear::{Operation, search};
use super::super::network::LinkId;

/// How long what left may take to arrive, if it does.
const SLACK_MS: Millis = 1_000;

/// What is retained.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Value {
    words: String,
    qos: u8,
    /// When it may be over, and when it is.
    over: Option<(Millis, Millis)>,
}

#[derive(Debug, Clone)]
enum Op {
    /// What is not known to have happened may not have.
    Write {
        value: Option<Value>,
        happened: bool,
    },
    Read {
        words: Option<String>,
        sure: bool,
        /// When it was asked, and when it was told.
        from: Millis,
        until: Millis,
    },
}

/// Each subscriber was sent the last message that was acknowledged before it subscribed, or a later
/// one.
pub(super) fn check(history: &[Event]) -> Result<(), String> {
    let mut topics: BTreeMap<String, Vec<Operation<Op>>> = BTreeMap::new();
    let mut listens = false;
    for (place, event) in history.iter().enumerate() {
        match &event.what {
            What::Writes { topic, .. } => {
                let write = write(history, place);
                topics.entry(topic.clone()).or_default().extend(write);
            }
            What::Heard { topic, words, .. } if words.starts_with("will-") => {
                let will = will(history, place, words);
                topics.entry(topic.clone()).or_default().extend(will);
            }
            What::Dials {
                link,
                promise: Some(promise),
            } if promise.retain && !listens => {
                let topic = format!("plain/wills/{}", event.who);
                let early = early_will(history, place, *link);
                topics.entry(topic.clone()).or_default().extend(early);
            }
            What::Granted if event.who == "ear" => listens = true,
            What::Reads { topic } => {
                let read = read(history, place);
                topics.entry(topic.clone()).or_default().extend(read);
            }
            _ => {}
        }
    }
    for (topic, operations) in topics {
        search(operations, None, apply).map_err(|words| format!("{topic}: {words}"))?;
    }
    Ok(())
}

/// What one leaving of a message may have come to; nothing if another packet of the same delivery
/// stands for it.
fn write(history: &[Event], from: usize) -> Option<Operation<Op>> {
    let (event, later) = (&history[from], &history[from + 1..]);
    let What::Writes {
        n,
        value,
        qos,
        ttl,
        dup,
        ..
    } = &event.what
    else {
        return None;
    };
    // At QoS 2 a repeat is no message of its own.
    if *qos == 2 && *dup {
        return None;
    }
    let mut until = from + later.len();
    let mut happened = false;
    for (later, place) in later.iter().zip(from + 1..) {
        let own = later.who == event.who;
        match &later.what {
            What::Wrote { n: which } if own && which == n => {
                (until, happened) = (place, true);
                break;
            }
            What::Writes { n: which, dup, .. } if own && which == n => {
                let goes_on = *qos == 2 && *dup;
                if !goes_on {
                    until = place;
                    break;
                }
            }
            _ if *qos == 0 && later.at > event.at + SLACK_MS => {
                until = place;
                break;
            }
            _ => {}
        }
    }
    let over = ttl.map(|ttl| (event.at + ttl, history[until].at + ttl + SLACK_MS));
    let value = value.clone().map(|words| Value {
        words,
        qos: *qos,
        over,
    });
    Some(Operation {
        from,
        until,
        op: Op::Write { value, happened },
        is_known: happened,
    })
}

/// A will that was retained, between the end of its connection and when somebody heard of it first.
fn will(history: &[Event], until: usize, words: &str) -> Option<Operation<Op>> {
    let past = &history[..until];
    if past.iter().any(|event| is_heard(event, words)) {
        return None;
    }
    let dialled = past.iter().position(|event| match &event.what {
        What::Dials { link, promise } => {
            promise.is_some_and(|one| one.retain) && words == format!("will-{link}")
        }
        _ => false,
    })?;
    let is_end = |event: &Event| {
        let over = matches!(event.what, What::Lost | What::HangsUp);
        over && event.who == past[dialled].who
    };
    let from = (dialled..until).find(|place| is_end(&past[*place]))?;
    Some(will_published(words, from, until, true))
}

/// One of which nobody could have heard when it was made.
fn early_will(history: &[Event], from: usize, link: LinkId) -> Option<Operation<Op>> {
    let words = format!("will-{link}");
    let unheard = !history.iter().any(|event| is_heard(event, &words));
    unheard.then(|| will_published(&words, from, history.len() - 1, false))
}

fn is_heard(event: &Event, words: &str) -> bool {
    matches!(&event.what, What::Heard { words: said, .. } if said == words)
}

fn will_published(words: &str, from: usize, until: usize, happened: bool) -> Operation<Op> {
    let value = Value {
        words: words.to_owned(),
        qos: 1,
        over: None,
    };
    let value = Some(value);
    Operation {
        from,
        until,
        op: Op::Write { value, happened },
        is_known: happened,
    }
}

/// What one subscription was sent; nothing if that will never be known.
fn read(history: &[Event], from: usize) -> Option<Operation<Op>> {
    let who = &history[from].who;
    let mut own = (from + 1..).zip(&history[from + 1..]);
    let mut own = own.by_ref().filter(|(_, event)| event.who == *who);
    let mut until = None;
    own.find_map(|(place, event)| match &event.what {
        What::Granted => {
            until.get_or_insert(place);
            None
        }
        What::Read { value, sure } => Some(Operation {
            from,
            until: until.unwrap_or(place),
            op: Op::Read {
                words: value.clone(),
                sure: *sure,
                from: history[from].at,
                until: event.at,
            },
            is_known: true,
        }),
        _ => None,
    })
}

fn apply(state: &Option<Value>, op: &Op) -> Vec<Option<Value>> {
    match op {
        Op::Write { value, happened } => {
            let without = (!happened).then(|| state.clone());
            without.into_iter().chain([value.clone()]).collect()
        }
        Op::Read {
            words,
            sure,
            from,
            until,
        } => {
            let fits = match (words, state) {
                (None, None) => true,
                (None, Some(value)) => {
                    let may_be_over = value.over.is_some_and(|(at, _)| at <= *until);
                    may_be_over || (!sure && value.qos == 0)
                }
                (Some(_), None) => false,
                (Some(words), Some(value)) => {
                    let is_over = value.over.is_some_and(|(_, at)| at < *from);
                    *words == value.words && !is_over
                }
            };
            fits.then(|| state.clone()).into_iter().collect()
        }
    }
}
