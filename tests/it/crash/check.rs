//! Judges a history: what was acknowledged must be there, once, in order.
//!
//! Pure; it finds everything that is wrong, not only the first thing. `check_tests` proves that it
//! can.

use std::collections::{BTreeMap, BTreeSet};

use super::history::{Event, What};

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Complaint {
    pub(super) subject: String,
    pub(super) n: u64,
    pub(super) words: String,
}

/// Everything that is wrong with a history that has come to its end: nothing is in flight any more.
pub(super) fn check(history: &[Event]) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    said_by_actors(history, &mut complaints);
    streams(history, &mut complaints);
    retained(history, &mut complaints);
    tasks(history, &mut complaints);
    keys(history, &mut complaints);
    approvals(history, &mut complaints);
    complaints
}

fn complain(complaints: &mut Vec<Complaint>, subject: &str, n: u64, words: impl Into<String>) {
    complaints.push(Complaint {
        subject: subject.to_owned(),
        n,
        words: words.into(),
    });
}

fn said_by_actors(history: &[Event], complaints: &mut Vec<Complaint>) {
    for event in history {
        match &event.what {
            What::Wrong(words) => {
                complain(
                    complaints,
                    &event.subject,
                    event.n,
                    format!("{}: {words}", event.who),
                );
            }
            What::Refused { code } => {
                let words = format!("{}: refused with {code:#04x} for no reason", event.who);
                complain(complaints, &event.subject, event.n, words);
            }
            _ => {}
        }
    }
}

/// What a stream's publisher did with one message.
#[derive(Debug, Default)]
struct Sending {
    times: u64,
    qos: u8,
    acked: bool,
}

/// What one receiver got of one stream.
#[derive(Debug, Default)]
struct Receiving {
    clean: bool,
    /// Per message: deliveries, and those of them without DUP.
    got: BTreeMap<u64, (u64, u64)>,
    /// At QoS 2.
    exactly: BTreeSet<u64>,
    last_first: u64,
}

fn streams(history: &[Event], complaints: &mut Vec<Complaint>) {
    let mut sent: BTreeMap<&str, BTreeMap<u64, Sending>> = BTreeMap::new();
    let mut received: BTreeMap<(&str, &str), Receiving> = BTreeMap::new();
    for event in history {
        let stream = event.subject.as_str();
        let receiver = (stream, event.who.as_str());
        match event.what {
            What::Listens { clean } => received.entry(receiver).or_default().clean = clean,
            What::Sent { qos } => {
                let sending = sent.entry(stream).or_default().entry(event.n).or_default();
                sending.times += 1;
                sending.qos = qos;
            }
            What::Acked => {
                sent.entry(stream)
                    .or_default()
                    .entry(event.n)
                    .or_default()
                    .acked = true
            }
            What::Delivered { qos, dup } => {
                let receiving = received.entry(receiver).or_default();
                let (all, fresh) = receiving.got.entry(event.n).or_default();
                *all += 1;
                *fresh += u64::from(!dup);
                if qos == 2 {
                    receiving.exactly.insert(event.n);
                }
                if *all == 1 && event.n < receiving.last_first {
                    let words = format!("{} got it after #{}", event.who, receiving.last_first);
                    complain(complaints, stream, event.n, words);
                }
                receiving.last_first = receiving.last_first.max(event.n);
            }
            _ => {}
        }
    }
    for ((stream, who), receiving) in &received {
        if let Some(sent) = sent.get(stream) {
            received_in_full(complaints, stream, who, sent, receiving);
        }
    }
}

fn received_in_full(
    complaints: &mut Vec<Complaint>,
    stream: &str,
    who: &str,
    sent: &BTreeMap<u64, Sending>,
    receiving: &Receiving,
) {
    for (n, sending) in sent {
        let (all, fresh) = receiving.got.get(n).copied().unwrap_or_default();
        if sending.acked && all == 0 {
            complain(
                complaints,
                stream,
                *n,
                format!("acknowledged, but {who} never got it"),
            );
        }
        // A publisher's repeat at QoS 1 is a message of its own to the gateway.
        let allowed = if sending.qos == 2 { 1 } else { sending.times };
        if receiving.exactly.contains(n) && all > 1 {
            complain(
                complaints,
                stream,
                *n,
                format!("{who} got it {all} times at QoS 2"),
            );
        } else if !receiving.clean && fresh > allowed {
            let words = format!(
                "{who} got it {fresh} times without DUP, but it was published {allowed} times"
            );
            complain(complaints, stream, *n, words);
        }
    }
    for n in receiving.got.keys().filter(|n| !sent.contains_key(n)) {
        complain(
            complaints,
            stream,
            *n,
            format!("{who} got what nobody sent"),
        );
    }
}

fn retained(history: &[Event], complaints: &mut Vec<Complaint>) {
    let mut acked: BTreeMap<&str, Option<u64>> = BTreeMap::new();
    let mut found: BTreeMap<&str, Option<u64>> = BTreeMap::new();
    for event in history {
        match event.what {
            What::RetainedAcked { value } => {
                acked.insert(&event.subject, value);
            }
            What::RetainedFound { value } => {
                found.insert(&event.subject, value);
            }
            _ => {}
        }
    }
    for (topic, value) in &acked {
        let there = found.get(topic).copied().flatten();
        if there != *value {
            let words =
                format!("acknowledged retained value {value:?}, but a newcomer finds {there:?}");
            complain(complaints, topic, 0, words);
        }
    }
}

