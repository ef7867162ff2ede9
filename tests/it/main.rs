//! End-to-end tests, one binary.

mod cli;
mod interop;
mod schemas;
mod tidy;
mod tools;
