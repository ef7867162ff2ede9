//! Log lines: how they look, and how many.

use serde::{Deserialize, Serialize};

use crate::setting::{Size, gib, kib, mib, settings};

settings! {
    /// Log lines, written to standard error.
    pub struct Log;

    /// "human" or "json": then all that the gateway writes is a JSON object a line, on standard
    /// error.
    #[restart("the log is opened once")]
    format: LogFormat = LogFormat::default();
    /// "error", "warn", "info", "debug" or "trace"; the environment variable RUST_LOG goes before
    /// it.
    level: LogLevel = LogLevel::default();
    /// Whether each client that connects or leaves is a line (at "info").
    connections: bool = true;
    /// Lines a minute of one kind about clients, and again about strangers (who have not proved who
    /// they are); of each client, one a minute. What is more is a line at "debug", and once a
    /// minute it is said how many there were.
    max_lines: usize = 100, 1..=100_000
        => "a minute's lines of one kind about clients, and again about strangers: further ones, \
            and more than one of a client, are lines at `debug`; once a minute a line says how \
            many there were", "log_lines_limited_total";
    /// What may wait to be written; while whoever reads the log does not, further lines are dropped
    /// and counted.
    #[restart("the log is opened once")]
    max_waiting: Size = mib(1), kib(4)..=gib(1)
        => "so much of the log waits to be written, because whoever reads it does not: further \
            lines are dropped, and once one can be written again the log says how many. What \
            cannot be written at all (a full disk, a reader that is gone) is dropped, too; \
            nothing else waits for the log", "log_lines_lost_total";
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// What is logged: this level and the graver ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// What failed.
    Error,
    /// What may need attention.
    Warn,
    /// What an operator wants to know.
    #[default]
    Info,
    /// What helps to find a fault.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// The word for it, as `tracing` filters read it.
    pub fn as_str(self) -> &'static str {
        match self {
            LogLevel::Error => "error",
            LogLevel::Warn => "warn",
            LogLevel::Info => "info",
            LogLevel::Debug => "debug",
            LogLevel::Trace => "trace",
        }
    }
}
