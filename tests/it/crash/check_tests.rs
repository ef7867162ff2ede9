//! The judge can condemn: doctored histories, each with one thing wrong.

use super::check::check;
use super::history::{Delivery, Event, What, timeline};

const EXACT: Delivery = Delivery {
    qos: 2,
    dup: false,
    clean: false,
};
const REPEAT: Delivery = Delivery {
    qos: 1,
    dup: true,
    clean: false,
};

fn event(who: &str, subject: &str, n: u64, what: What) -> Event {
    Event {
        who: who.to_owned(),
        subject: subject.to_owned(),
        n,
        what,
    }
}

fn result(attempts: u32, delivery: Delivery) -> What {
    What::Result {
        worker: "w".to_owned(),
        attempts,
        outcome: "succeeded".to_owned(),
        delivery,
    }
}

fn shown(id: &str, version: u64, delivery: Delivery) -> What {
    What::Shown {
        id: id.to_owned(),
        version,
        delivery,
    }
}

fn decision(by: &str, approved: bool) -> What {
    What::Decision {
        by: vec![by.to_owned()],
        approved,
        delivery: EXACT,
    }
}

/// Two messages, a task, a key with two versions, an approval, a retained value: all as it should
/// be.
fn good() -> Vec<Event> {
    let written = What::Written {
        id: "c2".to_owned(),
        version: 2,
    };
    vec![
        event("s", "q2/p", 0, What::Listens { clean: false }),
        event("p", "q2/p", 1, What::Sent { qos: 2 }),
        event("p", "q2/p", 2, What::Sent { qos: 2 }),
        event("s", "q2/p", 1, What::Delivered { qos: 2, dup: false }),
        event("p", "q2/p", 1, What::Acked),
        event("", "", 0, What::Killed),
        event("s", "q2/p", 2, What::Delivered { qos: 2, dup: true }),
        event("p", "q2/p", 2, What::Acked),
        event("r", "kept/a", 0, What::RetainedAcked { value: Some(7) }),
        event("d", "task/1", 0, What::Acked),
        event("w", "task/1", 0, What::Finished { attempt: 2 }),
        event("d", "task/1", 0, result(2, EXACT)),
        event("watcher", "key", 0, shown("c1", 1, EXACT)),
        event("watcher", "key", 0, shown("c2", 2, EXACT)),
        event("b", "key", 0, written),
        event("r", "approval/1", 0, What::Acked),
        event("a", "approval/1", 0, What::Voted { approve: true }),
        event("r", "approval/1", 0, decision("a", true)),
        event("new", "kept/a", 0, What::RetainedFound { value: Some(7) }),
    ]
}

/// Expects exactly one complaint, about this, with this word in it.
fn condemned(history: &[Event], subject: &str, n: u64, word: &str) {
    let complaints = check(history);
    assert_eq!(complaints.len(), 1, "{complaints:#?}");
    assert_eq!(
        (complaints[0].subject.as_str(), complaints[0].n),
        (subject, n)
    );
    assert!(complaints[0].words.contains(word), "{complaints:#?}");
}

fn position(history: &[Event], wanted: impl Fn(&Event) -> bool) -> usize {
    history
        .iter()
        .position(wanted)
        .expect("it is in the good history")
}

#[test]
fn a_good_history_is_good() {
    assert_eq!(check(&good()), []);
}

#[test]
fn a_lost_message_is_seen() {
    let mut history = good();
    let at = position(&history, |event| {
        event.n == 2 && matches!(event.what, What::Delivered { .. })
    });
    history.remove(at);
    condemned(&history, "q2/p", 2, "never got it");
}

#[test]
fn a_duplicate_at_qos_2_is_seen_even_with_dup() {
    let mut history = good();
    history.push(event("s", "q2/p", 1, What::Delivered { qos: 2, dup: true }));
    condemned(&history, "q2/p", 1, "2 times at QoS 2");
}

#[test]
fn a_duplicate_at_qos_1_needs_dup_or_a_repeated_publish() {
    let mut history = vec![
        event("s", "q1/p", 0, What::Listens { clean: false }),
        event("p", "q1/p", 1, What::Sent { qos: 1 }),
        event("p", "q1/p", 1, What::Acked),
        event("s", "q1/p", 1, What::Delivered { qos: 1, dup: false }),
        event("s", "q1/p", 1, What::Delivered { qos: 1, dup: true }),
    ];
    assert_eq!(check(&history), []);
    history.push(event(
        "s",
        "q1/p",
        1,
        What::Delivered { qos: 1, dup: false },
    ));
    condemned(&history, "q1/p", 1, "without DUP");
    history.push(event("p", "q1/p", 1, What::Sent { qos: 1 }));
    assert_eq!(check(&history), []);
}

