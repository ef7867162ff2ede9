//! `hallward bridge check NAME`: whether the other broker lets the bridge in, and what it grants.

use super::layers::{FileArg, KeyArgs, load};
use super::{Failure, say};
use crate::runtime;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Connect to each address of a bridge, and show what is granted there; publishes nothing.
    Check(CheckBridge),
}

#[derive(Debug, clap::Args)]
struct CheckBridge {
    /// The bridge's name
    name: String,
    /// Client id to connect with, where the other broker lets in some alone; the bridge's own ends
    /// the connection of the one that runs [default: the bridge's, with -check]
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    #[command(flatten)]
    file: FileArg,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let Command::Check(check) = &args.command;
    let loaded = load(&check.file, &KeyArgs::default())?;
    let bridges = &loaded.config.bridge;
    let Some(bridge) = bridges.iter().find(|bridge| bridge.name == check.name) else {
        let known: Vec<&str> = bridges.iter().map(|bridge| &*bridge.name).collect();
        return Err(Failure::usage(match known.is_empty() {
            true => "no bridge is configured: [[bridge]] in the configuration file".to_owned(),
            false => format!(
                "no bridge is named {}; there is: {}",
                check.name,
                known.join(", ")
            ),
        }));
    };
    let usual = format!("{}-check", bridge.client_id());
    let client_id = check.client_id.as_ref().unwrap_or(&usual);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::runtime(error.to_string()))?;
    let probed = runtime.block_on(runtime::probe_bridge(bridge, client_id));
    let mut failed = Vec::new();
    for one in probed {
        match one.outcome {
            Ok(grant) => say(format_args!(
                "{}: connected as {client_id}\n  unacknowledged messages  {}\n  largest packet  {}\n  \
                 retained messages  {}\n  keep-alive  {} s\n",
                one.address,
                grant.receive_maximum,
                match grant.max_packet {
                    u32::MAX => "not said".to_owned(),
                    bytes => format!("{bytes} bytes"),
                },
                if grant.retain { "yes" } else { "no" },
                grant.keep_alive_ms / 1_000
            )),
            Err(words) => {
                say(format_args!("{}: {words}\n", one.address));
                failed.push(one.address);
            }
        }
    }
    match failed.is_empty() {
        true => Ok(()),
        false => {
            let failed = failed.join(", ");
            Err(Failure::runtime(format!("no connection to {failed}")))
        }
    }
}
