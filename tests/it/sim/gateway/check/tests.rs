//! The judges can condemn: histories with one thing wrong each.

use super::super::history::{Arrival, Event, Kind, Op, Outcome, Promise, What};
use super::super::linear;
use super::check;

const SURE: Arrival = Arrival {
    qos: 1,
    dup: false,
    clean: false,
};

fn told(lines: &[(&str, What)]) -> Vec<Event> {
    let lines = lines.iter().zip(1..);
    let event = |((who, what), at): (&(&str, What), u64)| Event {
        at,
        who: (*who).to_owned(),
        what: what.clone(),
    };
    lines.map(event).collect()
}

fn condemned(lines: &[(&str, What)], word: &str) {
    let history = told(lines);
    let verdict = check(&history).and_then(|_| linear::check(&history));
    let words = verdict.expect_err("a history that breaks a promise");
    assert!(words.contains(word), "{words}");
}

fn passed(lines: &[(&str, What)]) {
    let history = told(lines);
    assert_eq!(check(&history).err(), None);
    assert_eq!(linear::check(&history), Ok(()));
}

fn sent(n: u64, qos: u8) -> What {
    let to = "b".to_owned();
    What::Sent {
        to,
        n,
        qos,
        ttl: None,
    }
}

fn taken(n: u64) -> What {
    let to = "b".to_owned();
    What::Taken { to, n }
}

fn got(n: u64, how: Arrival) -> What {
    let from = "a".to_owned();
    What::Got { from, n, how }
}

#[test]
fn acknowledged_message_that_never_arrives_is_found_unless_purged() {
    let mut lines = vec![("a", sent(1, 1)), ("a", taken(1))];
    condemned(&lines, "never got it");
    let purged = What::Purged {
        whose: "b".to_owned(),
        count: 1,
    };
    lines.push(("root", purged));
    passed(&lines);
}

#[test]
fn doubled_and_invented_messages_and_wrong_order_are_found() {
    condemned(&[("b", got(1, SURE))], "never sent");
    condemned(
        &[("a", sent(1, 1)), ("b", got(1, SURE)), ("b", got(1, SURE))],
        "too often",
    );
    let exact = Arrival { qos: 2, ..SURE };
    let dup = Arrival { dup: true, ..exact };
    condemned(
        &[("a", sent(1, 2)), ("b", got(1, exact)), ("b", got(1, dup))],
        "too often",
    );
    condemned(
        &[
            ("a", sent(1, 1)),
            ("a", sent(2, 1)),
            ("b", got(2, SURE)),
            ("b", got(1, SURE)),
        ],
        "after 2",
    );
}

fn at(at: u64, who: &str, what: What) -> Event {
    let who = who.to_owned();
    Event { at, who, what }
}

#[test]
fn mail_that_comes_when_it_is_over_and_lists_that_are_wrong_are_found() {
    let ttl = Some(10);
    let (to, n, qos) = ("b".to_owned(), 1, 1);
    let soon_over = at(0, "a", What::Sent { to, n, qos, ttl });
    let is_taken = at(1, "a", taken(1));
    check(&[soon_over.clone(), at(900, "b", got(1, SURE))]).expect("in time");
    check(&[soon_over.clone(), at(2_000, "b", got(1, SURE))]).expect_err("too late");
    let look = |when| {
        let whose = "b".to_owned();
        at(when, "c", What::Looks { n: 1, whose })
    };
    let list = |when, named: &[u64]| {
        let mail = named.iter().map(|n| ("a".to_owned(), *n)).collect();
        at(when, "c", What::Listed { n: 1, mail })
    };
    let known = [soon_over, is_taken];
    let end = at(3_000, "gateway", What::Crashed);
    let with = |look, list| check(&[&known[..], &[look, list, end.clone()]].concat());
    with(look(2), list(3, &[1])).expect("what waits");
    with(look(2), list(3, &[])).expect_err("it hides what waits");
    with(look(2), list(3, &[1, 2])).expect_err("it shows what was never sent");
    with(look(2_000), list(2_001, &[])).expect("it is over");
    with(look(2_000), list(2_001, &[1])).expect_err("it shows what is over");
}

fn writes(n: u64, value: Option<&str>, qos: u8, ttl: Option<u64>) -> What {
    What::Writes {
        n,
        topic: "t".to_owned(),
        value: value.map(str::to_owned),
        qos,
        ttl,
        dup: false,
    }
}

fn reads() -> What {
    let topic = "t".to_owned();
    What::Reads { topic }
}

fn read_of(value: Option<&str>, sure: bool) -> What {
    let value = value.map(str::to_owned);
    What::Read { value, sure }
}

