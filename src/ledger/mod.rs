//! The durable plane.
