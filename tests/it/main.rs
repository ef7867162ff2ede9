//! End-to-end tests, one binary.

mod cli;
mod crash;
mod harness;
mod operations;
mod patterns;
mod interop;
mod schemas;
mod tidy;
mod tools;
