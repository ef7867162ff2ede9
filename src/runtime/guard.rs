//! Builds the guard from the configuration, and has it read its files anew.

use std::sync::Arc;

use super::{Error, Reload, blocking, settings};
use crate::auth::{FileProblem, Guard, Rules, list_problems};
use crate::config::Config;
use crate::diary::Diary;

/// Posts a guard, if the configuration asks for one; its files are reloaded with everything else.
pub(super) async fn post(
    config: &Config,
    reload: &Reload,
    diary: &Arc<Diary>,
) -> Result<Option<Arc<Guard>>, Error> {
    let Some(settings) = settings::auth(config) else {
        return Ok(None);
    };
    let diary = Arc::clone(diary);
    let guard = blocking(move || Guard::open(settings, diary))
        .await?
        .map_err(|problems| Error::Configuration(list_problems(&problems)))?;
    let reloaded = Arc::clone(&guard);
    reload.register("auth", move || match reloaded.reload() {
        Ok(()) => Ok("users, passwords, rights and keys".to_owned()),
        Err(problems) => Err(list_problems(&problems)),
    });
    Ok(Some(guard))
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
