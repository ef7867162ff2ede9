//! Random agents doing random things, crashes included: nothing panics, everything adds up, every
//! task ends once.

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::wire::presence::Encoding;
use crate::wire::tools::{ToolResult, ToolRun};

use super::*;

pub(super) const AGENTS: [&str; 4] = ["a", "b", "c", "d"];
const TYPES: [&str; 3] = ["draft", "review", "rare"];
/// The calls of the second may be run twice.
const TOOLS: [&str; 2] = ["once", "often"];

pub(super) struct Dice(pub(super) ChaCha12Rng);

impl Dice {
    pub(super) fn below(&mut self, sides: u64) -> u64 {
        self.0.next_u64() % sides
    }

    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.below(from.len() as u64)).unwrap()]
    }
}

#[expect(
    clippy::too_many_lines,
    reason = "one choice among many, each a line or two"
)]
pub(super) fn act(world: &mut World, dice: &mut Dice, step: u64) {
    let who = dice.pick(&AGENTS);
    let kind = dice.pick(&TYPES);
    match dice.below(30) {
        0 => world.connect_as(who, dice.below(2) == 0, dice.below(2) == 0),
        1 => world.disconnect(who),
        2 if dice.below(4) == 0 => world.end_session(who),
        2..=4 => {
            let offered = world.subscribe(who, &format!("rooms/r/handoff/work/{kind}"));
            expect(world, who, offered);
        }
        5 => world.unsubscribe(who, &format!("rooms/r/handoff/work/{kind}")),
        6 if dice.below(4) == 0 => drop(world.send_raw(who, "presence/announce", "")),
        6 | 7 => {
            let status = dice.pick(&["idle", "busy", "draining"]);
            let said =
                json!({ "capacity": dice.below(4), "status": status, "capabilities": [kind] });
            let announced = world.send(who, "presence/announce", said);
            expect(world, who, announced);
        }
        8..=12 => {
            let task = json!({
                "id": format!("t{step}"), "type": kind, "priority": dice.pick(&["low", "high"]),
                "capabilities": if dice.below(3) == 0 { json!([kind, "draft"]) } else { json!([]) },
                "ttlMs": 1 + dice.below(200_000), "notBeforeMs": dice.below(2) * dice.below(9_000),
                "leaseMs": 1_000 + dice.below(20_000), "maxAttempts": 1 + dice.below(4),
                "requireOnline": dice.below(5) == 0, "affinity": dice.pick(&["x", "y"]),
            });
            let _ = world.send(who, "handoff/dispatch", task);
        }
        13..=17 => {
            let sent = world.assignments(who);
            if !sent.is_empty() {
                let recent = sent.len().saturating_sub(4);
                let (task, attempt) =
                    &sent[recent + usize::try_from(dice.below(4)).unwrap() % (sent.len() - recent)];
                let status = dice.pick(&["accepted", "progress", "success", "error", "release"]);
                let _ = world.update(who, &task.clone(), *attempt, status);
            }
        }
        18 => {
            let verb = dice.pick(&["handoff/cancel", "handoff/redrive"]);
            let _ = world.send(
                who,
                verb,
                json!({ "task": format!("t{}", dice.below(step + 1)) }),
            );
        }
        19 => {
            let set = json!({ "value": step, "ifVersion": dice.below(3), "ttlMs": 1 + dice.below(90_000) });
            let _ = world.send(who, &format!("blackboard/set/{kind}"), set);
        }
        20 if dice.below(4) == 0 => {
            let body = json!({ "ttlMs": 1 + dice.below(60_000), "wait": dice.below(2) == 0 });
            let verb = dice.pick(&["lock", "lock", "unlock"]);
            let _ = world.send(who, &format!("blackboard/{verb}/{kind}"), body);
        }
        20 if dice.below(3) == 0 => {
            let mut ops = vec![
                json!({ "op": "check", "key": dice.pick(&TYPES), "ifVersion": dice.below(3) }),
            ];
            ops.push(json!({ "op": "set", "key": kind, "value": { "s": step }, "merge": true, "ttlMs": 1 + dice.below(90_000) }));
            ops.truncate(1 + usize::try_from(dice.below(2)).unwrap());
            let _ = world.send(who, "blackboard/txn", json!({ "ops": ops }));
        }
        20 => drop(world.send_raw(who, &format!("blackboard/delete/{kind}"), "")),
        21 => {
            let request =
                json!({ "id": format!("p{step}"), "action": "x", "quorum": 1 + dice.below(2) });
            let asked = world.send(who, "approve/request", request);
            expect(world, who, asked);
        }
        22 => {
            let word = dice.pick(&["approve", "reject", "defer"]);
            let topic = format!("approve/decide/p{}", dice.below(step + 1));
            let _ = world.send(who, &topic, json!({ "decision": word }));
        }
        23 => {
            let cancel = json!({ "approval": format!("p{}", dice.below(step + 1)) });
            let _ = world.send(who, "approve/cancel", cancel);
        }
        24..=28 => act_on_tools(world, dice, who),
        _ if dice.below(3) == 0 => world.crash(),
        _ => {
            let ms = dice.below(40_000);
            world.pass(ms);
        }
    }
}

