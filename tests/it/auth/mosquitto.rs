//! The same questions to a real mosquitto.

use super::*;
