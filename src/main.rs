//! The `hallward` command.

fn main() {}
