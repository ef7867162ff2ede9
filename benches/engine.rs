//! The engine alone: what a task costs from dispatch to result, with little and with much in the
//! queue, its records included.
//!
//! Also prints what a queued task takes in memory, how long a large room takes to recover, and what
//! single commands cost from a thousand tasks up to a million, ten thousand agents and a thousand
//! rooms.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Instant;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};

use hallward::engine::{Command, DirectedKind, Effect, Engine, Input, Mailboxes, Settings};
use hallward::wire::mirror::CommandMirrors;
use hallward::wire::name::Agent;
use hallward::wire::topic::{Offer, RoomTopic};

struct Roomy;

impl Mailboxes for Roomy {
    fn free_results(&self, _: &Agent) -> usize {
        usize::MAX
    }

    fn free_result_bytes(&self, _: &Agent) -> usize {
        usize::MAX
    }

    fn free_messages(&self, _: &Agent) -> usize {
        usize::MAX
    }
    fn free_bytes(&self, _: &Agent) -> usize {
        usize::MAX
    }
}

fn agent(name: &str) -> Agent {
    Agent::new(name).expect("a name")
}

fn command(from: &str, topic: &str, payload: String) -> Input {
    let topic = RoomTopic::parse("rooms", topic).expect("under the root");
    Input::Command(Command {
        user: None,
        from: agent(from),
        topic: topic.expect("a topic of the table"),
        payload: payload.into(),
        mirrors: CommandMirrors::default(),
    })
}

fn dispatch(id: u64, task_type: &str) -> Input {
    let payload = format!(
        r#"{{"id":"task-{id}","type":"{task_type}","payload":{{"document":"d-{id}","words":1200}}}}"#
    );
    command("boss", "rooms/bench/handoff/dispatch/boss", payload)
}

