//! End-to-end tests, one binary.

mod abuse;
mod agent;
mod auth;
mod bridge;
mod circles;
mod cli;
mod conformance;
mod crash;
mod damage;
mod demo;
mod harness;
mod interop;
mod limits;
mod live_plane;
mod logging;
mod metrics;
mod operations;
mod patterns;
mod reload;
mod schemas;
mod settings;
mod sim;
mod tidy;
#[cfg(target_os = "linux")]
mod time;
mod tools;
mod transport;
mod upkeep;
