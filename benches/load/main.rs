//! End-to-end load on a running gateway, and the same load on its peers in the same run: `cargo
//! bench --bench load -- [scenario…]`. Starts every server itself on loopback, interleaves the
//! runs, prints one Markdown table. `--help` lists the scenarios and options.

use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Parser;

use crate::brokers::{Broker, Running};
use crate::machine::Machine;
use crate::report::{Report, Server};
use crate::scenarios::{Outcome, Plan, Scenario};

mod brokers;
mod client;
mod codec;
mod disk;
mod machine;
mod report;
mod resp;
mod rumqttd_listener;
mod scenarios;
mod stats;

/// Puts hallward and its peers under the same load and prints the figures side by side.
#[derive(Parser)]
struct Args {
    /// Scenarios to run; all without any.
    #[arg(value_parser = scenario_named)]
    scenarios: Vec<&'static Scenario>,
    /// Measured time of each run.
    #[arg(long, default_value_t = 5.0, value_parser = positive)]
    seconds: f64,
    /// Runs of each scenario on each server; the table shows medians.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..))]
    runs: u8,
    /// Servers to measure.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "hallward,mosquitto,rumqttd,redis"
    )]
    brokers: Vec<Broker>,
    /// Also writes every figure of every run to this file.
    #[arg(long)]
    json: Option<PathBuf>,
    /// One run of one second each and at most 1,000 idle connections: whether it works, not how
    /// fast.
    #[arg(long)]
    quick: bool,
    /// Directory for the servers' data, on the disk to be measured; the build directory by default.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Configuration file for hallward; its defaults otherwise.
    #[arg(long)]
    hallward_config: Option<PathBuf>,
    /// Be a rumqttd on this address instead.
    #[arg(long, hide = true)]
    serve_rumqttd: Option<SocketAddr>,
    /// Given by `cargo bench`, not by `cargo test`.
    #[arg(long, hide = true)]
    bench: bool,
}

fn scenario_named(name: &str) -> Result<&'static Scenario, String> {
    let names = || {
        scenarios::ALL
            .iter()
            .map(|scenario| scenario.name)
            .collect::<Vec<_>>()
            .join(", ")
    };
    scenarios::ALL
        .iter()
        .find(|scenario| scenario.name == name)
        .ok_or_else(|| format!("expected one of {}", names()))
}

fn positive(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|error| format!("{error}"))?;
    if (0.1..=3_600.0).contains(&seconds) {
        Ok(seconds)
    } else {
        Err("expected 0.1 to 3600 seconds".to_owned())
    }
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    if !args.bench {
        say(
            "load takes minutes and measures optimised builds: run it with `cargo bench --bench load`",
        );
        return Ok(ExitCode::SUCCESS);
    }
    machine::raise_open_files();
    if let Some(address) = args.serve_rumqttd {
        rumqttd_listener::serve(address)?;
        return Ok(ExitCode::SUCCESS);
    }
    let plan = plan(&args)?;
    let servers = available(&args.brokers)?;
    let runs = if args.quick {
        1
    } else {
        usize::from(args.runs)
    };
    let machine = Machine::survey(&plan.dir);
    let mut report = Report::new(machine, servers, plan.seconds.as_secs_f64(), runs);
    let chosen = if args.scenarios.is_empty() {
        scenarios::ALL.iter().collect()
    } else {
        args.scenarios.clone()
    };
    for scenario in chosen {
        compare(scenario, &plan, &args, runs, &mut report);
    }
    writeln!(io::stdout(), "{}", report.markdown())?;
    if let Some(path) = &args.json {
        fs::write(path, serde_json::to_vec_pretty(&report)?)
            .with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(if report.is_complete() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn plan(args: &Args) -> Result<Plan> {
    let dir = args
        .dir
        .clone()
        .unwrap_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")));
    fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
    Ok(Plan {
        seconds: Duration::from_secs_f64(if args.quick { 1.0 } else { args.seconds }),
        warm_up: Duration::from_millis(if args.quick { 200 } else { 500 }),
        idle_connections: if args.quick {
            vec![1_000]
        } else {
            vec![1_000, 10_000]
        },
        dir: dir.canonicalize()?,
    })
}

/// The servers that can be run here; a missing peer is said and left out.
fn available(brokers: &[Broker]) -> Result<Vec<Server>> {
    let mut servers = Vec::new();
    for &broker in brokers {
        match broker.version() {
            Ok(version) => servers.push(Server { broker, version }),
            Err(error) => say(&format!("left out: {error:#}")),
        }
    }
    if servers.is_empty() {
        bail!("expected at least one server to measure, none can be run");
    }
    Ok(servers)
}

/// Runs one scenario on every server in turn, as often as asked: A B A B, so that a slow minute
/// hits all of them.
fn compare(
    scenario: &'static Scenario,
    plan: &Plan,
    args: &Args,
    runs: usize,
    report: &mut Report,
) {
    let brokers: Vec<Broker> = report.servers.iter().map(|server| server.broker).collect();
    for run in 0..runs {
        for &broker in brokers
            .iter()
            .filter(|broker| scenario.brokers.contains(broker))
        {
            say(&format!(
                "{} on {broker}, run {} of {runs}",
                scenario.name,
                run + 1
            ));
            let outcome = measure(scenario, broker, plan, args);
            if let Err(error) = &outcome {
                say(&format!("  failed: {error:#}"));
            }
            report.add(scenario, broker, run, outcome);
        }
    }
}

/// One run on a server of its own, which has ended when this returns.
fn measure(scenario: &Scenario, broker: Broker, plan: &Plan, args: &Args) -> Result<Outcome> {
    let mut server = Running::start(
        broker,
        scenario.storage,
        &plan.dir,
        args.hallward_config.as_deref(),
    )?;
    let outcome = (scenario.run)(plan, &server);
    outcome.map_err(|error| {
        let words = server.death();
        error.context(words.unwrap_or_else(|| server.last_words()))
    })
}

/// Progress goes to standard error, so that standard output is the table alone.
fn say(words: &str) {
    // A closed standard error is no reason to stop measuring.
    let _ = writeln!(io::stderr(), "{words}");
}