#[test]
fn a_wrong_order_is_seen() {
    let mut history = good();
    let first = position(&history, |event| {
        event.n == 1 && matches!(event.what, What::Delivered { .. })
    });
    let second = position(&history, |event| {
        event.n == 2 && matches!(event.what, What::Delivered { .. })
    });
    history.swap(first, second);
    condemned(&history, "q2/p", 1, "after #2");
}

#[test]
fn a_message_from_nowhere_is_seen() {
    let mut history = good();
    history.push(event(
        "s",
        "q2/p",
        9,
        What::Delivered { qos: 2, dup: false },
    ));
    condemned(&history, "q2/p", 9, "nobody sent");
}

#[test]
fn a_lost_and_a_stale_retained_message_are_seen() {
    let mut history = good();
    let at = history.len() - 1;
    history[at].what = What::RetainedFound { value: Some(6) };
    condemned(&history, "kept/a", 0, "Some(6)");
    history.pop();
    condemned(&history, "kept/a", 0, "None");
}

#[test]
fn a_task_without_a_result_is_seen() {
    let mut history = good();
    history.retain(|event| !matches!(event.what, What::Result { .. }));
    condemned(&history, "task/1", 0, "without a final result");
}

#[test]
fn a_second_result_is_seen() {
    let mut history = good();
    history.push(event("d", "task/1", 0, result(2, EXACT)));
    condemned(&history, "task/1", 0, "came again");
    history.pop();
    history.push(event("d", "task/1", 0, result(2, REPEAT)));
    assert_eq!(check(&history), [], "a repeat that QoS 1 allows");
    history.push(event("w", "task/1", 0, What::Finished { attempt: 3 }));
    history.push(event("d", "task/1", 0, result(3, REPEAT)));
    condemned(&history, "task/1", 0, "two different");
}

#[test]
fn a_result_that_no_worker_gave_is_seen() {
    let mut history = good();
    history.retain(|event| !matches!(event.what, What::Finished { .. }));
    condemned(&history, "task/1", 0, "never ended");
}

#[test]
fn a_version_gap_is_seen() {
    let mut history = good();
    history.push(event("watcher", "key", 0, shown("c4", 4, EXACT)));
    condemned(&history, "key", 0, "version 4 after 2");
}

#[test]
fn a_version_that_comes_twice_is_seen() {
    let mut history = good();
    history.push(event("watcher", "key", 0, shown("other", 2, REPEAT)));
    condemned(&history, "key", 0, "again");
    history.pop();
    history.push(event("watcher", "key", 0, shown("c2", 2, REPEAT)));
    assert_eq!(check(&history), [], "a repeat that QoS 1 allows");
}

#[test]
fn a_command_with_two_effects_is_seen() {
    let mut history = good();
    history.push(event("watcher", "key", 0, shown("c2", 3, EXACT)));
    condemned(&history, "key", 0, "versions 2 and 3");
}

#[test]
fn a_write_that_was_acknowledged_and_lost_is_seen() {
    let mut history = good();
    let written = What::Written {
        id: "c3".to_owned(),
        version: 3,
    };
    history.push(event("b", "key", 0, written));
    condemned(&history, "key", 0, "never saw");
}

#[test]
fn decisions_that_are_missing_double_or_false_are_seen() {
    let mut history = good();
    let at = position(&history, |event| {
        matches!(event.what, What::Decision { .. })
    });
    let one = history.remove(at);
    condemned(&history, "approval/1", 0, "never decided");
    history.push(one.clone());
    history.push(one);
    condemned(&history, "approval/1", 0, "came again");
    history.pop();
    let at = position(&history, |event| {
        matches!(event.what, What::Decision { .. })
    });
    history[at].what = decision("a", false);
    condemned(&history, "approval/1", 0, "whose vote was Some(true)");
}

#[test]
fn a_timeline_shows_one_thing_and_the_kills_between() {
    let text = timeline(&good(), "q2/p", 2);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 5, "{text}");
    assert!(
        lines[0].contains("Listens") && lines[1].contains("#2 Sent"),
        "{text}"
    );
    assert!(
        lines[2].contains("Killed") && lines[4].contains("Acked"),
        "{text}"
    );
}
