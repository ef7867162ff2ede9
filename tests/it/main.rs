//! End-to-end tests, one binary.

mod abuse;
mod cli;
mod crash;
mod demo;
mod harness;
mod interop;
mod live_plane;
mod operations;
mod patterns;
mod schemas;
mod sim;
mod tidy;
mod tools;
