//! The desk: one thread that takes every input that changes durable state, in order, and lets nothing out early.

pub mod port;
