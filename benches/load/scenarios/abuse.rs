//! What clients that behave notice of those that do not: QoS 1 round trips in quiet and under one
//! attack after the other, in the same run. Called through the catalogue.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::{Goal, Outcome, PAYLOAD, Plan, single};
use crate::brokers::{Running, pause};
use crate::client::Client;
use crate::codec;
use crate::stats::{Latencies, Reading, Unit};

pub(super) const GOALS: &[(&str, Goal)] = &[
    ("flood: p99", Goal::AtMost(2.0)),
    ("take-overs: p99", Goal::AtMost(2.0)),
    ("subscriptions: p99", Goal::AtMost(2.0)),
    ("crowd: p99", Goal::AtMost(2.0)),
];
const FLOOD_PER_SECOND: u32 = 20_000;
/// Messages that the flood writes at once.
const FLOOD_BATCH: u32 = 100;
const BOMB_FILTERS: usize = 1_000;
const CROWD: usize = 5_000;

/// What an attacker does until it is told to stop; the second is its number.
type Attack = fn(&Running, usize, &dyn Fn() -> bool) -> Result<()>;

pub(super) fn abuse(plan: &Plan, server: &Running) -> Result<Outcome> {
    let attacks: [(&str, usize, usize, Attack); 4] = [
        ("flood", 1, 0, flood),
        ("take-overs", 2, 0, take_over),
        ("subscriptions", 2, 0, subscribe),
        ("crowd", 2, CROWD, connect),
    ];
    let mut quiet = Latencies::default();
    let mut attacked = Vec::new();
    for (name, threads, idle, attack) in attacks {
        quiet.absorb(single::trips(plan, server)?);
        let crowd: Vec<_> = (0..idle)
            .map(|n| Client::connect(server.addr, &format!("crowd-{n}"), true))
            .map(|client| client.map(Client::into_stream))
            .collect::<Result<_>>()?;
        let trips = under_attack(plan, server, threads, attack);
        drop(crowd);
        attacked.push((name, trips.with_context(|| format!("under {name}"))?));
        // What is closing may close.
        pause(plan.warm_up);
    }
    Ok(report(quiet, attacked).into())
}

fn report(quiet: Latencies, attacked: Vec<(&str, Latencies)>) -> Vec<Reading> {
    let mut readings = quiet.readings("quiet: ");
    let of_quiet: Vec<f64> = readings.iter().map(|reading| reading.value).collect();
    for (name, trips) in attacked {
        for (reading, quiet) in trips.readings(&format!("{name}: ")).iter().zip(&of_quiet) {
            let times = reading.value / quiet;
            readings.push(Reading::new(&reading.measure, Unit::TimesQuiet, times));
        }
    }
    readings
}

fn under_attack(
    plan: &Plan,
    server: &Running,
    threads: usize,
    attack: Attack,
) -> Result<Latencies> {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let goes_on = || !stop.load(Ordering::Acquire);
        let attackers: Vec<_> = (0..threads)
            .map(|number| scope.spawn(move || attack(server, number, &goes_on)))
            .collect();
        let trips = single::trips(plan, server);
        stop.store(true, Ordering::Release);
        for attacker in attackers {
            match attacker.join() {
                Ok(outcome) => outcome.context("an attacker")?,
                Err(_) => anyhow::bail!("an attacker panicked"),
            }
        }
        trips
    })
}

/// Messages to a subscriber that does not read.
fn flood(server: &Running, _: usize, goes_on: &dyn Fn() -> bool) -> Result<()> {
    let mut deaf = Client::connect(server.addr, "abuse-deaf", true)?;
    deaf.subscribe(&["abuse/flood"], 0)?;
    let mut sender = Client::connect(server.addr, "abuse-flood", true)?;
    let begun = Instant::now();
    let mut sent = 0;
    while goes_on() {
        for _ in 0..FLOOD_BATCH {
            codec::publish(&mut sender.out, "abuse/flood", 0, 0, &[0x2e; PAYLOAD]);
        }
        sender.flush()?;
        sent += FLOOD_BATCH;
        let due = Duration::from_secs(1) * sent / FLOOD_PER_SECOND;
        pause(due.saturating_sub(begun.elapsed()));
    }
    Ok(())
}

/// The same client id again and again; each connection ends the one before.
fn take_over(server: &Running, _: usize, goes_on: &dyn Fn() -> bool) -> Result<()> {
    let mut before = None;
    while goes_on() {
        // The other thread may be quicker, and then this one is refused or closed before it is let
        // in.
        if let Ok(mut client) = Client::connect(server.addr, "abuse-contested", false) {
            let _ = client.subscribe(&["abuse/contested/#"], 1);
            before = Some(client);
        }
    }
    drop(before);
    Ok(())
}

/// A thousand filters, half of which match what the bystanders send; then all is left and begun
/// again.
fn subscribe(server: &Running, number: usize, goes_on: &dyn Fn() -> bool) -> Result<()> {
    let filters: Vec<String> = (0..BOMB_FILTERS)
        .map(|n| match n % 4 {
            0 => format!("+/ping/+/{n}/#"),
            1 => format!("load/+/{}#", "+/".repeat(n % 100)),
            2 => format!("abuse/{number}/{n}"),
            _ => format!("{}#", "+/".repeat(n % 100)),
        })
        .collect();
    while goes_on() {
        let mut client = Client::connect(server.addr, &format!("abuse-bomb-{number}"), true)?;
        for chunk in filters.chunks(100) {
            let chunk: Vec<&str> = chunk.iter().map(String::as_str).collect();
            client.subscribe(&chunk, 0)?;
            if !goes_on() {
                break;
            }
        }
    }
    Ok(())
}

/// Connects, and leaves without a word.
fn connect(server: &Running, number: usize, goes_on: &dyn Fn() -> bool) -> Result<()> {
    let mut n = 0;
    while goes_on() {
        n += 1;
        drop(Client::connect(
            server.addr,
            &format!("abuse-{number}-{n}"),
            true,
        )?);
    }
    Ok(())
}
