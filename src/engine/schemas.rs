//! Schemas of keys: what values below a prefix must look like.
//!
//! They are compiled before they come here, and replaced as a whole. Values that stand are not
//! looked at again.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::schema::Schema;
use crate::wire::json::Json;
use crate::wire::name::{Key, Room};
use crate::wire::reply::{Code, Rejection};

/// The schemas of rooms' keys, by prefix. Of several prefixes of a key the longest counts, and of
/// two alike the room's own.
#[derive(Debug, Clone, Default)]
pub struct KeySchemas(Arc<BTreeMap<Key, OfPrefix>>);

/// What is below a prefix.
#[derive(Debug, Default)]
struct OfPrefix {
    everywhere: Option<Schema>,
    rooms: BTreeMap<Room, Schema>,
}

/// Each for one room, or for all.
impl FromIterator<(Key, Option<Room>, Schema)> for KeySchemas {
    fn from_iter<T: IntoIterator<Item = (Key, Option<Room>, Schema)>>(schemas: T) -> KeySchemas {
        let mut by_prefix: BTreeMap<Key, OfPrefix> = BTreeMap::new();
        for (prefix, room, schema) in schemas {
            let below = by_prefix.entry(prefix).or_default();
            match room {
                Some(room) => drop(below.rooms.insert(room, schema)),
                None => below.everywhere = Some(schema),
            }
        }
        KeySchemas(Arc::new(by_prefix))
    }
}

/// The same schemas, not just equal ones.
impl PartialEq for KeySchemas {
    fn eq(&self, other: &KeySchemas) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || (self.0.is_empty() && other.0.is_empty())
    }
}

impl KeySchemas {
    /// How many there are.
    pub fn len(&self) -> usize {
        let each = self.0.values();
        each.map(|below| below.rooms.len() + usize::from(below.everywhere.is_some()))
            .sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn of(&self, room: &Room, key: &Key) -> Option<&Schema> {
        let mut prefix = key.as_str();
        loop {
            let below = self.0.get(prefix);
            let found = below.and_then(|below| below.rooms.get(room).or(below.everywhere.as_ref()));
            if found.is_some() {
                return found;
            }
            (prefix, _) = prefix.rsplit_once('/')?;
        }
    }

    /// Refuses with 422 a value that its key's schema does not allow; the path goes into the value.
    pub(super) fn check(&self, room: &Room, key: &Key, value: &Json) -> Result<(), Rejection> {
        let Some(schema) = self.of(room, key) else {
            return Ok(());
        };
        schema.check(value.text()).map_err(|violation| {
            let rejection = Rejection::new(Code::Invalid, violation.reason);
            rejection.at(format!("value{}", violation.path))
        })
    }
}
