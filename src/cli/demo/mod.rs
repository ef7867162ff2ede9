//! `hallward demo`: the content pipeline on real sockets.
//!
//! An orchestrator and two workers each for research, draft, review and publish, every one its own
//! connection to a gateway in a process of its own. They share a plan on the blackboard, hand
//! work off by capability, and publish only after a person approved; every piece of work is shown,
//! and who did it. It uses the SDK (`agent`) as any program may, and leaves nothing behind.

mod editor;
mod gateway;
mod keys;
mod orchestrator;
mod screen;
mod story;
mod summary;
mod worker;

use std::net::SocketAddr;
use std::time::Duration;

use tokio::signal::unix::SignalKind;

use self::editor::Decides;
use self::gateway::GatewayProcess;
use self::orchestrator::Orchestrator;
use self::screen::Screen;
use self::worker::Workers;
use super::Failure;
use super::serve::{Stop, listen};
use crate::agent::{self, Agent, Room};

/// The room in which it all happens.
const ROOM: &str = "newsroom";

/// Longer than this nothing in the demo takes, but for the person.
const PATIENCE: Duration = Duration::from_secs(60);

/// What to show.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Approve by itself instead of asking you
    #[arg(long)]
    yes: bool,
    /// Kill and restart a worker and the gateway in the middle
    #[arg(long)]
    chaos: bool,
    /// Address for MQTT clients, port 0 for any that is free [default: 127.0.0.1:1883, or any if
    /// that is taken]
    #[arg(long, value_name = "ADDR")]
    mqtt: Option<String>,
    /// Address for health checks and metrics, port 0 for any that is free [default: 127.0.0.1:0]
    #[arg(long, value_name = "ADDR")]
    http: Option<String>,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::try_again(format!("cannot start threads: {error}")))?;
    runtime.block_on(perform(args))
}

/// Plays it, and cleans up however it ends.
async fn perform(args: &Args) -> Result<(), Failure> {
    let decides = decides(args)?;
    // Before there is anything to clean up.
    let mut stop = Stop::listen()?;
    let mut hangup = listen(SignalKind::hangup())?;
    let mut gateway = GatewayProcess::prepare()?;
    let ended = |name| {
        Err(Failure::runtime(format!(
            "stopped by {name} before the end"
        )))
    };
    let outcome = tokio::select! {
        outcome = play(&mut gateway, args, decides) => outcome,
        name = stop.wait() => ended(name),
        Some(()) = hangup.recv() => ended("SIGHUP"),
    };
    let stopped = gateway.stop().await;
    outcome.and(stopped)
}

fn decides(args: &Args) -> Result<Decides, Failure> {
    match (args.yes, keys::present()) {
        (true, _) => Ok(Decides::Itself),
        (false, true) => Ok(Decides::Person),
        (false, false) => Err(Failure::usage(
            "standard input is no terminal, so nobody can press a key to approve: give --yes to let the demo approve by itself",
        )),
    }
}

async fn play(gateway: &mut GatewayProcess, args: &Args, decides: Decides) -> Result<(), Failure> {
    let places = gateway
        .start(args.mqtt.as_deref(), args.http.as_deref())
        .await?;
    super::say(format_args!(
        "A gateway of its own listens at {} (MQTT) and http://{} (/readyz, /metrics).\n\
         In its room {ROOM} two agents each can research, draft, review and publish; an orchestrator hands them the work.\n",
        places.mqtt, places.http
    ));
    let screen = Screen::start(places.mqtt).await?;
    let workers = Workers::start(places.mqtt, args.chaos).await?;
    let orchestrator = Orchestrator::start(places, decides).await?;
    let outcome = orchestrator.run(gateway, &workers, args.chaos).await;
    drop(workers);
    let events = screen.finish().await;
    super::say(format_args!("\n{}", summary::of(&outcome?, events)));
    Ok(())
}

/// An agent that joins the room, connected for as long as anything of it is held.
async fn enter(gateway: SocketAddr, name: &str) -> Result<(Agent, Room), agent::Error> {
    let agent = Agent::connect(&format!("mqtt://{gateway}"), name).await?;
    let room = agent.join(ROOM).await?;
    Ok((agent, room))
}
