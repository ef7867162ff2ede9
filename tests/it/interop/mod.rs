//! Clients that others wrote, each against a gateway process of its own: paho-mqtt, mqtt.js,
//! mosquitto's command line, rumqttc; and every command line that the documentation shows.
//!
//! The clients come from `crate::tools`: one that cannot be had fails its test and never skips it.

mod docs;
mod mosquitto;
mod page;
mod rumqttc;
mod script;
