//! The handoff round trip over plain MQTT: a dispatcher keeps a number of tasks in flight, workers
//! echo each payload as the result. Also makes and reads the messages of the room protocol that the
//! load needs. Called through the catalogue, and by `single` and `streams` for the messages.

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Outcome, PAYLOAD, Plan, streams};
use crate::brokers::{Broker, Running};
use crate::client::{self, Client, DRAIN_LIMIT, PacketIds};
use crate::codec::{self, Packet};
use crate::disk::Probe;
use crate::stats::{Latencies, Reading, Unit, as_f64, rate};

/// Tasks whose result came back, per second.
pub(super) const TASKS: &str = "tasks";
/// The room that all load runs in.
pub(super) const ROOM: &str = "load";
const CAPABILITY: &str = "echo";
const DISK_TIME: Duration = Duration::from_millis(300);
/// After the measured time, silence this long means that the results still missing are lost.
const DRAIN_QUIET: Duration = Duration::from_secs(3);

/// How many work on how much.
#[derive(Clone, Copy)]
pub(super) struct Crew {
    pub(super) workers: usize,
    /// Tasks that a worker takes at once.
    pub(super) capacity: usize,
    /// Tasks that the dispatcher keeps unanswered.
    pub(super) in_flight: usize,
}

pub(super) fn one_worker(plan: &Plan, server: &Running) -> Result<Outcome> {
    measure(
        plan,
        server,
        Crew {
            workers: 1,
            capacity: 1,
            in_flight: 1,
        },
    )
}

pub(super) fn eight_workers(plan: &Plan, server: &Running) -> Result<Outcome> {
    measure(
        plan,
        server,
        Crew {
            workers: 8,
            capacity: 8,
            in_flight: 64,
        },
    )
}

pub(super) fn eight_serial_workers(plan: &Plan, server: &Running) -> Result<Outcome> {
    measure(
        plan,
        server,
        Crew {
            workers: 8,
            capacity: 1,
            in_flight: 64,
        },
    )
}

fn measure(plan: &Plan, server: &Running, crew: Crew) -> Result<Outcome> {
    let mut probe = Probe::new(server.dir())?;
    probe.run(DISK_TIME)?;
    let mut book = Book::new(plan);
    match server.broker {
        Broker::Hallward => hand_off(server, crew, &mut book)?,
        Broker::Redis => streams::hand_off(server, crew, &mut book)?,
        peer => bail!("{peer} has no handoff"),
    }
    probe.run(DISK_TIME)?;
    Ok(Outcome {
        readings: book.readings(plan.seconds),
        disk: probe.latencies.readings(""),
    })
}

fn hand_off(server: &Running, crew: Crew, book: &mut Book) -> Result<()> {
    let stop = Arc::new(AtomicBool::new(false));
    let mut workers = Vec::with_capacity(crew.workers);
    for index in 0..crew.workers {
        workers.push(start_worker(server.addr, index, crew.capacity, &stop)?);
    }
    let dispatched = dispatch(server.addr, crew.in_flight, book);
    stop.store(true, Ordering::Release);
    // A worker that was refused explains a dispatcher that waited in vain.
    for worker in workers {
        client::join(worker)?;
    }
    dispatched
}

fn dispatch(addr: SocketAddr, in_flight: usize, book: &mut Book) -> Result<()> {
    let me = "load-dispatcher";
    let topic = format!("rooms/{ROOM}/handoff/dispatch/{me}");
    let results = format!("rooms/{ROOM}/handoff/result/{me}");
    let replies = format!("rooms/{ROOM}/reply/{me}");
    let mut client = Client::connect(addr, me, true)?;
    client.subscribe(&[&results, &replies], 1)?;
    let mut ids = PacketIds::default();
    client.begin_waiting();
    while book.wants_more() || !book.settled(client.quiet()) {
        while book.wants_more() && book.in_flight.len() < in_flight {
            let number = book.start();
            codec::publish(
                &mut client.out,
                &topic,
                1,
                ids.mint(),
                task(CAPABILITY, number).as_bytes(),
            );
        }
        client.flush()?;
        client.pump(|packet, out| {
            let Packet::Publish(message) = packet else {
                return Ok(());
            };
            message.acknowledge(out);
            if message.topic == results.as_bytes() {
                return book.finish(&TaskResult::read(message.payload)?);
            }
            match refusal(message.payload) {
                Some(words) => bail!("expected every dispatch to be accepted, came {words}"),
                None => Ok(()),
            }
        })?;
        if book.wants_more() {
            client
                .expect_sound()
                .with_context(|| format!("after {} results", book.finished))?;
        }
    }
    Ok(())
}

