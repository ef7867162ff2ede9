//! What can be read again while the gateway runs: each part registers how, and SIGHUP runs them all.
//!
//! A part that fails keeps what it had; the others are reloaded all the same. `cli` calls [`Reload::run`].

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::{error, info};

/// Reads one part again. `Ok` says in a few words what is in use now, `Err` why nothing has changed.
type Part = Box<dyn Fn() -> Result<String, String> + Send>;

/// The parts that can be reloaded. Clones share them.
#[derive(Clone, Default)]
pub struct Reload {
    parts: Arc<Mutex<Vec<(&'static str, Part)>>>,
}

impl Reload {
    /// Adds a part. `name` is what the log calls it, such as the section of the configuration; `reload` may block on files.
    pub fn register(
        &self,
        name: &'static str,
        reload: impl Fn() -> Result<String, String> + Send + 'static,
    ) {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        parts.push((name, Box::new(reload)));
    }

    /// Reloads every part, one after the other, on a thread that may block; says in the log how each went.
    pub async fn run(&self) {
        let reload = self.clone();
        let done = tokio::task::spawn_blocking(move || reload.run_blocking()).await;
        if let Err(error) = done {
            error!(%error, "reload stopped half-way");
        }
    }

    fn run_blocking(&self) {
        let parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        if parts.is_empty() {
            info!("nothing to reload");
        }
        for (name, part) in parts.iter() {
            match part() {
                Ok(now) => info!(part = name, "reloaded: {now}"),
                Err(reason) => error!(part = name, "not reloaded, the old stays in use: {reason}"),
            }
        }
    }
}

impl fmt::Debug for Reload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        f.debug_list()
            .entries(parts.iter().map(|(name, _)| name))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_part_that_fails_does_not_keep_the_others_from_being_reloaded() {
        let reload = Reload::default();
        let runs = Arc::new(AtomicUsize::new(0));
        reload.register("broken", || Err("no such file".to_owned()));
        let counted = Arc::clone(&runs);
        reload.register("fine", move || {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok("as new".to_owned())
        });
        reload.clone().run().await;
        reload.run().await;
        assert_eq!(runs.load(Ordering::Relaxed), 2);
    }
}