/// What nothing stands against is refused only where the room is barred, or not for everybody.
fn expect(world: &World, who: &str, verdict: Verdict) {
    let settings = &world.settings;
    let own = settings.rooms.room.get("r");
    let allowed = match own {
        None if settings.rooms.create == Create::Configured => Err(Code::NotFound),
        Some(own) if !own.admits(&agent(who)) => Err(Code::Forbidden),
        _ => Ok(()),
    };
    assert_eq!(verdict, allowed, "{who}");
}

fn act_on_tools(world: &mut World, dice: &mut Dice, who: &str) {
    let tool = dice.pick(&TOOLS);
    let register = format!("tools/register/{tool}");
    match dice.below(8) {
        0 | 1 => {
            let _ = world.subscribe(who, &format!("rooms/r/tools/run/{tool}"));
            let said = json!({
                "description": "d", "inputSchema": { "type": "object" }, "outputSchema": { "properties": { "n": { "maximum": 8 } } },
                "idempotent": tool == "often",
            });
            let _ = world.send(who, &register, said);
        }
        2 if dice.below(3) == 0 => drop(world.send_raw(who, &register, "")),
        2 => world.unsubscribe(who, &format!("rooms/r/tools/run/{tool}")),
        3 | 4 => {
            let call =
                json!({ "arguments": { "n": dice.below(9) }, "timeoutMs": 1 + dice.below(60_000) });
            let _ = world.send(who, &format!("tools/call/{tool}"), call);
        }
        5 | 6 => {
            let runs: Vec<ToolRun> =
                world.directed_to(who, |topic| matches!(topic, Topic::ToolsRun { .. }));
            if let Some(run) = runs
                .iter()
                .rev()
                .nth(usize::try_from(dice.below(3)).unwrap())
            {
                let status = dice.pick(&["success", "success", "error", "partial"]);
                let said = json!({ "call": run.call, "status": status, "result": { "n": dice.below(10) } });
                let _ = world.send(who, "tools/return", said);
            }
        }
        _ => {
            let called = world
                .events
                .iter()
                .rev()
                .filter(|event| event.what == "tools.called");
            let called: Vec<String> = called.take(3).map(|event| event.subject.clone()).collect();
            if !called.is_empty() {
                let call = &called[usize::try_from(dice.below(3)).unwrap() % called.len()];
                let _ = world.send(who, "tools/cancel", json!({ "call": call }));
            }
        }
    }
}