fn start_worker(
    addr: SocketAddr,
    index: usize,
    capacity: usize,
    stop: &Arc<AtomicBool>,
) -> Result<JoinHandle<Result<()>>> {
    let me = format!("load-worker-{index}");
    let mut client = Client::connect(addr, &me, true)?;
    let mut ids = PacketIds::default();
    let announcement = format!(r#"{{"capacity":{capacity}}}"#);
    client.publish_acked(
        &format!("rooms/{ROOM}/presence/announce/{me}"),
        ids.mint(),
        announcement.as_bytes(),
        |_| {},
    )?;
    let work = format!("rooms/{ROOM}/handoff/work/{CAPABILITY}");
    client.subscribe(&[&work, &format!("rooms/{ROOM}/reply/{me}")], 1)?;
    let stop = Arc::clone(stop);
    Ok(thread::spawn(move || {
        let update = format!("rooms/{ROOM}/handoff/update/{me}");
        while !stop.load(Ordering::Acquire) {
            client.pump(|packet, out| {
                let Packet::Publish(message) = packet else {
                    return Ok(());
                };
                message.acknowledge(out);
                if message.topic != work.as_bytes() {
                    let refusal = refusal(message.payload);
                    ensure!(
                        refusal.is_none(),
                        "expected every update to be accepted, came {}",
                        refusal.unwrap_or_default()
                    );
                    return Ok(());
                }
                codec::publish(
                    out,
                    &update,
                    1,
                    ids.mint(),
                    success(message.payload)?.as_bytes(),
                );
                Ok(())
            })?;
        }
        Ok(())
    }))
}

/// A task with a payload of [`PAYLOAD`] bytes that carries its number.
pub(super) fn task(capability: &str, number: u64) -> String {
    let payload = payload(number);
    format!(r#"{{"type":"{capability}","correlationId":"{number}","payload":{payload}}}"#)
}

/// The payload alone.
pub(super) fn payload(number: u64) -> String {
    let head = format!(r#"{{"n":{number},"fill":""#);
    let fill = PAYLOAD.saturating_sub(head.len() + 2);
    format!(r#"{head}{:x<fill$}"}}"#, "")
}

/// The update that ends an assignment well; task and attempt go back exactly as they came.
fn success(assignment: &[u8]) -> Result<String> {
    #[derive(Deserialize)]
    struct Assignment<'a> {
        #[serde(borrow)]
        task: &'a RawValue,
        #[serde(borrow)]
        attempt: &'a RawValue,
        #[serde(borrow)]
        payload: &'a RawValue,
    }
    let Assignment {
        task,
        attempt,
        payload,
    } = read(assignment, "an assignment")?;
    Ok(format!(
        r#"{{"task":{task},"attempt":{attempt},"status":"success","result":{payload}}}"#
    ))
}

/// What matters of a task's final result.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TaskResult<'a> {
    #[serde(borrow)]
    correlation_id: Option<Cow<'a, str>>,
    result: Option<Echo>,
}

#[derive(Deserialize)]
struct Echo {
    n: u64,
}

impl<'a> TaskResult<'a> {
    fn read(payload: &'a [u8]) -> Result<Self> {
        read(payload, "a result")
    }

    /// From an echoed payload alone, where there is no envelope.
    pub(super) fn of_payload(payload: &[u8]) -> Result<Self> {
        Ok(Self {
            correlation_id: None,
            result: Some(read(payload, "an echoed payload")?),
        })
    }

    fn number(&self) -> Result<u64> {
        match (&self.correlation_id, &self.result) {
            (Some(id), _) => Ok(id.parse()?),
            (None, Some(echo)) => Ok(echo.n),
            (None, None) => bail!(
                "expected a result with the correlationId or the echoed payload, came neither"
            ),
        }
    }
}

/// The words of a reply that rejects, or `None` for one that accepts.
pub(super) fn refusal(reply: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Reply<'a> {
        #[serde(borrow)]
        status: Cow<'a, str>,
    }
    let accepted =
        serde_json::from_slice::<Reply<'_>>(reply).is_ok_and(|reply| reply.status == "accepted");
    (!accepted).then(|| String::from_utf8_lossy(reply).into_owned())
}

fn read<'a, T: Deserialize<'a>>(payload: &'a [u8], what: &str) -> Result<T> {
    serde_json::from_slice(payload).with_context(|| {
        format!(
            "expected {what}, came {:?}",
            String::from_utf8_lossy(payload)
        )
    })
}

/// The dispatcher's account of its tasks, and its clock.
pub(super) struct Book {
    pub(super) in_flight: HashMap<u64, Instant>,
    next: u64,
    finished: u64,
    measured: u64,
    repeated: u64,
    failed: u64,
    latencies: Latencies,
    measured_from: Instant,
    end: Instant,
}

impl Book {
    fn new(plan: &Plan) -> Self {
        let measured_from = Instant::now() + plan.warm_up;
        Self {
            in_flight: HashMap::new(),
            next: 0,
            finished: 0,
            measured: 0,
            repeated: 0,
            failed: 0,
            latencies: Latencies::default(),
            measured_from,
            end: measured_from + plan.seconds,
        }
    }

    /// Whether the run still takes new tasks.
    pub(super) fn wants_more(&self) -> bool {
        Instant::now() < self.end
    }

    /// Whether all results are in, or so long missing that they count as lost.
    pub(super) fn settled(&self, quiet: Duration) -> bool {
        self.in_flight.is_empty() || quiet > DRAIN_QUIET || self.end.elapsed() > DRAIN_LIMIT
    }

    /// The number of a task that is about to be sent.
    pub(super) fn start(&mut self) -> u64 {
        self.next += 1;
        self.in_flight.insert(self.next, Instant::now());
        self.next
    }

    pub(super) fn finish(&mut self, result: &TaskResult<'_>) -> Result<()> {
        let number = result.number()?;
        self.failed += u64::from(result.result.as_ref().is_none_or(|echo| echo.n != number));
        let Some(start) = self.in_flight.remove(&number) else {
            self.repeated += 1;
            return Ok(());
        };
        self.finished += 1;
        let now = Instant::now();
        if now >= self.measured_from && now < self.end {
            self.measured += 1;
            self.latencies.record(now - start);
        }
        Ok(())
    }

    fn readings(self, during: Duration) -> Vec<Reading> {
        let mut readings = vec![Reading::new(
            TASKS,
            Unit::PerSecond,
            rate(self.measured, during),
        )];
        readings.extend(self.latencies.readings(""));
        readings.push(Reading::new(
            "lost",
            Unit::Faults,
            as_f64(self.in_flight.len() as u64),
        ));
        readings.push(Reading::new(
            "repeated or out of order",
            Unit::Faults,
            as_f64(self.repeated),
        ));
        readings.push(Reading::new(
            "failed or changed",
            Unit::Faults,
            as_f64(self.failed),
        ));
        readings
    }
}
