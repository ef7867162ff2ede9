//! Reads the schemas that the configuration names for the keys of the blackboard.

use std::io::Read;
use std::path::Path;

use crate::config::Config;
use crate::engine::KeySchemas;
use crate::schema::{MAX_SCHEMA_BYTES, Schema};
use crate::wire::name::{Key, Room};

/// Reads and compiles all of them.
///
/// # Errors
/// Everything that is wrong with them, a line each, with the file's name.
pub fn key_schemas(config: &Config) -> Result<KeySchemas, String> {
    let mut problems = Vec::new();
    let mut schemas = Vec::new();
    for entry in &config.blackboard.schemas {
        // The configuration has been checked: the room's name is one.
        let room = entry.room.as_deref().and_then(|name| Room::new(name).ok());
        match (Key::new(&entry.prefix), compile(&entry.schema)) {
            (Ok(prefix), Ok(schema)) => schemas.push((prefix, room, schema)),
            (Err(error), _) => problems.push(error.to_string()),
            (_, Err(problem)) => problems.push(problem),
        }
    }
    if problems.is_empty() {
        Ok(schemas.into_iter().collect())
    } else {
        Err(problems.join("\n"))
    }
}

fn compile(path: &Path) -> Result<Schema, String> {
    let mut text = String::new();
    // One byte more than is allowed is enough to see that it is too long.
    let limit = MAX_SCHEMA_BYTES as u64 + 1;
    std::fs::File::open(path)
        .and_then(|file| file.take(limit).read_to_string(&mut text))
        .map_err(|error| format!("{}: cannot read the schema: {error}", path.display()))?;
    Schema::compile(&text).map_err(|error| format!("{}: {error}", path.display()))
}
