//! Judges a history that has come to its end: nothing is under way any more. It finds the first
//! thing that is wrong.

mod mail;
mod registers;
mod shares;
mod tests;
mod wills;

use std::collections::{BTreeMap, BTreeSet};

use hallward::wire::Millis;

use super::history::{Arrival, Counts, Event, Kind, What};

/// The promises, one after another; what happened how often, if they were kept.
pub(super) fn check(history: &[Event]) -> Result<Counts, String> {
    let mut counts = Counts::new();
    for event in history {
        *counts.entry(event.what.name()).or_default() += 1;
    }
    mail::check(history, &mut counts)?;
    ends(history)?;
    locks(history)?;
    fences(history)?;
    registers::check(history)?;
    wills::check(history, &mut counts)?;
    shares::check(history, &mut counts)?;
    Ok(counts)
}

/// Tasks, approvals and calls: each that was taken ends once, and with a yes only where somebody
/// whose it was gave one.
fn ends(history: &[Event]) -> Result<(), String> {
    let mut asked: BTreeMap<(Kind, &str), &str> = BTreeMap::new();
    let mut yes: BTreeSet<(Kind, &str)> = BTreeSet::new();
    let mut ended: BTreeMap<(Kind, &str), &str> = BTreeMap::new();
    for event in history {
        match &event.what {
            What::Asked { kind, id } => {
                asked.insert((*kind, id), &event.who);
            }
            What::Word {
                kind,
                id,
                yes: true,
            } => {
                yes.insert((*kind, id));
            }
            What::Ended {
                kind,
                id,
                yes: approved,
                words,
                how,
            } => {
                if *approved && !yes.contains(&(*kind, id)) {
                    return Err(format!("nobody said yes to {kind:?} {id}: {event:?}"));
                }
                one_end(&mut ended, (*kind, id), words, *how)?;
            }
            _ => {}
        }
    }
    match asked.iter().find(|(name, _)| !ended.contains_key(*name)) {
        Some((name, who)) => Err(format!("{name:?} of {who} was taken and never ended")),
        None => Ok(()),
    }
}

fn one_end<'a>(
    ended: &mut BTreeMap<(Kind, &'a str), &'a str>,
    name: (Kind, &'a str),
    words: &'a str,
    how: Arrival,
) -> Result<(), String> {
    match ended.insert(name, words) {
        None => Ok(()),
        Some(first) if first != words => Err(format!("{name:?} ended as {first}, then as {words}")),
        Some(_) if !how.may_repeat() => Err(format!("the end of {name:?} came again: {how:?}")),
        Some(_) => Ok(()),
    }
}

/// Locks: nobody believes to hold what another believes to hold, and a later token is a larger one.
fn locks(history: &[Event]) -> Result<(), String> {
    let mut given_back: BTreeMap<u64, Millis> = BTreeMap::new();
    for event in history {
        if let What::Unlocked { token } = event.what {
            given_back.entry(token).or_insert(event.at);
        }
    }
    // By token: who, from when, until when.
    let mut held: BTreeMap<u64, (&str, Millis, Millis)> = BTreeMap::new();
    for event in history {
        let What::Locked { token, until } = event.what else {
            continue;
        };
        let until = given_back.get(&token).map_or(until, |at| until.min(*at));
        let known = held.entry(token).or_insert((&event.who, event.at, until));
        if known.0 != event.who {
            return Err(format!("{} and {} have token {token}", known.0, event.who));
        }
        known.2 = until;
    }
    let all: Vec<_> = held.iter().collect();
    for (at, (token, one)) in all.iter().enumerate() {
        for (later, other) in &all[at + 1..] {
            if other.1 < one.2 && one.1 < one.2 && other.1 < other.2 {
                return Err(format!(
                    "{token} is held as {one:?} and {later} as {other:?}: at the same time"
                ));
            }
        }
    }
    Ok(())
}

/// Fences: a write under an older token never comes after one under a newer.
fn fences(history: &[Event]) -> Result<(), String> {
    let mut by_version: BTreeMap<u64, u64> = BTreeMap::new();
    for event in history {
        if let What::Fenced {
            token,
            version: Some(version),
        } = event.what
            && by_version
                .insert(version, token)
                .is_some_and(|other| other != token)
        {
            return Err(format!("two writes made version {version}: {event:?}"));
        }
    }
    let mut newest = 0;
    for (version, token) in by_version {
        if token < newest {
            return Err(format!(
                "version {version} was written under {token} after {newest}"
            ));
        }
        newest = token;
    }
    Ok(())
}
