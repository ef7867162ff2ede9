//! End-to-end tests, one binary.

mod crash;
mod harness;
mod operations;
mod patterns;