fn tasks(history: &[Event], complaints: &mut Vec<Complaint>) {
    let mut asked: BTreeSet<&str> = BTreeSet::new();
    let mut finished: BTreeSet<(&str, &str, u32)> = BTreeSet::new();
    let mut results: BTreeMap<&str, Vec<&Event>> = BTreeMap::new();
    for event in history {
        let task = event.subject.as_str();
        match &event.what {
            What::Acked if task.starts_with("task/") => {
                asked.insert(task);
            }
            What::Finished { attempt } => {
                finished.insert((task, event.who.as_str(), *attempt));
            }
            What::Result { .. } => results.entry(task).or_default().push(event),
            _ => {}
        }
    }
    for task in asked {
        if !results.contains_key(task) {
            complain(
                complaints,
                task,
                0,
                "dispatched and acknowledged, but without a final result",
            );
        }
    }
    for (task, results) in results {
        for result in &results {
            let What::Result {
                worker, attempts, ..
            } = &result.what
            else {
                continue;
            };
            if !finished.contains(&(task, worker, *attempts)) {
                let words = format!(
                    "a result of {worker}'s attempt {attempts}, which {worker} never ended"
                );
                complain(complaints, task, 0, words);
            }
        }
        repeats(complaints, task, "final result", &results);
    }
}

/// One outcome, however often QoS 1 repeats it.
fn repeats(complaints: &mut Vec<Complaint>, subject: &str, kind: &str, events: &[&Event]) {
    for (earlier, later) in events.iter().zip(&events[1..]) {
        let (one, delivery) = outcome(&earlier.what);
        let (other, again) = outcome(&later.what);
        debug_assert!(delivery.is_some(), "only outcomes are compared");
        if one != other {
            complain(
                complaints,
                subject,
                0,
                format!("two different ones: {kind} {one}, then {other}"),
            );
        } else if !again.is_some_and(super::history::Delivery::may_repeat) {
            complain(
                complaints,
                subject,
                0,
                format!("the {kind} came again: {:?}", later.what),
            );
        }
    }
}

fn outcome(what: &What) -> (String, Option<super::history::Delivery>) {
    match what {
        What::Result {
            worker,
            attempts,
            outcome,
            delivery,
        } => (
            format!("{outcome} by {worker} at attempt {attempts}"),
            Some(*delivery),
        ),
        What::Decision {
            by,
            approved,
            delivery,
        } => (format!("approved {approved} by {by:?}"), Some(*delivery)),
        other => (format!("{other:?}"), None),
    }
}

fn keys(history: &[Event], complaints: &mut Vec<Complaint>) {
    let mut shown: BTreeMap<(&str, &str), Vec<(u64, &str)>> = BTreeMap::new();
    for event in history {
        let What::Shown {
            id,
            version,
            delivery,
        } = &event.what
        else {
            continue;
        };
        let (key, who) = (event.subject.as_str(), event.who.as_str());
        let seen = shown.entry((key, who)).or_default();
        let last = seen.last().map_or(0, |(version, _)| *version);
        if *version == last + 1 {
            seen.push((*version, id));
        } else if *version > last {
            let words = format!("{who} saw version {version} after {last}");
            complain(complaints, key, 0, words);
            seen.push((*version, id));
        } else if !delivery.may_repeat() || !seen.contains(&(*version, id)) {
            let words =
                format!("{who} saw version {version} ({id}) again after {last}, as {delivery:?}");
            complain(complaints, key, 0, words);
        }
    }
    for ((key, who), versions) in &shown {
        let mut ids: BTreeMap<&str, u64> = BTreeMap::new();
        for (version, id) in versions {
            if let Some(earlier) = ids.insert(id, *version) {
                let words = format!("{who} saw command {id} make versions {earlier} and {version}");
                complain(complaints, key, 0, words);
            }
        }
    }
    written_is_shown(history, &shown, complaints);
}

fn written_is_shown(
    history: &[Event],
    shown: &BTreeMap<(&str, &str), Vec<(u64, &str)>>,
    complaints: &mut Vec<Complaint>,
) {
    for event in history {
        let What::Written { id, version } = &event.what else {
            continue;
        };
        for ((key, who), versions) in shown {
            if *key == event.subject && !versions.contains(&(*version, id)) {
                let words = format!(
                    "{} was told that {id} made version {version}, but {who} never saw that",
                    event.who
                );
                complain(complaints, key, 0, words);
            }
        }
    }
}

fn approvals(history: &[Event], complaints: &mut Vec<Complaint>) {
    let mut asked: BTreeSet<&str> = BTreeSet::new();
    let mut votes: BTreeMap<(&str, &str), bool> = BTreeMap::new();
    let mut decisions: BTreeMap<&str, Vec<&Event>> = BTreeMap::new();
    for event in history {
        let approval = event.subject.as_str();
        match &event.what {
            What::Acked if approval.starts_with("approval/") => {
                asked.insert(approval);
            }
            What::Voted { approve } => {
                votes.insert((approval, event.who.as_str()), *approve);
            }
            What::Decision { .. } => decisions.entry(approval).or_default().push(event),
            _ => {}
        }
    }
    for approval in asked {
        if !decisions.contains_key(approval) {
            complain(
                complaints,
                approval,
                0,
                "requested and acknowledged, but never decided",
            );
        }
    }
    for (approval, decisions) in decisions {
        for decision in &decisions {
            let What::Decision { by, approved, .. } = &decision.what else {
                continue;
            };
            let vote = match by.as_slice() {
                [one] => votes.get(&(approval, one.as_str())),
                _ => None,
            };
            if vote != Some(approved) {
                let words = format!("approved {approved} by {by:?}, whose vote was {vote:?}");
                complain(complaints, approval, 0, words);
            }
        }
        repeats(complaints, approval, "decision", &decisions);
    }
}
