//! One message at a time: round trips and acknowledgement latencies. The durable ones alternate
//! with the disk probe in short slices, so that both meet the same disk. Called through the
//! catalogue.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::handoff::{self, ROOM};
use super::receive::{self, Progress};
use super::{Outcome, PAYLOAD, Plan};
use crate::brokers::{Broker, Running};
use crate::client::{self, Client, PacketIds};
use crate::codec::{self, Packet};
use crate::disk::Probe;
use crate::resp::Redis;
use crate::stats::{Latencies, Reading, Unit, as_f64, rate};

const PING: &str = "load/ping";
const PONG: &str = "load/pong";
const ACKED: &str = "load/acked";
const DISK_SLICE: Duration = Duration::from_millis(100);
const LOAD_SLICE: Duration = Duration::from_millis(250);

pub(super) fn round_trip(plan: &Plan, server: &Running) -> Result<Outcome> {
    let trips = trips(plan, server)?;
    let per_second = rate(trips.len() as u64, plan.seconds);
    let mut readings = trips.readings("");
    readings.push(Reading::new("round trips", Unit::PerSecond, per_second));
    Ok(readings.into())
}

/// Round trips for the measured time, one at a time.
pub(super) fn trips(plan: &Plan, server: &Running) -> Result<Latencies> {
    let stop = Arc::new(AtomicBool::new(false));
    let mut echo = Client::connect(server.addr, "load-pong", true)?;
    echo.subscribe(&[PING], 1)?;
    let stopped = Arc::clone(&stop);
    let echo = thread::spawn(move || return_pings(echo, &stopped));
    let trips = send_pings(plan, server);
    stop.store(true, Ordering::Release);
    client::join(echo)?;
    trips
}

fn send_pings(plan: &Plan, server: &Running) -> Result<Latencies> {
    let mut client = Client::connect(server.addr, "load-ping", true)?;
    client.subscribe(&[PONG], 1)?;
    let mut ids = PacketIds::default();
    let mut trips = Latencies::default();
    let measured_from = Instant::now() + plan.warm_up;
    let end = measured_from + plan.seconds;
    loop {
        let start = Instant::now();
        if start >= end {
            return Ok(trips);
        }
        codec::publish(&mut client.out, PING, 1, ids.mint(), &[0x2e; PAYLOAD]);
        client.flush()?;
        let mut returned = false;
        while !returned {
            client.pump(|packet, out| {
                if let Packet::Publish(message) = packet {
                    message.acknowledge(out);
                    returned = true;
                }
                Ok(())
            })?;
            client.expect_sound()?;
        }
        if start >= measured_from {
            trips.record(start.elapsed());
        }
    }
}

fn return_pings(mut client: Client, stop: &AtomicBool) -> Result<()> {
    let mut ids = PacketIds::default();
    while !stop.load(Ordering::Acquire) {
        client.pump(|packet, out| {
            if let Packet::Publish(message) = packet {
                message.acknowledge(out);
                codec::publish(out, PONG, 1, ids.mint(), message.payload);
            }
            Ok(())
        })?;
    }
    Ok(())
}

pub(super) fn durable_ack(plan: &Plan, server: &Running) -> Result<Outcome> {
    let progress = Arc::new(Progress::default());
    let mut subscriber = Client::connect(server.addr, "load-sub", false)?;
    subscriber.subscribe(&[ACKED], 1)?;
    let shared = Arc::clone(&progress);
    let subscriber = thread::spawn(move || receive::one(subscriber, &shared));

    let mut publisher = Client::connect(server.addr, "load-pub", true)?;
    let mut ids = PacketIds::default();
    let mut payload = [0x2e; PAYLOAD];
    let mut sent: u64 = 0;
    let outcome = alternate(plan, server, || {
        payload[..8].copy_from_slice(&sent.to_be_bytes());
        sent += 1;
        publisher.publish_acked(ACKED, ids.mint(), &payload, |_| {})
    });
    progress.publisher_done(sent);
    let tally = client::join(subscriber)?;
    let mut outcome = outcome?;
    outcome.readings.push(Reading::new(
        "lost",
        Unit::Faults,
        as_f64(sent.saturating_sub(tally.distinct())),
    ));
    Ok(outcome)
}

pub(super) fn dispatch(plan: &Plan, server: &Running) -> Result<Outcome> {
    match server.broker {
        Broker::Hallward => dispatch_commands(plan, server),
        Broker::Redis => add_entries(plan, server),
        peer => bail!("{peer} has no commands"),
    }
}

/// Tasks of a type that nobody offers: the gateway stores each one, and that is all there is to do.
fn dispatch_commands(plan: &Plan, server: &Running) -> Result<Outcome> {
    let me = "load-dispatcher";
    let replies = format!("rooms/{ROOM}/reply/{me}");
    let topic = format!("rooms/{ROOM}/handoff/dispatch/{me}");
    let mut client = Client::connect(server.addr, me, true)?;
    client.subscribe(&[&replies], 1)?;
    let mut ids = PacketIds::default();
    let mut number: u64 = 0;
    let mut refusal = None;
    let outcome = alternate(plan, server, || {
        let task = handoff::task("nobody", number);
        number += 1;
        client.publish_acked(&topic, ids.mint(), task.as_bytes(), |message| {
            if refusal.is_none() {
                refusal = handoff::refusal(message.payload);
            }
        })
    })?;
    ensure!(
        refusal.is_none(),
        "expected every dispatch to be accepted, came {}",
        refusal.unwrap_or_default()
    );
    Ok(outcome)
}

fn add_entries(plan: &Plan, server: &Running) -> Result<Outcome> {
    let mut redis = Redis::connect(server.addr)?;
    let mut number: u64 = 0;
    alternate(plan, server, || {
        let task = handoff::task("nobody", number);
        number += 1;
        redis
            .call(&[b"XADD", b"commands", b"*", b"task", task.as_bytes()])
            .map(drop)
    })
}

/// Times `act` over and over, in slices between slices of the disk probe.
fn alternate(
    plan: &Plan,
    server: &Running,
    mut act: impl FnMut() -> Result<()>,
) -> Result<Outcome> {
    let mut probe = Probe::new(server.dir())?;
    let mut latencies = Latencies::default();
    let mut busy = Duration::ZERO;
    while busy < plan.seconds {
        probe.run(DISK_SLICE)?;
        let slice = Instant::now();
        while slice.elapsed() < LOAD_SLICE {
            let start = Instant::now();
            act().with_context(|| format!("after {} answers", latencies.len()))?;
            latencies.record(start.elapsed());
        }
        busy += slice.elapsed();
    }
    let per_second = rate(latencies.len() as u64, busy);
    let disk_per_second = probe.per_second();
    let mut readings = latencies.readings("");
    readings.push(Reading::new("one at a time", Unit::PerSecond, per_second));
    let mut disk = probe.latencies.readings("");
    disk.push(Reading::new(
        "one at a time",
        Unit::PerSecond,
        disk_per_second,
    ));
    Ok(Outcome { readings, disk })
}