#[test]
fn retained_messages_that_are_stale_lost_or_over_are_found() {
    let one = [
        ("a", writes(1, Some("x"), 1, None)),
        ("a", What::Wrote { n: 1 }),
    ];
    let clear = [("b", writes(1, None, 2, None)), ("b", What::Wrote { n: 1 })];
    let of = |value, sure| [("r", reads()), ("r", read_of(value, sure))];
    passed(&[&one[..], &of(Some("x"), true)].concat());
    condemned(&[&one[..], &of(None, true)].concat(), "no order");
    condemned(&[&one[..], &of(None, false)].concat(), "no order");
    condemned(
        &[&one[..], &clear, &of(Some("x"), true)].concat(),
        "no order",
    );
    // While the clear is under way, both are right; at QoS 0 nobody knows.
    let [begin, end] = clear;
    let under_way = [&one[..], &[begin], &of(Some("x"), true)].concat();
    passed(&[&under_way[..], &[end]].concat());
    let careless = [("b", writes(1, Some("y"), 0, None))];
    passed(&[&one[..], &careless, &of(Some("x"), true)].concat());
    passed(&[&one[..], &careless, &of(None, false)].concat());
    condemned(&[&one[..], &careless, &of(None, true)].concat(), "no order");
    let late = |value| {
        let [asks, told] = of(value, true);
        [
            at(1, "a", writes(1, Some("x"), 1, Some(10))),
            at(2, "a", What::Wrote { n: 1 }),
            at(5_000, asks.0, asks.1),
            at(5_001, told.0, told.1),
        ]
    };
    check(&late(None)).expect("it is over");
    check(&late(Some("x"))).expect_err("it was over");
}

/// A will of connection 1, of which somebody hears so often; `end` is how the connection ended.
fn will(delay_ms: u64, end: Option<What>, times: usize) -> Result<(), String> {
    let promise = Some(Promise {
        qos: 2,
        retain: false,
        delay_ms,
    });
    let heard = || What::Heard {
        topic: "plain/wills/a".to_owned(),
        words: "will-1".to_owned(),
        how: SURE,
    };
    let mut history = vec![
        at(1, "ear", What::Granted),
        at(2, "a", What::Dials { link: 1, promise }),
        at(3, "a", What::Opened),
    ];
    history.extend(end.map(|end| at(10, "a", end)));
    history.push(at(11, "gateway", What::Noticed { link: 1 }));
    history.extend((0..times).map(|_| at(2_000, "ear", heard())));
    check(&history).map(drop)
}

#[test]
fn wills_that_are_lost_doubled_or_not_due_are_found() {
    will(0, None, 0).expect("its client is there");
    will(0, None, 1).expect_err("its client is there");
    will(0, Some(What::HangsUp), 0).expect("it said goodbye");
    will(0, Some(What::HangsUp), 1).expect_err("it said goodbye");
    will(0, Some(What::Lost), 1).expect("it is due");
    will(0, Some(What::Lost), 0).expect_err("it is due");
    will(0, Some(What::Lost), 2).expect_err("once is enough");
    will(1_000, Some(What::Lost), 0).expect_err("it is due after a second");
}

#[test]
fn jobs_that_are_lost_or_doubled_are_found() {
    let joins = |clean| What::Joins { qos: 2, clean };
    let posts = |qos| What::Posts {
        n: 1,
        qos,
        dup: false,
    };
    let works = || What::Works {
        whose: "a".to_owned(),
        n: 1,
        how: SURE,
    };
    let posted = |clean, qos| {
        let lines = [("m1", joins(false)), ("m2", joins(clean))];
        [
            &lines[..],
            &[("a", posts(qos)), ("a", What::Posted { n: 1 })],
        ]
        .concat()
    };
    condemned(&posted(false, 1), "nobody has it");
    condemned(&posted(false, 2), "nobody has it");
    condemned(&posted(true, 1), "nobody has it");
    // At QoS 2 it may go with the session that it was sent to.
    passed(&posted(true, 2));
    let once = [posted(false, 2), vec![("m1", works())]].concat();
    passed(&once);
    condemned(&[once, vec![("m2", works())]].concat(), "too many");
}

fn ended(yes: bool, words: &str, how: Arrival) -> What {
    What::Ended {
        kind: Kind::Approval,
        id: "x".to_owned(),
        yes,
        words: words.to_owned(),
        how,
    }
}

#[test]
fn ends_that_are_missing_doubled_or_nobodys_are_found() {
    let (kind, id) = (Kind::Approval, "x".to_owned());
    let asked = (
        "a",
        What::Asked {
            kind,
            id: id.clone(),
        },
    );
    let no = (
        "b",
        What::Word {
            kind,
            id,
            yes: false,
        },
    );
    condemned(std::slice::from_ref(&asked), "never ended");
    condemned(
        &[asked.clone(), no.clone(), ("a", ended(true, "yes", SURE))],
        "said yes",
    );
    let silent = ("a", ended(false, "silence", SURE));
    condemned(
        &[asked.clone(), silent.clone(), silent.clone()],
        "came again",
    );
    let other = ("a", ended(false, "a word", SURE));
    condemned(&[asked.clone(), silent.clone(), other], "then as");
    let again = Arrival { dup: true, ..SURE };
    passed(&[asked, silent, ("a", ended(false, "silence", again))]);
}

