//! Whether what clients were told of a blackboard could have happened one after another, each while it was under way.
//!
//! The search of Wing and Gong with Lowe's memory: take any operation that nothing unanswered precedes, see whether it says what
//! a board would say now, and go on from there. The board here is a map; nothing of the engine's own order is asked.

use std::collections::{BTreeMap, BTreeSet};

use super::history::{Event, Op, Outcome, What};

/// A board: version and value of each key; a version outlives its value.
type Board = BTreeMap<String, (u64, Option<String>)>;

#[derive(Debug, Clone)]
struct Operation {
    /// Places in the history.
    from: usize,
    until: usize,
    op: Op,
    /// `None` if nobody knows whether it happened.
    outcome: Option<Outcome>,
    repeated: bool,
}

/// What cannot be put in an order.
pub(super) fn check(history: &[Event]) -> Result<(), String> {
    let mut all: BTreeMap<(&str, usize), Operation> = BTreeMap::new();
    for (at, event) in history.iter().enumerate() {
        match &event.what {
            What::Invoked { n, op } => {
                let operation = Operation {
                    from: at,
                    until: usize::MAX,
                    op: op.clone(),
                    outcome: None,
                    repeated: false,
                };
                all.entry((event.who.as_str(), *n)).or_insert(operation);
            }
            What::Repeated { n } => {
                if let Some(known) = all.get_mut(&(event.who.as_str(), *n)) {
                    known.repeated = true;
                }
            }
            What::Answered { n, outcome } => {
                let known = all.get_mut(&(event.who.as_str(), *n));
                let known = known.ok_or_else(|| format!("an answer to nothing: {event:?}"))?;
                match &known.outcome {
                    None => {
                        known.outcome = Some(outcome.clone());
                        known.until = at;
                    }
                    Some(first) if first != outcome && known.op != Op::Read => {
                        return Err(format!("first {first:?}, then {event:?}"));
                    }
                    Some(_) => {}
                }
            }
            _ => {}
        }
    }
    let mut operations: Vec<Operation> = all.into_values().collect();
    // A refusal is not remembered: what was sent twice may be refused and, when its copy comes, be taken.
    let copies: Vec<Operation> = operations
        .iter()
        .filter(|one| one.repeated && one.outcome == Some(Outcome::Refused))
        .map(|one| Operation {
            until: usize::MAX,
            outcome: None,
            ..one.clone()
        })
        .collect();
    operations.extend(copies);
    operations.sort_by_key(|one| one.from);
    search(&operations)
}

fn search(operations: &[Operation]) -> Result<(), String> {
    let mut seen: BTreeSet<(Vec<usize>, Board)> = BTreeSet::new();
    // What is done, as the first that is not and those beyond it that are; and the board that they made.
    let mut open: Vec<(usize, BTreeSet<usize>, Board)> = vec![(0, BTreeSet::new(), Board::new())];
    let mut furthest = 0;
    while let Some((first, beyond, board)) = open.pop() {
        if first == operations.len() {
            return Ok(());
        }
        furthest = furthest.max(first);
        let pending = || (first..operations.len()).filter(|at| !beyond.contains(at));
        let end = pending().map(|at| operations[at].until).min();
        let end = end.unwrap_or(usize::MAX);
        let only_unknown = pending().all(|at| operations[at].outcome.is_none());
        if only_unknown {
            return Ok(());
        }
        for at in pending().take_while(|at| operations[*at].from < end) {
            let Some(next) = apply(&board, &operations[at]) else {
                continue;
            };
            let (mut first, mut beyond) = (first, beyond.clone());
            beyond.insert(at);
            while beyond.remove(&first) {
                first += 1;
            }
            let mut done: Vec<usize> = beyond.iter().copied().collect();
            done.push(first);
            if seen.insert((done, next.clone())) {
                open.push((first, beyond, next));
            }
        }
    }
    let stuck: Vec<_> = operations[furthest..].iter().take(6).collect();
    Err(format!("no order explains {stuck:#?}"))
}

/// The board after an operation, if it then says what was said.
fn apply(board: &Board, operation: &Operation) -> Option<Board> {
    let version = |key: &String| {
        let known = board.get(key);
        known
            .filter(|(_, value)| value.is_some())
            .map_or(0, |(version, _)| *version)
    };
    match (&operation.op, &operation.outcome) {
        (Op::Read, None) => Some(board.clone()),
        (Op::Read, Some(Outcome::Found(found))) => {
            let there = board.iter().filter_map(|(key, (version, value))| {
                Some((key.clone(), (*version, value.clone()?)))
            });
            (there.collect::<BTreeMap<_, _>>() == *found).then(|| board.clone())
        }
        (Op::Write(parts), outcome) => {
            let holds = parts.iter().all(|(key, if_version, value)| {
                if_version.is_none_or(|wanted| wanted == version(key))
                    && (value.is_some() || version(key) > 0)
            });
            match outcome {
                Some(Outcome::Refused) => return (!holds).then(|| board.clone()),
                Some(Outcome::Found(_)) => return None,
                Some(Outcome::Written(_)) if !holds => return None,
                // Nobody knows; if it could not be, it was not.
                None if !holds => return Some(board.clone()),
                _ => {}
            }
            let mut next = board.clone();
            let mut made = BTreeMap::new();
            for (key, _, value) in parts {
                let known = next.entry(key.clone()).or_default();
                known.0 += u64::from(value.is_some());
                known.1.clone_from(value);
                if value.is_some() {
                    made.insert(key.clone(), known.0);
                }
            }
            match outcome {
                Some(Outcome::Written(told)) if *told != made => None,
                _ => Some(next),
            }
        }
        _ => None,
    }
}
