//! Log lines: to standard error, for people or as JSON.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// Starts logging for the process; a second call changes nothing.
pub(super) fn start(log: &Log) {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter(log))
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    // Tests and the demo may have started logging already: whoever came first stays.
    let _ = match log.format {
        LogFormat::Human => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
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
