//! The crash test: everybody works while the gateway is killed again and again, and nothing that it
//! promised is missing.
//!
//! Publishers, subscribers that come and go, retained messages, inboxes, dispatchers and workers,
//! blackboard writers, requesters and approvers run at once; each is a correct MQTT client that
//! repeats what was not acknowledged. The gateway gets SIGKILL at random moments, counted in
//! packets. Afterwards `check` judges the whole history.
//!
//! `HALLWARD_CRASH_SEED` and `HALLWARD_CRASH_KILLS` choose the run; a failure prints the line that
//! repeats it. The seed fixes what actors choose and when kills are due; how threads interleave is
//! up to the system.

mod check;
mod check_tests;
mod history;
mod messaging;
mod peer;
mod teamwork;
mod world;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::json;

use crate::harness::{Agent, Client, Connect, Gateway, Packet, Setup, Version};
use check::check;
use history::{Event, What, timeline};
use messaging::{INBOXES, Manners, publisher, retainer, subscriber};
use peer::persistent;
use teamwork::{END, SHARED, approver, dispatcher, requester, watcher, worker, writer};
use world::World;

const KILLS: u64 = 20;

/// Two writers' own keys, and the shared one.
const KEYS: usize = 3;

#[test]
fn nothing_acknowledged_is_lost_or_doubled_by_kills() {
    let run = Run::chosen();
    println!("{}", run.line());
    let history = run.go();
    run.judge(&history);
}

#[derive(Debug, Clone, Copy)]
struct Run {
    seed: u64,
    kills: u64,
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} must be a number, but is {text:?}")),
    )
}

impl Run {
    fn chosen() -> Run {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("after 1970");
        Run {
            seed: number("HALLWARD_CRASH_SEED").unwrap_or(now.as_micros() as u64),
            kills: number("HALLWARD_CRASH_KILLS").unwrap_or(KILLS),
        }
    }

    /// The command that repeats this run.
    fn line(&self) -> String {
        format!(
            "HALLWARD_CRASH_SEED={} HALLWARD_CRASH_KILLS={} cargo test --test it crash::nothing",
            self.seed, self.kills
        )
    }

    fn go(&self) -> Vec<Event> {
        let mut gateway = Setup::new()
            .with("rooms.reconnect_grace", "3s")
            .with("session.max_queued_messages", "1000000")
            .with("mailbox.max_messages", "1000000")
            .start();
        let world = World::around(&gateway, self.seed);
        let cast = Cast::begin(&world);
        if world.all_settled(cast.count()) {
            world.start();
            self.kill_again_and_again(&world, &mut gateway);
        }
        cast.finish(&world, &gateway);
        find_retained(&world, &gateway);
        world.take_history()
    }

    fn kill_again_and_again(&self, world: &World, gateway: &mut Gateway) {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        for kill in 1..=self.kills {
            // Mostly soon after the start, while everybody repeats what was lost; sometimes long
            // after.
            let packets = match rng.next_u32() % 4 {
                0 => rng.next_u32() % 200,
                1 | 2 => rng.next_u32() % 3000,
                _ => rng.next_u32() % 10_000,
            };
            if !world.steps_go_by(u64::from(packets)) {
                if !world.over() {
                    world.record(
                        "killer",
                        "session",
                        0,
                        What::Wrong("nobody gets any further".to_owned()),
                    );
                    world.end();
                }
                return;
            }
            world.about_to_kill();
            gateway.kill();
            gateway.restart();
            world.up_again(kill + 1);
        }
        // What the last life began it must also be able to end.
        world.steps_go_by(500);
    }

    fn judge(&self, history: &[Event]) {
        const SHOWN: usize = 5;
        let complaints = check(history);
        let mut said = String::new();
        for complaint in complaints.iter().take(SHOWN) {
            let (subject, n) = (&complaint.subject, complaint.n);
            said += &format!(
                "\n  {subject}#{n}: {}\n{}",
                complaint.words,
                timeline(history, subject, n)
            );
        }
        assert!(
            complaints.is_empty(),
            "{} things are wrong, the first of them:{said}\nrepeat with: {}",
            complaints.len(),
            self.line()
        );
        let counts = tally(history);
        println!("{counts}");
    }
}

/// What a run was made of, to see that it was no idle one.
fn tally(history: &[Event]) -> String {
    let count =
        |wanted: fn(&What) -> bool| history.iter().filter(|event| wanted(&event.what)).count();
    format!(
        "{} kills, {} publishes, {} acks, {} deliveries, {} results, {} versions shown, {} decisions",
        count(|what| *what == What::Killed),
        count(|what| matches!(what, What::Sent { .. })),
        count(|what| *what == What::Acked),
        count(|what| matches!(what, What::Delivered { .. })),
        count(|what| matches!(what, What::Result { .. })),
        count(|what| matches!(what, What::Shown { .. })),
        count(|what| matches!(what, What::Decision { .. })),
    )
}

/// Everybody who takes part.
struct Cast {
    /// They stop by themselves when told to.
    active: Vec<JoinHandle<()>>,
    /// They stop when they have received everything.
    receiving: Vec<JoinHandle<()>>,
    /// They go on until it is over.
    serving: Vec<JoinHandle<()>>,
}

