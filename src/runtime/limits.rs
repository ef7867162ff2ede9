//! Rooms, limits and schemas of keys: what the desk and the front door are told anew while the
//! gateway runs.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::mpsc;

use super::{Reload, key_schemas, settings};
use crate::config::Config;
use crate::desk::port::Request;
use crate::engine::KeySchemas;
use crate::live::LivePlane;
use crate::log_limiter::LogLimiter;
use crate::mqtt::ServerContext;

/// Who is told. Those that keep the desk going are not kept by it.
pub(super) struct Listeners {
    pub(super) desk: mpsc::WeakSender<Request>,
    pub(super) door: Weak<ServerContext<LivePlane>>,
    pub(super) plane: LivePlane,
    pub(super) log_limiter: Arc<LogLimiter>,
}

/// Lets them be told whenever the configuration is read again.
pub(super) fn register(running: &Config, reload: &Reload, listeners: Listeners) {
    let known = key_schemas(running).unwrap_or_default();
    let schemas = Arc::new(Mutex::new(known));
    let read = Arc::clone(&schemas);
    reload.register("blackboard.schemas", move |config| {
        let new = key_schemas(config)?;
        let place = Arc::clone(&read);
        Ok(Box::new(move || {
            let had_any = !place_of(&place).is_empty();
            let now = format!("{} schemas of keys", new.len());
            let has_any = !new.is_empty();
            *place_of(&place) = new;
            (had_any || has_any).then_some(now)
        }))
    });
    let before = Mutex::new(running.clone());
    // After the schemas, which go along.
    reload.register_setting("rooms and limits", move |config| {
        let mut before = before.lock().unwrap_or_else(PoisonError::into_inner);
        let schemas = place_of(&schemas).clone();
        let told = listeners.tell(&before, config, schemas);
        *before = config.clone();
        told
    });
}

fn place_of(schemas: &Mutex<KeySchemas>) -> std::sync::MutexGuard<'_, KeySchemas> {
    schemas.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Listeners {
    fn tell(&self, before: &Config, config: &Config, key_schemas: KeySchemas) -> Option<String> {
        self.log_limiter.set_max_lines(config.log.max_lines);
        self.plane.set_max_links(config.mqtt.max_connections);
        let rooms = (&config.rooms.encoding, &config.rooms.room);
        let mut configuration = settings::desk_configuration(config);
        configuration.engine.key_schemas = key_schemas;
        configuration.reencodes = rooms != (&before.rooms.encoding, &before.rooms.room);
        let request = Request::Configure(Box::new(configuration));
        // What is gone needs no settings: the gateway is stopping.
        self.door.upgrade()?.configure(settings::mqtt(config));
        let _ = self.desk.upgrade()?.blocking_send(request);
        None
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::config::Takes;

    /// Everything that parts make of a configuration when it is read again.
    fn made_of(config: &Config) -> String {
        let told = (config.log.level, config.log.max_lines);
        let desk = settings::desk_configuration(config);
        let door = (settings::mqtt(config), settings::upgrade(config));
        let files = (config.tls.clone(), settings::auth(config));
        format!("{told:?} {desk:?} {door:?} {files:?}")
    }

    /// Another value of the same kind.
    fn another(key: &str, value: &Value) -> Value {
        match (key, value) {
            ("tls.others", _) => json!([{ "certificate": "x", "key": "y" }]),
            ("rooms.room", _) => json!({ "lab": {} }),
            ("log.format", _) => json!("json"),
            ("handoff.types", _) => json!({ "x": {} }),
            ("handoff.capabilities", _) => json!({ "x": { "dispatch_rate": 5 } }),
            (_, Value::Bool(value)) => json!(!value),
            (_, Value::Number(value)) => match value.as_u64() {
                Some(value) => json!(value + 1),
                None => json!(value.as_f64().expect("a number") + 1.0),
            },
            (_, Value::Array(_)) => json!(["x"]),
            (_, Value::String(text)) => json!(match &**text {
                "info" => "debug",
                "json" => "cbor",
                "on_use" => "configured",
                "gateway" => "nothing",
                "drop" => "refuse",
                "user" => "agent",
                "ack" => "close",
                "none" => "optional",
                "cn" => "san",
                "1.2" => "1.3",
                text if text.ends_with('B') => "17KiB",
                text if text.starts_with(|c: char| c.is_ascii_digit()) => "7m",
                _ => "x",
            }),
            (_, other) => panic!("{key}: {other}"),
        }
    }

    /// The table says the truth: what is said to be read again arrives somewhere.
    #[test]
    fn every_setting_that_is_reloaded_makes_a_difference() {
        let mut running = Config::default();
        running.auth.enabled = true;
        let tree = serde_json::to_value(&running).expect("serializes");
        let before = made_of(&running);
        let mut reloaded = 0;
        for (section, keys) in tree.as_object().expect("sections") {
            // A list of tables takes a restart.
            for (key, value) in keys.as_object().into_iter().flatten() {
                let full_key = format!("{section}.{key}");
                // They are in files.
                if full_key == "blackboard.schemas" {
                    continue;
                }
                let mut altered = tree.clone();
                altered[section][key] = another(&full_key, value);
                let Ok(altered) = serde_json::from_value::<Config>(altered) else {
                    // An address: those take a restart.
                    assert!(full_key.ends_with("listen"), "{full_key}");
                    continue;
                };
                let changed = running.changes_to(&altered);
                assert!(!changed.is_empty(), "{full_key} is as before");
                if changed[0].takes == Takes::Reload {
                    assert_ne!(made_of(&altered), before, "{full_key}");
                    reloaded += 1;
                }
            }
        }
        assert!(reloaded > 150, "{reloaded}");
    }
}
