//! Scenarios of one or two clients over in-memory streams, with the test itself as desk and live
//! plane.

mod connecting;
mod delivering;
mod fake_plane;
mod harness;
mod hostile;
mod leaving;
mod limits;
mod live;
mod memory;
mod publishing;
mod subscribing;
mod throttling;