impl Cast {
    #[expect(clippy::too_many_lines, reason = "everybody who takes part")]
    fn begin(world: &Arc<World>) -> Cast {
        use Version::{V5, V311};
        let go = |role: Box<dyn FnOnce(&Arc<World>) + Send>| {
            let world = world.clone();
            std::thread::spawn(move || {
                let _guard = EndOnPanic(world.clone());
                role(&world);
            })
        };
        let flow = ["flow/one/p1", "flow/two/p2", "flow/two/p3"];
        let manners = |qos, away_after, cuts| Manners {
            qos,
            away_after,
            cuts,
        };
        Cast {
            active: vec![
                go(Box::new(|w| publisher(w, "p1", V311, 1, &["flow/one/p1"]))),
                go(Box::new(|w| publisher(w, "p2", V5, 2, &["flow/two/p2"]))),
                go(Box::new(|w| publisher(w, "p3", V311, 2, &["flow/two/p3"]))),
                go(Box::new(|w| {
                    publisher(w, "i1", V5, 2, &INBOXES.map(|(stream, _)| stream))
                })),
                go(Box::new(|w| retainer(w, "r1", V311))),
                go(Box::new(|w| retainer(w, "r2", V5))),
                go(Box::new(|w| dispatcher(w, persistent(V5, "d1"), 2))),
                go(Box::new(|w| dispatcher(w, Connect::v311("d2"), 1))),
                go(Box::new(|w| writer(w, persistent(V311, "b1")))),
                go(Box::new(|w| writer(w, Connect::v5("b2")))),
                go(Box::new(|w| requester(w, persistent(V5, "q1"), 2))),
                go(Box::new(|w| requester(w, Connect::v311("q2"), 1))),
            ],
            receiving: vec![
                go(Box::new(move |w| {
                    subscriber(
                        w,
                        persistent(V5, "s1"),
                        "flow/+/+",
                        &flow,
                        manners(2, None, 0),
                    );
                })),
                go(Box::new(move |w| {
                    subscriber(
                        w,
                        persistent(V311, "s2"),
                        "flow/#",
                        &flow,
                        manners(2, Some(100), 20),
                    );
                })),
                go(Box::new(move |w| {
                    subscriber(
                        w,
                        persistent(V5, "s3"),
                        "flow/#",
                        &flow,
                        manners(1, Some(200), 20),
                    );
                })),
                go(Box::new(move |w| {
                    let connect = Connect::v311("i2");
                    subscriber(
                        w,
                        connect,
                        "rooms/crash/inbox/i2/+",
                        &[INBOXES[0].0],
                        manners(1, Some(100), 20),
                    );
                })),
                go(Box::new(move |w| {
                    let connect = persistent(V5, "i3");
                    subscriber(
                        w,
                        connect,
                        "rooms/crash/inbox/i3/+",
                        &[INBOXES[1].0],
                        manners(2, None, 20),
                    );
                })),
                go(Box::new(|w| watcher(w, persistent(V5, "w1"), 2, 20, KEYS))),
                go(Box::new(|w| {
                    watcher(w, persistent(V311, "w2"), 1, 20, KEYS)
                })),
            ],
            serving: vec![
                go(Box::new(|w| worker(w, persistent(V311, "k1"), 1, 20))),
                go(Box::new(|w| worker(w, Connect::v5("k2"), 1, 20))),
                go(Box::new(|w| worker(w, persistent(V5, "k3"), 2, 20))),
                go(Box::new(|w| approver(w, Connect::v311("a1"), 20))),
                go(Box::new(|w| approver(w, persistent(V5, "a2"), 20))),
            ],
        }
    }

    fn count(&self) -> usize {
        self.active.len() + self.receiving.len() + self.serving.len()
    }

    /// Lets everybody end what they began, and waits for them.
    fn finish(self, world: &World, gateway: &Gateway) {
        world.stop();
        join(world, self.active);
        if !world.over() {
            let mut closer = Agent::join(gateway, "crash", "closer");
            closer.accepted(
                &format!("blackboard/set/closer/{SHARED}"),
                json!({"value": {"id": format!("closer.{SHARED}.{END}")}}),
            );
        }
        join(world, self.receiving);
        world.end();
        join(world, self.serving);
    }
}

/// An actor that fails ends it for all, so that nobody waits for it.
struct EndOnPanic(Arc<World>);

impl Drop for EndOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.end();
        }
    }
}

fn join(world: &World, handles: Vec<JoinHandle<()>>) {
    for handle in handles {
        if let Err(panic) = handle.join() {
            let words = panic
                .downcast_ref::<String>()
                .map_or("an actor panicked", String::as_str);
            world.record("actor", "session", 0, What::Wrong(words.to_owned()));
        }
    }
}

/// Looks at all retained messages as a newcomer does.
fn find_retained(world: &World, gateway: &Gateway) {
    let mut newcomer = Client::connect(gateway.mqtt, Connect::v5("newcomer"));
    newcomer.subscribe(&[("kept/#", 1)]);
    newcomer.ping();
    while let Some(message) = newcomer.take_kept(|packet| match packet {
        Packet::Publish(publish) => Some(publish.clone()),
        _ => None,
    }) {
        let value = message.text().parse().ok();
        world.record("newcomer", &message.topic, 0, What::RetainedFound { value });
    }
}
