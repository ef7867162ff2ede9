//! The tables of transitions and the engine say the same: what random agents do to it is in the
//! tables, everything in the tables happens to somebody, and each transition begins where the one
//! before it has ended.

use std::collections::{BTreeMap, BTreeSet};

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;

use super::random::{AGENTS, Dice, act};
use super::*;
use crate::engine::{MACHINES, Machine, OTHER_EVENTS, Transition};
use crate::wire::tools::{ToolResult, ToolRun};

/// The states that things are in, by what was told of them.
#[derive(Default)]
struct Told {
    states: BTreeMap<(&'static str, String), &'static str>,
    seen: BTreeSet<(&'static str, usize)>,
    read: usize,
}

/// What an event is about: of tools each provider has its own, of groups each dispatcher.
fn subject(machine: &Machine, event: &Event) -> String {
    match machine.name {
        "tool" => format!("{} of {}", event.subject, event.who),
        _ => event.subject.clone(),
    }
}

fn row(event: &Event) -> Option<(&'static Machine, usize, &'static Transition)> {
    MACHINES.iter().find_map(|machine| {
        let found = machine.row(&event.what, event.from.as_deref(), event.to.as_deref())?;
        let mut rows = machine.transitions.iter();
        let at = rows.position(|row| row == found)?;
        Some((*machine, at, &machine.transitions[at]))
    })
}

impl Told {
    /// Follows what has happened since it was asked last.
    fn follow(&mut self, world: &World, seed: u64) {
        for event in &world.events[self.read..] {
            let Some((machine, at, row)) = row(event) else {
                assert!(OTHER_EVENTS.contains(&event.what.as_str()), "{event:?}");
                continue;
            };
            self.seen.insert((machine.name, at));
            let key = (machine.name, subject(machine, event));
            let before = self.states.get(&key).copied();
            // These come into being without an event of their own.
            let unsaid = matches!(machine.name, "group" | "room");
            assert!(
                before == row.from || (unsaid && before.is_none()),
                "seed {seed}: {before:?} before {event:?}"
            );
            match row.to {
                Some(to) => self.states.insert(key, to),
                None => self.states.remove(&key),
            };
        }
        self.read = world.events.len();
    }

    /// A restart: nobody is connected.
    fn crashed(&mut self) {
        for ((machine, _), state) in &mut self.states {
            if *machine == "connection" && *state == "online" {
                *state = "away";
            }
        }
    }
}

/// What the others do not do.
fn act_more(world: &mut World, dice: &mut Dice, step: u64) {
    let who = dice.pick(&AGENTS);
    let some_task = format!("t{}", dice.below(step + 1));
    match dice.below(125) {
        60..=89 => ask_and_answer_tasks(world, dice, who),
        90..=109 => ask_and_answer_calls(world, dice, who),
        110..=124 => call_what_has_to_be_approved(world, dice, who),
        0..=14 => {
            let task = json!({
                "id": format!("t{step}"), "type": dice.pick(&["draft", "review"]), "group": dice.pick(&["g", "h"]),
                "groupSize": 2, "maxAttempts": 1, "ttlMs": 1 + dice.below(300_000),
            });
            let _ = world.send(who, "handoff/dispatch", task);
        }
        15..=29 => {
            let task = json!({
                "id": format!("t{step}"), "type": "draft", "dependsOn": [some_task],
                "maxAttempts": 1 + dice.below(2), "ttlMs": 1 + dice.below(300_000),
            });
            let _ = world.send(who, "handoff/dispatch", task);
        }
        30..=38 => {
            let request = json!({
                "id": format!("p{step}"), "action": "x", "timeoutMs": 1 + dice.below(20_000),
                "onTimeout": dice.pick(&["escalate", "approve"]), "escalateTo": ["b"],
            });
            let _ = world.send(who, "approve/request", request);
        }
        39..=54 => {
            let sent = world.assignments(who);
            if let Some((task, attempt)) = sent.last() {
                let update = json!({
                    "task": task, "attempt": attempt, "status": dice.pick(&["progress", "error"]), "result": 1,
                });
                let _ = world.send(who, "handoff/update", update);
            }
        }
        55..=58 => {
            let redrive = json!({ "type": dice.pick(&["draft", "review"]) });
            let _ = world.send(who, "handoff/redrive", redrive);
        }
        _ => {
            world.send_raw(who, "room/close", "").unwrap();
            while world.send_raw(who, "room/open", "").is_err() {
                world.pass(2);
            }
        }
    }
}

/// A worker asks, or somebody answers, mostly the one who may; or somebody who asks goes on.
fn ask_and_answer_tasks(world: &mut World, dice: &mut Dice, who: &str) {
    let last = world.assignments(who).pop();
    let ttl = 1 + dice.below(60_000);
    match (dice.below(5), last) {
        (0 | 1, Some((task, attempt))) => {
            let status = dice.pick(&[
                "input", "input", "progress", "success", "error", "release", "release",
            ]);
            let update = json!({
                "task": task, "attempt": attempt, "status": status,
                "question": 1, "result": 1, "ttlMs": ttl,
            });
            let _ = world.send(who, "handoff/update", update);
        }
        (2 | 3, _) => {
            let asked = world
                .results(who)
                .into_iter()
                .rev()
                .find(|told| told.ask.is_some());
            if let Some(told) = asked {
                if dice.below(3) == 0 {
                    world.end_session(told.worker.expect("who asked").as_str());
                }
                let answer = json!({ "task": told.task, "attempt": told.attempts, "answer": 1 });
                let _ = world.send(who, "handoff/answer", answer);
            }
        }
        _ => {
            let task = json!({ "type": "draft", "maxAttempts": 1 + dice.below(2), "ttlMs": ttl });
            let _ = world.send(who, "handoff/dispatch", task);
        }
    }
}

/// A tool whose calls wait for approval: provided, called, decided on.
fn call_what_has_to_be_approved(world: &mut World, dice: &mut Dice, who: &str) {
    match dice.below(9) {
        0 | 1 => {
            let _ = world.subscribe(who, "rooms/r/tools/run/wipe");
            let said = json!({
                "description": "d", "inputSchema": { "type": "object" },
                "approval": { "timeoutMs": 1 + dice.below(60_000) },
            });
            let _ = world.send(who, "tools/register/wipe", said);
        }
        2..=4 => drop(world.send(who, "tools/call/wipe", json!({}))),
        5 => {
            let held = world
                .events
                .iter()
                .rev()
                .find(|event| event.to.as_deref() == Some("approving"));
            if let Some(call) = held.map(|event| event.subject.clone()) {
                let caller = call.split('/').next().unwrap();
                let _ = world.send(caller, "tools/cancel", json!({ "call": call }));
            }
        }
        _ => {
            let asked = world
                .events
                .iter()
                .rev()
                .filter(|event| event.what == "approve.requested");
            let id = asked.map(|event| event.subject.clone()).next();
            let word = dice.pick(&["approve", "approve", "no"]);
            if let Some(id) = id {
                let said = json!({ "decision": word });
                let _ = world.send(who, &format!("approve/decide/{id}"), said);
            }
        }
    }
}

/// The same of calls.
fn ask_and_answer_calls(world: &mut World, dice: &mut Dice, who: &str) {
    let is_run = |topic: &Topic| matches!(topic, Topic::ToolsRun { .. });
    let is_result = |topic: &Topic| matches!(topic, Topic::ToolsResult { .. });
    match dice.below(3) {
        0 | 1 => {
            let Some(run) = world.directed_to::<ToolRun>(who, is_run).pop() else {
                return;
            };
            let said = json!({
                "call": run.call, "status": dice.pick(&["input", "input", "input", "partial", "success", "error"]),
                "question": 1, "ttlMs": 1 + dice.below(20_000), "result": {},
            });
            let _ = world.send(who, "tools/return", said);
        }
        _ => {
            let results = world.directed_to::<ToolResult>(who, is_result);
            if let Some(told) = results.into_iter().rev().find(|told| told.ask.is_some()) {
                let answer = json!({ "call": told.call, "answer": 1 });
                let _ = world.send(who, "tools/answer", answer);
            }
        }
    }
}

fn run(seed: u64, told: &mut Told) {
    let mut dice = Dice(ChaCha12Rng::seed_from_u64(seed));
    let mut world = World::with(Settings::tuned(|settings| {
        settings.approve.approve_on_timeout = true;
        settings.handoff.max_releases = u32::try_from(seed % 2).expect("small");
    }));
    for step in 0..400 {
        let runs = world.runs;
        match dice.below(3) {
            0 => act_more(&mut world, &mut dice, step),
            _ => act(&mut world, &mut dice, step),
        }
        if world.runs > runs {
            told.crashed();
        }
        told.follow(&world, seed);
    }
    world.pass(24 * 60 * 60_000);
    for who in AGENTS {
        world.end_session(who);
    }
    told.follow(&world, seed);
    let still = told.states.keys().filter(|(machine, _)| {
        let ends = MACHINES.iter().find(|one| one.name == *machine);
        let lasting = matches!(*machine, "key" | "room" | "task" | "approval" | "call");
        !lasting && ends.is_some()
    });
    assert_eq!(still.count(), 0, "seed {seed}: {:?}", told.states);
}

#[test]
fn what_happens_is_in_the_tables_and_what_is_in_the_tables_happens() {
    let mut seen = BTreeSet::new();
    for seed in 0..200 {
        let mut told = Told::default();
        run(seed, &mut told);
        seen.append(&mut told.seen);
    }
    let rows = MACHINES.iter().flat_map(|machine| {
        let rows = machine.transitions.iter().enumerate();
        rows.map(|(at, row)| (machine.name, at, row))
    });
    let unseen: Vec<&Transition> = rows
        .filter(|(machine, at, _)| !seen.contains(&(*machine, *at)))
        .map(|(_, _, row)| row)
        .collect();
    assert!(unseen.is_empty(), "never happened: {unseen:#?}");
}

#[test]
fn no_two_rows_are_told_alike() {
    for machine in MACHINES {
        let mut told = BTreeSet::new();
        for row in machine.transitions {
            assert!(told.insert((row.from, row.event, row.to)), "{row:?}");
        }
    }
}

#[test]
fn tables_name_the_states_that_the_wire_has() {
    let states = |machine: &Machine| -> BTreeSet<&str> {
        let rows = machine.transitions.iter();
        rows.flat_map(|row| [row.from, row.to]).flatten().collect()
    };
    let of_tasks = crate::engine::TaskCounts::STATES.map(TaskState::as_str);
    assert_eq!(states(MACHINES[0]), BTreeSet::from(of_tasks));
}
