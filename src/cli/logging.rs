//! Log lines: to standard error, for people or as JSON. Then there is nothing else on it from then
//! on: also a panic, and the words of a command that fails, are lines of the log.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::IsTerminal as _;
use std::panic::PanicHookInfo;
use std::sync::OnceLock;

use tracing_subscriber::EnvFilter;

use super::Failure;
use crate::config::{Log, LogFormat};
use crate::runtime::LogOutlet;

/// Where lines go once they are JSON.
static JSON: OnceLock<LogOutlet> = OnceLock::new();

/// Sees to it that what was said is written before the process ends, whichever way that comes
/// about.
pub(super) struct Settled(LogOutlet);

impl Drop for Settled {
    fn drop(&mut self) {
        self.0.settle();
    }
}

/// Sets the level of a log that runs.
pub(super) type SetLevel = Box<dyn Fn(&Log) -> Option<String> + Send + Sync>;

/// Starts logging for the process; a second call changes nothing. The first of what is returned is
/// to be kept until the end, the second sets another level.
pub(super) fn start(log: &Log) -> Result<(Settled, SetLevel), Failure> {
    let outlet = LogOutlet::of_process(log.max_waiting.0)
        .map_err(|error| Failure::try_again(format!("cannot write a log: {error}")))?;
    let lines = outlet.clone();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter(log))
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(move || lines.clone());
    // Tests and the demo may have started logging already: whoever came first stays.
    let (started, set_level) = match log.format {
        LogFormat::Human => {
            let builder = builder.with_target(false).with_filter_reloading();
            let handle = builder.reload_handle();
            let set_level: SetLevel = Box::new(move |log| told(handle.reload(filter(log))));
            (builder.try_init(), set_level)
        }
        LogFormat::Json => {
            let builder = builder.json().flatten_event(true).with_filter_reloading();
            let handle = builder.reload_handle();
            let set_level: SetLevel = Box::new(move |log| told(handle.reload(filter(log))));
            (builder.try_init(), set_level)
        }
    };
    if started.is_ok() {
        std::panic::set_hook(Box::new(report_panic));
        if log.format == LogFormat::Json {
            let _ = JSON.set(outlet.clone());
        }
    }
    Ok((Settled(outlet), set_level))
}

/// Tells of a failure of the command as a line of the log, if that is JSON; whether it is.
pub(super) fn tell_of_failure(message: &str) -> bool {
    let Some(outlet) = JSON.get() else {
        return false;
    };
    tracing::error!("{message}");
    outlet.settle();
    true
}

/// What the standard library would write to standard error, as a line of the log.
fn report_panic(panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    let place = panic.location().map(ToString::to_string);
    let place = place.as_deref().unwrap_or("an unknown place");
    let words = panic.payload_as_str().unwrap_or("without words");
    // Where RUST_BACKTRACE asks for one.
    let backtrace = Backtrace::capture();
    let captured = backtrace.status() == BacktraceStatus::Captured;
    let backtrace = captured.then(|| tracing::field::display(&backtrace));
    tracing::error!(thread, backtrace, "panicked at {place}: {words}");
}

/// What a part of the configuration says of itself when it was read again.
fn told(set: Result<(), tracing_subscriber::reload::Error>) -> Option<String> {
    match set {
        Ok(()) if directives().is_some() => {
            Some("RUST_LOG is set and goes before log.level".to_owned())
        }
        // That it changed is said anyway; in a process without a log of ours there is nothing to
        // say.
        Ok(()) | Err(_) => None,
    }
}

/// What the environment says, which goes before the level that is configured.
pub(super) fn directives() -> Option<String> {
    std::env::var("RUST_LOG")
        .ok()
        .filter(|text| !text.is_empty())
}

fn filter(log: &Log) -> EnvFilter {
    // The embedded router opens a span for every publish even where nothing is shown; what matters
    // of it is counted and told by us.
    let ours = || EnvFilter::new(format!("{},rumqttd=off", log.level.as_str()));
    match directives() {
        Some(directives) => EnvFilter::try_new(directives).unwrap_or_else(|_| ours()),
        None => ours(),
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    /// Set in a process of its own, because a hook is everybody's.
    const PANICS: &str = "HALLWARD_TEST_PANICS";

    #[test]
    fn a_panic_is_a_line_of_json_and_nothing_else() {
        let name = "cli::logging::tests::a_panic_is_a_line_of_json_and_nothing_else";
        if std::env::var_os(PANICS).is_some() {
            let log = Log {
                format: LogFormat::Json,
                ..Log::default()
            };
            let (_settled, _) = start(&log).expect("it logs");
            let thread = std::thread::Builder::new().name("unlucky".into());
            let fallen = thread.spawn(|| panic!("so \"be\" it\nor not"));
            let _ = fallen.expect("a thread").join();
            assert!(tell_of_failure("the end"), "it is JSON");
            return;
        }
        let this = std::env::current_exe().expect("this program");
        let output = Command::new(this)
            .args(["--exact", name, "--nocapture"])
            .env(PANICS, "yes")
            .env("RUST_BACKTRACE", "1")
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .output()
            .expect("it starts");
        assert!(output.status.success(), "{output:?}");
        let said = String::from_utf8(output.stderr).expect("UTF-8");
        let lines: Vec<serde_json::Value> = said
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line:?} of {said}")))
            .collect();
        let [panic, end] = &lines[..] else {
            panic!("two lines: {said}");
        };
        assert_eq!(panic["level"], "ERROR");
        assert_eq!(panic["thread"], "unlucky");
        let message = panic["message"].as_str().expect("words");
        assert!(
            message.starts_with("panicked at src/cli/logging.rs:"),
            "{message}"
        );
        assert!(message.ends_with(": so \"be\" it\nor not"), "{message}");
        assert!(
            panic["backtrace"]
                .as_str()
                .is_some_and(|trace| trace.contains("logging"))
        );
        assert_eq!(end["message"], "the end");
    }
}
