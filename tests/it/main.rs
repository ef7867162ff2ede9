//! End-to-end tests, one binary.

mod cli;
mod schemas;
mod tidy;
mod tools;
