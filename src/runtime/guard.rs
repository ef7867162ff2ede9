//! Builds the guard from the configuration, and has it read its files anew.

use std::sync::Arc;

use super::{Error, blocking, settings};
use crate::auth::{FileProblem, Guard, Rules};
use crate::config::Config;

/// Posts a guard, if the configuration asks for one.
pub(super) async fn post(config: &Config) -> Result<Option<Arc<Guard>>, Error> {
    let Some(settings) = settings::auth(config) else {
        return Ok(None);
    };
    let opened = blocking(move || Guard::open(settings)).await?;
    opened.map(Some).map_err(|problems| {
        let words = problems
            .first()
            .map(ToString::to_string)
            .unwrap_or_default();
        Error::Configuration(match problems.len() {
            0 | 1 => words,
            more => format!(
                "{words} (and {} more: `hallward check` lists them)",
                more - 1
            ),
        })
    })
}

/// The rules that a configuration names, read now and used by nobody; `None` while everybody is let in.
///
/// # Errors
/// Everything that is wrong with the files.
pub fn rules(config: &Config) -> Result<Option<Arc<Rules>>, Vec<FileProblem>> {
    let settings = settings::auth(config);
    settings
        .map(|settings| Rules::load(&settings).map(Arc::new))
        .transpose()
}

/// Reads again what may change while the gateway runs.
#[derive(Debug, Clone)]
pub struct Reload {
    pub(super) guard: Option<Arc<Guard>>,
}

impl Reload {
    /// Takes the files as they are now: all of it, or nothing and a word for each fault.
    pub async fn run(self) {
        let Some(guard) = self.guard else {
            tracing::info!("nothing to read anew: authentication is off");
            return;
        };
        match blocking(move || guard.reload()).await {
            Ok(Ok(())) => tracing::info!("users, passwords, rights and keys read anew"),
            Ok(Err(problems)) => {
                for problem in problems {
                    tracing::error!("{problem}");
                }
                tracing::error!("users, passwords, rights and keys stay as they were");
            }
            Err(error) => tracing::error!(%error, "cannot read anew"),
        }
    }
}
