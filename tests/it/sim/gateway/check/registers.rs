//! Retained messages: each topic is a register, and there is an order that explains what was read of it.

use std::collections::BTreeMap;

use hallward::wire::Millis;

use super::super::history::{Event, What};
use super::super::linear::{Operation, search};

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

/// Each subscriber was sent the last message that was acknowledged before it subscribed, or a later one.
pub(super) fn check(history: &[Event]) -> Result<(), String> {
    let mut topics: BTreeMap<&str, Vec<Operation<Op>>> = BTreeMap::new();
    for (place, event) in history.iter().enumerate() {
        match &event.what {
            What::Writes { topic, .. } => {
                let write = write(history, place);
                topics.entry(topic).or_default().extend(write);
            }
            What::Reads { topic } => {
                let read = read(history, place);
                topics.entry(topic).or_default().extend(read);
            }
            _ => {}
        }
    }
    for (topic, operations) in topics {
        search(operations, None, apply).map_err(|words| format!("{topic}: {words}"))?;
    }
    Ok(())
}

/// What one leaving of a message may have come to; nothing if another packet of the same delivery stands for it.
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
