//! Schemas of keys: what values below a prefix must look like.
//!
//! They are compiled before they come here, and replaced as a whole. Values that stand are not looked at again.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::schema::Schema;
use crate::wire::json::Json;
use crate::wire::name::Key;
use crate::wire::reply::{Code, Rejection};

/// The schemas of all rooms' keys, by prefix. Of several prefixes of a key the longest counts.
#[derive(Debug, Clone, Default)]
pub struct KeySchemas(Arc<BTreeMap<Key, Schema>>);

impl FromIterator<(Key, Schema)> for KeySchemas {
    fn from_iter<T: IntoIterator<Item = (Key, Schema)>>(schemas: T) -> KeySchemas {
        KeySchemas(Arc::new(schemas.into_iter().collect()))
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
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn of(&self, key: &Key) -> Option<&Schema> {
        let mut prefix = key.as_str();
        loop {
            if let Some(schema) = self.0.get(prefix) {
                return Some(schema);
            }
            (prefix, _) = prefix.rsplit_once('/')?;
        }
    }

    /// Refuses with 422 a value that its key's schema does not allow; the path goes into the value.
    pub(super) fn check(&self, key: &Key, value: &Json) -> Result<(), Rejection> {
        let Some(schema) = self.of(key) else {
            return Ok(());
        };
        schema.check(value.text()).map_err(|violation| {
            let rejection = Rejection::new(Code::Invalid, violation.reason);
            rejection.at(format!("value{}", violation.path))
        })
    }
}
