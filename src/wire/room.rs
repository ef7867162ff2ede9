//! Room messages: closing one, and opening it again.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::name::CommandId;

/// `room/close/{me}` and `room/open/{me}`; may be empty.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CloseRoom {
    /// Why, for the room's event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Echoed in the reply; a repeat changes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<CommandId>,
    /// Echoed in the reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
}