/// Every call has one final result that fits its schema, and what may run once only has run once
/// only.
fn tool_calls_end_once(world: &World, seed: u64) {
    let of = |what: &str| {
        let events = world.events.iter().filter(|event| event.what == what);
        let subjects: Vec<&str> = events.map(|event| event.subject.as_str()).collect();
        subjects
    };
    let mut called = of("tools.called");
    let (mut ended, mut ran_once) = (Vec::new(), Vec::new());
    for who in AGENTS {
        let is_result = |topic: &Topic| matches!(topic, Topic::ToolsResult { .. });
        let results: Vec<ToolResult> = world.directed_to(who, is_result);
        for result in results.into_iter().filter(|result| result.is_final) {
            let text = result.result.as_ref().map(|json| json.text().to_owned());
            assert_ne!(
                text.as_deref(),
                Some(r#"{"n":9}"#),
                "seed {seed}: no result of the schema's"
            );
            ended.push(result.call.to_string());
        }
        let is_run = |topic: &Topic| matches!(topic, Topic::ToolsRun { .. });
        let runs: Vec<ToolRun> = world.directed_to(who, is_run);
        let once = runs.into_iter().filter(|run| run.tool.as_str() == "once");
        ran_once.extend(once.map(|run| run.call.to_string()));
    }
    called.sort_unstable();
    ended.sort();
    assert_eq!(ended, called, "seed {seed}: one final result per call");
    let runs = ran_once.len();
    ran_once.sort();
    ran_once.dedup();
    assert_eq!(
        runs,
        ran_once.len(),
        "seed {seed}: run twice what may run once"
    );
}

/// The room is barred or has members for a while, limits and defaults change.
fn reconfigure(world: &mut World, dice: &mut Dice) {
    let members = match dice.below(4) {
        0 => vec!["a".to_owned(), "b".to_owned()],
        _ => Vec::new(),
    };
    let (is_barred, is_named) = (dice.below(3) == 0, dice.below(2) == 0);
    let retention = dice.pick(&[60_000, 24 * 60 * 60_000]);
    let (calls, lease) = (1 + dice.below(3), 500 + dice.below(60_000));
    world.reconfigure(|settings| {
        settings.rooms.create = match is_barred {
            true => Create::Configured,
            false => Create::OnUse,
        };
        settings.handoff.result_retention = ms(retention);
        settings.tools.max_calls_per_provider = usize::try_from(calls).unwrap();
        settings.handoff.lease = ms(lease);
        let own = RoomConfig {
            members,
            ..RoomConfig::default()
        };
        let named = (is_named && !is_barred).then(|| (Room::new("r").unwrap(), own));
        settings.rooms.room = named.into_iter().collect();
    });
}

fn run(seed: u64, reconfigures: bool) {
    let mut dice = Dice(ChaCha12Rng::seed_from_u64(seed));
    let encoding = match seed % 3 {
        0 => Encoding::Cbor,
        _ => Encoding::Json,
    };
    let mut world = World::with(Settings::tuned(|settings| {
        settings.rooms.encoding = encoding
    }));
    if seed.is_multiple_of(2) {
        world.speak_cbor.extend(["b", "d"]);
    }
    for step in 0..250 {
        act(&mut world, &mut dice, step);
        if reconfigures && dice.below(12) == 0 {
            reconfigure(&mut world, &mut dice);
        }
    }
    world.check();
    world.reconfigure(|settings| {
        *settings = Settings::tuned(|settings| settings.rooms.encoding = encoding)
    });
    world.check();
    let spoken_to_in_cbor = |directed: &&Directed| crate::wire::cbor::is_map(&directed.payload);
    let mut in_cbor = world.directed.iter().filter(spoken_to_in_cbor);
    assert!(
        in_cbor.all(|directed| world.speak_cbor.contains(&directed.to.as_str())),
        "seed {seed}: to each in its own"
    );
    let promised = world.events.iter().filter(|event| {
        matches!(
            event.what.as_str(),
            "handoff.dispatched" | "handoff.redriven"
        )
    });
    let promised = promised.count();
    // Everything has a time to live or a time-out.
    world.pass(24 * 60 * 60_000 - 300_000);
    let ended: usize = AGENTS
        .iter()
        .map(|who| world.final_results(who).len())
        .sum();
    assert_eq!(
        ended, promised,
        "seed {seed}: one final result per life of a task"
    );
    tool_calls_end_once(&world, seed);
    let asked = world
        .events
        .iter()
        .filter(|event| event.what == "approve.requested");
    let asked = asked.count();
    let decided: usize = AGENTS.iter().map(|who| world.decisions(who).len()).sum();
    assert_eq!(decided, asked, "seed {seed}: one decision per request");
    world.check();
    for who in AGENTS {
        world.end_session(who);
    }
    world.pass(31 * 24 * 60 * 60_000);
    assert_eq!(
        world.next_timer(),
        None,
        "seed {seed}: no timer is left behind"
    );
    assert_eq!(world.engine.stats().tasks, TaskCounts::default());
    assert_eq!(world.engine.stats().agents, 0);
    let left = world
        .disk
        .keys()
        .filter(|key| !matches!(key[2], 1 | 8) && !key.starts_with(&[0, 33]))
        .count();
    assert_eq!(left, 0, "seed {seed}: records are left behind");
}

#[test]
fn random_agents_find_no_way_to_break_it() {
    for seed in 0..60 {
        run(seed, false);
    }
}

#[test]
fn random_agents_find_no_way_to_break_it_while_it_is_configured_anew() {
    for seed in 0..60 {
        run(seed, true);
    }
}

/// Nothing but tools, with providers that come and go: returns how many calls were answered, lost
/// and given to another.
fn run_tools(seed: u64) -> [usize; 3] {
    let mut dice = Dice(ChaCha12Rng::seed_from_u64(seed));
    let mut world = World::new();
    for _ in 0..250 {
        let who = dice.pick(&AGENTS);
        match dice.below(40) {
            0..=2 => world.disconnect(who),
            3..=6 => world.connect_as(who, dice.below(2) == 0, dice.below(2) == 0),
            7 => world.crash(),
            8..=10 => {
                let ms = dice.below(2_000);
                world.pass(ms);
            }
            11 => {
                let status = dice.pick(&["idle", "draining"]);
                let said = json!({ "status": status });
                world.send(who, "presence/announce", said).unwrap();
            }
            _ => act_on_tools(&mut world, &mut dice, who),
        }
    }
    world.check();
    world.pass(60_000);
    tool_calls_end_once(&world, seed);
    world.check();
    ["tools.returned", "tools.lost", "tools.rerouted"].map(|what| {
        let events = world.events.iter();
        events.filter(|event| event.what == what).count()
    })
}

#[test]
fn tools_that_come_and_go_leave_no_call_without_its_one_result() {
    let mut seen = [0; 3];
    for seed in 0..40 {
        for (count, more) in seen.iter_mut().zip(run_tools(seed)) {
            *count += more;
        }
    }
    assert!(
        seen.iter().all(|count| *count > 20),
        "too little happened: {seen:?}"
    );
}
