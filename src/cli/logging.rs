//! Log lines: to standard error, for people or as JSON.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use super::Failure;
use crate::config::{Log, LogFormat};
use crate::runtime::LogOutlet;

/// Starts logging for the process; a second call changes nothing. What is returned is to be settled at the end.
pub(super) fn start(log: &Log) -> Result<LogOutlet, Failure> {
    let outlet = LogOutlet::of_process(log.max_waiting)
        .map_err(|error| Failure::try_again(format!("cannot write a log: {error}")))?;
    let lines = outlet.clone();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter(log))
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(move || lines.clone());
    // Tests and the demo may have started logging already: whoever came first stays.
    let _ = match log.format {
        LogFormat::Human => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    Ok(outlet)
}

fn filter(log: &Log) -> EnvFilter {
    // The embedded router opens a span for every publish even where nothing is shown; what matters of it is counted and told
    // by us.
    let ours = || EnvFilter::new(format!("{},rumqttd=off", log.level.as_str()));
    match std::env::var("RUST_LOG") {
        Ok(directives) if !directives.is_empty() => {
            EnvFilter::try_new(directives).unwrap_or_else(|_| ours())
        }
        _ => ours(),
    }
}
