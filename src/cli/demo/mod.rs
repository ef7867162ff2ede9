//! `hallward demo`: the content pipeline on real sockets.
//!
//! An orchestrator and two workers each for research, draft, review and publish, every one its own MQTT connection to a
//! gateway in a process of its own. They share a plan on the blackboard, hand work off by capability, and publish only
//! after a person approved; every event scrolls by. It uses the public protocol and nothing else.

mod agent;
mod gateway;
mod orchestrator;
mod screen;
mod summary;
mod worker;

use std::time::Duration;

use self::gateway::GatewayProcess;
use self::orchestrator::Orchestrator;
use self::screen::Screen;
use self::worker::Workers;
use super::Failure;

/// The room in which it all happens.
const ROOM: &str = "newsroom";

/// Longer than this nothing in the demo takes, but for the person.
const PATIENCE: Duration = Duration::from_secs(60);

/// What to show.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Approve by itself instead of waiting for you
    #[arg(long)]
    pub(super) yes: bool,
    /// Kill and restart a worker and the gateway in the middle
    #[arg(long)]
    pub(super) chaos: bool,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::try_again(format!("cannot start threads: {error}")))?;
    runtime.block_on(async {
        tokio::select! {
            outcome = play(args) => outcome,
            signal = tokio::signal::ctrl_c() => match signal {
                Ok(()) => Err(Failure::runtime("interrupted")),
                Err(error) => Err(Failure::runtime(format!("cannot listen for Ctrl-C: {error}"))),
            },
        }
    })
}

async fn play(args: Args) -> Result<(), Failure> {
    let mut gateway = GatewayProcess::start().await?;
    let screen = Screen::start(gateway.mqtt()).await?;
    let workers = Workers::start(gateway.mqtt(), args.chaos).await?;
    let mut orchestrator = Orchestrator::start(gateway.mqtt(), args.yes).await?;
    let outcome = orchestrator.run(&mut gateway, &workers, args.chaos).await;
    drop(workers);
    let events = screen.finish().await;
    gateway.stop().await?;
    let report = outcome?;
    super::say(format_args!("\n{}", summary::of(&report, &events)));
    if report.published {
        Ok(())
    } else {
        Err(Failure::runtime("not approved, so nothing was published"))
    }
}
