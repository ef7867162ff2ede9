//! What a server costs that has nothing to do: memory and CPU after start, then memory as silent
//! connections are added. Called through the catalogue.

use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result};

use super::{Outcome, Plan};
use crate::brokers::{Running, pause};
use crate::client::Client;
use crate::stats::{Reading, Unit, as_f64};

/// Resident memory before the first connection.
pub(super) const RESIDENT: &str = "resident";
const SETTLE: Duration = Duration::from_millis(250);
/// Looks at a memory figure that is still moving.
const LOOKS: usize = 12;

pub(super) fn idle(plan: &Plan, server: &Running) -> Result<Outcome> {
    let start = settled(server)?;
    let cpu = server.cpu()?;
    pause(plan.seconds);
    let cpu_share = 100.0 * (server.cpu()? - cpu).as_secs_f64() / plan.seconds.as_secs_f64();
    let mut readings = vec![
        Reading::new(RESIDENT, Unit::MiB, as_f64(start) / 1_024.0),
        Reading::new("CPU", Unit::PercentCpu, cpu_share),
    ];

    readings.extend(connections(plan, server, start, false)?);
    Ok(readings.into())
}

/// The same with a subscription each, to a topic of its own.
pub(super) fn subscribed(plan: &Plan, server: &Running) -> Result<Outcome> {
    let start = settled(server)?;
    Ok(connections(plan, server, start, true)?.into())
}

fn connections(plan: &Plan, server: &Running, start: u64, subscribe: bool) -> Result<Vec<Reading>> {
    let mut readings = Vec::new();
    let mut connections = Vec::new();
    for &count in &plan.idle_connections {
        grow(&mut connections, count, server, subscribe)
            .with_context(|| format!("opening {count} connections"))?;
        let resident = settled(server)?;
        let each = as_f64(resident.saturating_sub(start)) / as_f64(u64::try_from(count)?);
        readings.push(Reading::new(
            format!("per connection at {count}"),
            Unit::KiB,
            each,
        ));
        readings.push(Reading::new(
            format!("resident at {count} connections"),
            Unit::MiB,
            as_f64(resident) / 1_024.0,
        ));
    }
    Ok(readings)
}

fn grow(
    connections: &mut Vec<TcpStream>,
    count: usize,
    server: &Running,
    subscribe: bool,
) -> Result<()> {
    while connections.len() < count {
        let client_id = format!("load-idle-{}", connections.len());
        let mut client = Client::connect(server.addr, &client_id, true)?;
        if subscribe {
            client.subscribe(&[&format!("idle/{client_id}")], 1)?;
        }
        connections.push(client.into_stream());
    }
    Ok(())
}

/// Resident KiB once two looks agree.
fn settled(server: &Running) -> Result<u64> {
    let mut last = server.resident_kib()?;
    for _ in 0..LOOKS {
        pause(SETTLE);
        let resident = server.resident_kib()?;
        if resident == last {
            break;
        }
        last = resident;
    }
    Ok(last)
}
