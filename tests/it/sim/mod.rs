//! The simulation: the engine among random agents, with a virtual clock, crashes and late messages.
//!
//! One seed is one run. The world drives the engine as the desk does, batch by batch; a reference
//! model follows what was committed, and every invariant of the protocol is checked against it
//! after every step. Nothing here reads a real clock, sleeps, or looks inside the engine.

mod agenda;
mod agents;
mod desk;
mod dice;
mod durable;
mod gateway;
mod history;
mod invariants;
mod mailroom;
mod model;
mod rules;
mod scenarios;
mod seeds;
mod wall;
mod world;