fn success(id: u64) -> Input {
    let payload =
        format!(r#"{{"task":"task-{id}","attempt":1,"status":"success","result":{{"ok":true}}}}"#);
    command("worker-1", "rooms/bench/handoff/update/worker-1", payload)
}

fn run(engine: &mut Engine, now: u64, input: Input) {
    engine.handle(now, input, &Roomy).expect("accepted");
    while let Some(effect) = engine.poll_effect() {
        black_box(effect);
    }
}

fn seal(engine: &mut Engine, disk: Option<&mut BTreeMap<Vec<u8>, Vec<u8>>>) {
    engine.flush();
    while let Some(effect) = engine.poll_effect() {
        black_box(effect);
    }
    let mut disk = disk;
    engine.drain_records(&mut |key, value| match (&mut disk, value) {
        (Some(disk), Some(value)) => drop(disk.insert(key, value)),
        (Some(disk), None) => drop(disk.remove(&key)),
        (None, value) => drop(black_box((key, value))),
    });
}

/// One idle worker for `draft`, and so many tasks that nobody can do.
fn engine(queued: u64, mut disk: Option<&mut BTreeMap<Vec<u8>, Vec<u8>>>) -> Engine {
    let settings = Settings::tuned(|settings| settings.handoff.max_ended_tasks_per_room = 10_000);
    let mut engine = Engine::new(settings, 7);
    for number in 1..=8 {
        let worker = agent(&format!("worker-{number}"));
        let connected = Input::Connected {
            agent: worker.clone(),
            resumed: false,
            durable: true,
            window: u32::MAX,
        };
        run(&mut engine, 1, connected);
        if number == 1 {
            let filter = "rooms/bench/handoff/work/draft";
            let offer = Offer::of_filter("rooms", filter).expect("names a room");
            let offered = Input::Offered {
                agent: worker,
                offer,
            };
            run(&mut engine, 1, offered);
        }
    }
    for id in 0..queued {
        run(&mut engine, 1, dispatch(id, "rare"));
        if id % 100 == 0 {
            seal(&mut engine, disk.as_deref_mut());
        }
    }
    seal(&mut engine, disk);
    engine
}

/// A task from dispatch to result is two commands; 32 of them share a batch.
fn round_trips(criterion: &mut Criterion) {
    for queued in [1, 100_000] {
        let mut engine = engine(queued, None);
        let mut id = 1_000_000_000;
        let name = format!("32 tasks, dispatch to result, {queued} queued");
        criterion.bench_function(&name, |bencher| {
            bencher.iter_batched(
                || {
                    id += 32;
                    let tasks = id..id + 32;
                    tasks
                        .flat_map(|id| [dispatch(id, "draft"), success(id)])
                        .collect::<Vec<_>>()
                },
                |inputs| {
                    for input in inputs {
                        run(&mut engine, 2, input);
                    }
                    seal(&mut engine, None);
                },
                BatchSize::SmallInput,
            );
        });
    }
}

fn blackboard(criterion: &mut Criterion) {
    let mut engine = engine(1, None);
    criterion.bench_function("32 blackboard writes", |bencher| {
        bencher.iter(|| {
            for key in 0..32 {
                let topic = format!("rooms/bench/blackboard/set/boss/plan/{key}");
                run(
                    &mut engine,
                    2,
                    command("boss", &topic, r#"{"value":{"step":1}}"#.into()),
                );
            }
            seal(&mut engine, None);
        });
    });
}

/// What a write costs beside many other keys, what a transaction costs, and what a lock.
fn shared_state(criterion: &mut Criterion) {
    for keys in [0, 90_000] {
        let mut engine = engine(1, None);
        let set = |key: u64| {
            let topic = format!("rooms/bench/blackboard/set/boss/plan/{key}");
            command("boss", &topic, r#"{"value":{"step":1}}"#.into())
        };
        for key in 0..keys {
            run(&mut engine, 2, set(key + 2));
        }
        seal(&mut engine, None);
        let mut bench = |what: &str, inputs: &[(&str, &str)]| {
            criterion.bench_function(&format!("{what} beside {keys} keys"), |bencher| {
                bencher.iter(|| {
                    for (verb, payload) in inputs {
                        let topic = format!("rooms/bench/blackboard/{verb}");
                        run(
                            &mut engine,
                            2,
                            command("boss", &topic, (*payload).to_owned()),
                        );
                    }
                    seal(&mut engine, None);
                });
            });
        };
        bench("a write", &[("set/boss/plan/1", r#"{"value":{"step":1}}"#)]);
        let patch = r#"{"value":{"step":2},"merge":true}"#;
        bench("a merge", &[("set/boss/plan/1", patch)]);
        let ops = r#"{"ops":[{"op":"set","key":"plan/0","value":1},{"op":"set","key":"plan/1","value":{"step":1}}]}"#;
        bench("a transaction of two writes", &[("txn/boss", ops)]);
        bench(
            "a lock taken and given back",
            &[("lock/boss/press", ""), ("unlock/boss/press", "")],
        );
    }
}

fn resident_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * 4096)
}

/// Not a criterion measurement: once is enough.
fn sizes(_: &mut Criterion) {
    const TASKS: u64 = 1_000_000;
    let before = resident_bytes();
    let full = engine(TASKS, None);
    if let (Some(before), Some(after)) = (before, resident_bytes()) {
        let each = (after - before) / TASKS;
        println!("memory per queued task, {TASKS} of them: {each} B");
    }
    drop(full);
    let mut disk = BTreeMap::new();
    drop(engine(TASKS / 2, Some(&mut disk)));
    let (count, bytes) = (disk.len(), disk.values().map(Vec::len).sum::<usize>());
    let began = Instant::now();
    let engine = Engine::recover(Settings::default(), 8, disk).expect("its own records");
    let took = began.elapsed();
    println!("recovery: {count} records, {bytes} B, {took:?}");
    drop(engine);
}

/// How much there is besides what is measured.
struct Crowd {
    rooms: u64,
    agents: u64,
    tasks: u64,
}

/// Idle workers for `draft`, and tasks of sixteen dispatchers that nobody can do, evenly spread.
fn crowd(crowd: &Crowd) -> Engine {
    let settings = Settings::tuned(|settings| {
        // Room for what is measured beside a room that is full by default.
        settings.handoff.max_tasks_per_room = 2_000_000;
        settings.handoff.max_ended_tasks_per_room = 10_000;
    });
    let mut engine = Engine::new(settings, 7);
    for number in 0..crowd.agents {
        let worker = agent(&format!("worker-{number}"));
        let connected = Input::Connected {
            agent: worker.clone(),
            resumed: false,
            durable: true,
            window: u32::MAX,
        };
        run(&mut engine, 1, connected);
        let filter = format!("rooms/r{}/handoff/work/draft", number % crowd.rooms);
        let offer = Offer::of_filter("rooms", &filter).expect("names a room");
        let offered = Input::Offered {
            agent: worker,
            offer,
        };
        run(&mut engine, 1, offered);
        seal(&mut engine, None);
    }
    for id in 0..crowd.tasks {
        let boss = format!("boss-{}", id % 16);
        let payload = format!(
            r#"{{"id":"task-{id}","type":"rare","payload":{{"document":"d-{id}","words":1200}}}}"#
        );
        let topic = format!("rooms/r{}/handoff/dispatch/{boss}", id % crowd.rooms);
        run(&mut engine, 1, command(&boss, &topic, payload));
        if id % 100 == 0 {
            seal(&mut engine, None);
        }
    }
    seal(&mut engine, None);
    engine
}

/// Says something in the first room, and returns who has got a task by it.
fn say(engine: &mut Engine, from: &str, verb: &str, payload: String) -> Option<Agent> {
    let topic = format!("rooms/r0/handoff/{verb}/{from}");
    let input = command(from, &topic, payload);
    engine.handle(2, input, &Roomy).expect("accepted");
    let mut worker = None;
    while let Some(effect) = engine.poll_effect() {
        if let Effect::Deliver(directed) = effect
            && matches!(directed.class, DirectedKind::Assignment(_))
        {
            worker = Some(directed.to);
        }
    }
    worker
}

fn task(id: &str, more: &str) -> String {
    format!(r#"{{"id":"{id}","type":"draft","payload":{{"words":1200}}{more}}}"#)
}

fn done(id: &str) -> String {
    format!(r#"{{"task":"{id}","attempt":1,"status":"success","result":{{"ok":true}}}}"#)
}

/// From dispatch to result: two commands.
fn round_trip(engine: &mut Engine, id: &str) {
    let worker = say(engine, "boss", "dispatch", task(id, "")).expect("somebody is idle");
    say(engine, worker.as_str(), "update", done(id));
}

/// A task, one that depends on it, and both their ends: four commands.
fn chain(engine: &mut Engine, id: &str) {
    let next = format!("{id}-next");
    let worker = say(engine, "boss", "dispatch", task(id, "")).expect("somebody is idle");
    let more = format!(r#","dependsOn":["{id}"]"#);
    say(engine, "boss", "dispatch", task(&next, &more));
    let second = say(engine, worker.as_str(), "update", done(id)).expect("it goes on");
    say(engine, second.as_str(), "update", done(&next));
}

/// A parent, its child, and the end of both: three commands.
fn family(engine: &mut Engine, id: &str) {
    say(engine, "boss", "dispatch", task(id, ""));
    let more = format!(r#","parent":"{id}""#);
    say(
        engine,
        "boss",
        "dispatch",
        task(&format!("{id}-child"), &more),
    );
    say(engine, "boss", "cancel", format!(r#"{{"task":"{id}"}}"#));
}

fn page(engine: &mut Engine, _: &str) {
    let asked = r#"{"state":"queued","type":"rare","newestFirst":true,"limit":20}"#;
    say(engine, "boss", "list", asked.to_owned());
}

fn look(engine: &mut Engine, _: &str) {
    say(engine, "boss", "get", r#"{"task":"task-0"}"#.to_owned());
}

/// What is done, and of how many commands it is made.
type Habit = (&'static str, f64, fn(&mut Engine, &str));

const HABITS: [Habit; 5] = [
    ("dispatch, success", 2.0, round_trip),
    ("chain of two", 4.0, chain),
    ("parent and child, cancel", 3.0, family),
    ("list, 20 on the page", 1.0, page),
    ("get", 1.0, look),
];

/// Not a criterion measurement either: medians of batches, records included.
fn scale(_: &mut Criterion) {
    println!(
        "µs a command: {}",
        HABITS.map(|(name, ..)| name).join(" | ")
    );
    let crowds = [
        (1, 100, 1_000),
        (1, 100, 100_000),
        (1, 100, 1_000_000),
        (1, 10_000, 1_000_000),
        (1_000, 10_000, 1_000_000),
    ];
    for (rooms, agents, tasks) in crowds {
        let mut engine = crowd(&Crowd {
            rooms,
            agents,
            tasks,
        });
        let mut serial = 0_u64;
        let costs = HABITS.map(|(_, commands, habit)| {
            let mut batches: Vec<f64> = (0..100)
                .map(|_| {
                    let began = Instant::now();
                    for _ in 0..32 {
                        serial += 1;
                        habit(&mut engine, &format!("x{serial}"));
                    }
                    seal(&mut engine, None);
                    began.elapsed().as_secs_f64() * 1e6 / 32.0 / commands
                })
                .collect();
            batches.sort_by(f64::total_cmp);
            format!("{:.1}", batches[batches.len() / 2])
        });
        println!(
            "{rooms} rooms, {agents} agents, {tasks} queued: {}",
            costs.join(" | ")
        );
    }
}

criterion_group!(benches, sizes, scale, round_trips, blackboard, shared_state);
criterion_main!(benches);
