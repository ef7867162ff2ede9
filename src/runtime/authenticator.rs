//! Builds the authenticator from the configuration, and has it read its files anew.

use std::sync::Arc;

use super::{GatewayError, Reload, blocking, settings};
use crate::auth::{Authenticator, FileProblem, Rules, list_problems};
use crate::config::Config;
use crate::engine::Create;
use crate::log_limiter::LogLimiter;
use crate::wire::name::{Agent, Room};

/// Builds it, if the configuration asks for one; its files are reloaded with everything else.
pub(super) async fn build(
    config: &Config,
    reload: &Reload,
    log_limiter: &Arc<LogLimiter>,
) -> Result<Option<Arc<Authenticator>>, GatewayError> {
    let Some(settings) = settings::auth(config) else {
        return Ok(None);
    };
    let log_limiter = Arc::clone(log_limiter);
    let authenticator = blocking(move || Authenticator::open(settings, log_limiter))
        .await?
        .map_err(|problems| GatewayError::Configuration(list_problems(&problems)))?;
    let reloaded = Arc::clone(&authenticator);
    reload.register("auth", move |config| {
        // Whether clients must prove who they are is for a start to say.
        let Some(settings) = settings::auth(config) else {
            return Ok(Box::new(|| None));
        };
        let rules = reloaded.read(&settings);
        let rules = rules.map_err(|problems| list_problems(&problems))?;
        let authenticator = Arc::clone(&reloaded);
        Ok(Box::new(move || {
            authenticator.adopt(rules);
            Some("users, passwords, rights and keys".to_owned())
        }))
    });
    Ok(Some(authenticator))
}

/// The rules that a configuration names, read now and used by nobody; `None` while everybody is let
/// in.
///
/// # Errors
/// Everything that is wrong with the files.
pub fn rules(config: &Config) -> Result<Option<Arc<Rules>>, Vec<FileProblem>> {
    let settings = settings::auth(config);
    settings
        .map(|settings| Rules::load(&settings).map(Arc::new))
        .transpose()
}

/// Why a room lets an agent say nothing in it, and subscribe to nothing that names it, whatever its
/// rights are; `None` if it does not.
pub fn room_refusal(config: &Config, client: &str, room: &Room) -> Option<String> {
    // Whoever is no agent takes no part.
    let agent = Agent::new(client).ok()?;
    match config.rooms.room.get(room) {
        Some(own) if !own.admits(&agent) => Some(format!(
            "{agent} is no member of the room {room} (rooms.room.{room}.members)"
        )),
        None if config.rooms.create == Create::Configured => Some(format!(
            "there is no room {room}, and none comes into being by its use (rooms.create)"
        )),
        _ => None,
    }
}
