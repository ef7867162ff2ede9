//! Reads the configuration and everything that it names again while the gateway runs; `cli` has it
//! do so on SIGHUP.
//!
//! Each part registers how it reads its share and puts it in use. A configuration counts as a
//! whole, with all that it names, or not at all: then what it named before is read again, each part
//! for itself, so that a slip in one file keeps no certificate from being renewed.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::{error, info, warn};

use crate::config::{Changed, Config, Problems, Takes};
use crate::metrics::{Count, labelled, metrics};

/// Puts what was read in use; says in a few words what that is, if it is worth a line.
pub(super) type Change = Box<dyn FnOnce() -> Option<String> + Send>;

/// Reads what a part needs for a configuration, and changes nothing yet. `Err` says what is wrong.
type Part = Box<dyn Fn(&Config) -> Result<Change, String> + Send>;

/// What a part has read.
type Read = (&'static str, Result<Change, String>);

labelled! {
    /// What came of reading the configuration again.
    pub struct ReloadOutcomes by "outcome" {
        /// It was in order.
        done,
        /// It was refused.
        failed,
    }
}

metrics! {
    /// The configuration, and how often it was read again.
    #[derive(Debug, Default)]
    pub struct ReloadStats {
        /// Times that the configuration was read again.
        counter outcomes: ReloadOutcomes = "config_reloads",
        /// Settings that are configured and wait for a restart.
        gauge waiting: Count = "config_restart_settings",
    }
}

struct State {
    running: Config,
    parts: Vec<(&'static str, Part)>,
}

/// What can be reloaded. Clones share it.
#[derive(Clone)]
pub struct Reload {
    state: Arc<Mutex<State>>,
    stats: Arc<ReloadStats>,
}

impl Reload {
    /// Of a gateway that runs with this configuration.
    pub(super) fn new(running: Config) -> Reload {
        let state = State {
            running,
            parts: Vec::new(),
        };
        Reload {
            state: Arc::new(Mutex::new(state)),
            stats: Arc::default(),
        }
    }

    /// What it counts.
    pub(super) fn stats(&self) -> Arc<ReloadStats> {
        Arc::clone(&self.stats)
    }

    /// Adds a part that cannot be read wrong: a setting of the process's. `adopt` puts it in use,
    /// and says what that is.
    pub fn register_setting(
        &self,
        name: &'static str,
        adopt: impl Fn(&Config) -> Option<String> + Send + Sync + 'static,
    ) {
        let adopt = Arc::new(adopt);
        self.register(name, move |config| {
            let (adopt, config) = (Arc::clone(&adopt), config.clone());
            Ok(Box::new(move || adopt(&config)))
        });
    }

    /// Adds a part. `name` is what the log calls it, such as the section of the configuration;
    /// `read` may block on files.
    pub(super) fn register(
        &self,
        name: &'static str,
        read: impl Fn(&Config) -> Result<Change, String> + Send + 'static,
    ) {
        self.state().parts.push((name, Box::new(read)));
    }

    /// Reads the configuration and every part, on a thread that may block; says in the log how it
    /// went.
    pub async fn run(&self, read: impl FnOnce() -> Result<Config, Problems> + Send + 'static) {
        let reload = self.clone();
        let done = tokio::task::spawn_blocking(move || reload.run_blocking(read())).await;
        if let Err(error) = done {
            error!(%error, "reload stopped half-way");
        }
    }

    fn run_blocking(&self, wanted: Result<Config, Problems>) {
        let mut state = self.state();
        let next = wanted.and_then(|wanted| {
            let next = state.running.with_reloadable(&wanted);
            let next = next.map_err(beside_restarts)?;
            Ok((wanted, next))
        });
        let (wanted, next) = match next {
            Ok(next) => next,
            Err(Problems(problems)) => {
                self.refuse(&problems);
                adopt_each(state.read(&state.running));
                return;
            }
        };
        let read = state.read(&next);
        let wrong: Vec<String> = read
            .iter()
            .filter_map(|(name, read)| Some(format!("{name}: {}", read.as_ref().err()?)))
            .collect();
        let is_new = next != state.running;
        if is_new && !wrong.is_empty() {
            self.refuse(&wrong);
            adopt_each(state.read(&state.running));
            return;
        }
        let changed = state.running.changes_to(&next);
        let said_any = adopt_each(read);
        state.running = next;
        self.tell(&changed, &state.running.changes_to(&wanted), said_any);
        // A file that could not be read has been told of; the configuration itself is in order.
        self.stats.outcomes.done.add_one();
    }

    fn refuse(&self, problems: &[impl fmt::Display]) {
        for problem in problems {
            error!("configuration not reloaded, everything runs on as before: {problem}");
        }
        self.stats.outcomes.failed.add_one();
    }

    fn tell(&self, changed: &[Changed], left: &[Changed], said_any: bool) {
        for Changed { key, from, to, .. } in changed {
            info!(key, from, to, "setting changed");
        }
        let waiting: Vec<_> = left
            .iter()
            .filter(|one| one.takes == Takes::Restart)
            .collect();
        for Changed { key, from, to, .. } in &waiting {
            warn!(
                key,
                running = from,
                configured = to,
                "takes a restart, and stays as it is until then"
            );
        }
        self.stats.waiting.set_len(waiting.len());
        let (changed, take_a_restart) = (changed.len(), waiting.len());
        match (changed, take_a_restart, said_any) {
            (0, 0, false) => info!("nothing to reload"),
            _ => info!(changed, take_a_restart, "configuration reloaded"),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A configuration is in order, and yet cannot be used before a restart.
fn beside_restarts(Problems(mut problems): Problems) -> Problems {
    for problem in &mut problems {
        problem.message += " (beside settings that keep their values until a restart)";
    }
    Problems(problems)
}

impl State {
    /// What all parts read for a configuration.
    fn read(&self, config: &Config) -> Vec<Read> {
        let parts = self.parts.iter();
        parts.map(|(name, part)| (*name, part(config))).collect()
    }
}

/// Puts in use what could be read, then says how each part went: whoever reads that finds all of it
/// in use. Returns whether any had something to say.
fn adopt_each(read: Vec<Read>) -> bool {
    let adopted: Vec<(&str, Result<Option<String>, String>)> = read
        .into_iter()
        .map(|(name, read)| (name, read.map(|change| change())))
        .collect();
    let said_any = adopted.iter().any(|(_, said)| !matches!(said, Ok(None)));
    for (name, outcome) in adopted {
        match outcome {
            Ok(Some(now)) => info!(part = name, "reloaded: {now}"),
            Ok(None) => {}
            Err(reason) => error!(part = name, "not reloaded, the old stays in use: {reason}"),
        }
    }
    said_any
}

impl fmt::Debug for Reload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_list()
            .entries(state.parts.iter().map(|(name, _)| name))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// One part that is broken as long as a word is configured, and one that counts how often it is
    /// put in use with which value.
    fn parts(reload: &Reload) -> Arc<AtomicUsize> {
        reload.register("broken", |config: &Config| {
            match config.auth.jwt_issuer.as_str() {
                "broken" => Err("no such file".to_owned()),
                _ => Ok(Box::new(|| None)),
            }
        });
        let runs = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&runs);
        reload.register_setting("fine", move |config| {
            counted.fetch_add(usize::from(config.mqtt.max_inflight), Ordering::Relaxed);
            Some("as new".to_owned())
        });
        runs
    }

    fn config(max_inflight: u16, issuer: &str) -> Config {
        let mut config = Config::default();
        config.mqtt.max_inflight = max_inflight;
        config.auth.jwt_issuer = issuer.to_owned();
        config
    }

    #[tokio::test]
    async fn a_part_that_fails_does_not_keep_the_others_from_being_reloaded() {
        let reload = Reload::new(config(1, "broken"));
        let runs = parts(&reload);
        reload.run(|| Ok(config(1, "broken"))).await;
        assert_eq!(runs.load(Ordering::Relaxed), 1);
        assert_eq!(reload.stats.outcomes.done.value(), 1);
    }

    #[tokio::test]
    async fn a_configuration_with_a_part_that_fails_is_refused_whole() {
        let reload = Reload::new(config(1, "good"));
        let runs = parts(&reload);
        reload.run(|| Ok(config(10, "broken"))).await;
        assert_eq!(runs.load(Ordering::Relaxed), 1, "read again as it was");
        assert_eq!(reload.state().running, config(1, "good"));
        assert_eq!(
            (
                reload.stats.outcomes.done.value(),
                reload.stats.outcomes.failed.value()
            ),
            (0, 1)
        );
        reload.run(|| Ok(config(10, "better"))).await;
        assert_eq!(runs.load(Ordering::Relaxed), 11);
    }

    #[tokio::test]
    async fn a_configuration_that_cannot_be_read_leaves_everything_as_it_is() {
        let reload = Reload::new(config(1, "good"));
        let runs = parts(&reload);
        reload.run(|| Err(Problems(Vec::new()))).await;
        assert_eq!(runs.load(Ordering::Relaxed), 1);
        assert_eq!(reload.stats.outcomes.failed.value(), 1);
    }

    #[tokio::test]
    async fn what_takes_a_restart_is_counted_until_it_is_no_longer_wanted() {
        let reload = Reload::new(config(1, "good"));
        let mut wanted = config(2, "good");
        wanted.http.max_connections = 7;
        for _ in 0..2 {
            let wanted = wanted.clone();
            reload.run(move || Ok(wanted)).await;
            assert_eq!(reload.stats.waiting.value(), 1);
        }
        let running = reload.state().running.clone();
        assert_eq!(running.http, Config::default().http);
        assert_eq!(running.mqtt.max_inflight, 2);
        reload.run(|| Ok(config(2, "good"))).await;
        assert_eq!(reload.stats.waiting.value(), 0);
    }
}