#[test]
fn locks_that_overlap_and_stale_writes_are_found() {
    let locked = |token, until| What::Locked { token, until };
    condemned(&[("a", locked(1, 9)), ("b", locked(2, 9))], "same time");
    condemned(&[("a", locked(1, 9)), ("b", locked(1, 9))], "have token");
    let unlocked = What::Unlocked { token: 1 };
    passed(&[("a", locked(1, 9)), ("a", unlocked), ("b", locked(2, 9))]);
    let wrote = |token, version| What::Fenced {
        token,
        version: Some(version),
    };
    condemned(&[("b", wrote(2, 1)), ("a", wrote(1, 2))], "after 2");
}

fn write(n: usize, parts: &[(&str, Option<u64>, Option<&str>)]) -> What {
    let part = |(key, at, value): &(&str, Option<u64>, Option<&str>)| {
        ((*key).to_owned(), *at, value.map(str::to_owned))
    };
    let op = Op::Write(parts.iter().map(part).collect());
    What::Invoked { n, op }
}

fn wrote(n: usize, versions: &[(&str, u64)]) -> What {
    let versions = versions.iter();
    let versions = versions.map(|(key, version)| ((*key).to_owned(), *version));
    let outcome = Outcome::Written(versions.collect());
    What::Answered { n, outcome }
}

fn read(n: usize) -> What {
    What::Invoked { n, op: Op::Read }
}

fn found(n: usize, entries: &[(&str, u64, &str)]) -> What {
    let entries = entries.iter();
    let entries =
        entries.map(|(key, version, value)| ((*key).to_owned(), (*version, (*value).to_owned())));
    let outcome = Outcome::Found(entries.collect());
    What::Answered { n, outcome }
}

/// A write that asked for a version and was refused.
fn refused_condition() -> [(&'static str, What); 2] {
    let outcome = Outcome::Refused;
    [
        ("v", write(1, &[("k", Some(1), Some("2"))])),
        ("v", What::Answered { n: 1, outcome }),
    ]
}

#[test]
fn reads_of_what_is_over_and_writes_that_are_lost_are_found() {
    let one = [
        ("w", write(1, &[("k", None, Some("1"))])),
        ("w", wrote(1, &[("k", 1)])),
    ];
    let stale = [("r", read(1)), ("r", found(1, &[]))];
    condemned(&[&one[..], &stale[..]].concat(), "no order");
    // While the write is under way, both are right.
    let [begin, end] = one.clone();
    passed(&[&[begin][..], &stale[..], &[end][..]].concat());
    let two = [
        ("v", write(1, &[("k", None, Some("2"))])),
        ("v", wrote(1, &[("k", 1)])),
    ];
    condemned(&[&one[..], &two[..]].concat(), "no order");
    let cas = refused_condition();
    condemned(&[&one[..], &cas[..]].concat(), "no order");
}

#[test]
fn copy_of_what_was_refused_may_be_taken_later_and_nothing_else() {
    let cas = refused_condition();
    let one = [
        ("w", write(1, &[("k", None, Some("1"))])),
        ("w", wrote(1, &[("k", 1)])),
        ("r", read(1)),
        ("r", found(1, &[("k", 2, "2")])),
    ];
    condemned(&[&cas[..], &one[..]].concat(), "no order");
    let [begin, end] = cas;
    let again = ("v", What::Repeated { n: 1 });
    passed(&[&[begin, again, end][..], &one[..]].concat());
}

#[test]
fn torn_transactions_are_found_and_what_nobody_was_told_may_have_been() {
    let both = [
        (
            "w",
            write(1, &[("j", None, Some("1")), ("k", None, Some("1"))]),
        ),
        ("w", wrote(1, &[("j", 1), ("k", 1)])),
    ];
    let [begin, end] = both;
    let half = [("r", read(1)), ("r", found(1, &[("j", 1, "1")]))];
    condemned(
        &[&[begin.clone()][..], &half[..], &[end][..]].concat(),
        "no order",
    );
    let whole = [
        ("r", read(1)),
        ("r", found(1, &[("j", 1, "1"), ("k", 1, "1")])),
    ];
    passed(&[&[begin.clone()][..], &whole[..]].concat());
    passed(&[&[begin][..], &[("r", read(1)), ("r", found(1, &[]))][..]].concat());
}
