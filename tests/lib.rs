//! The tests are in `main.rs` and the modules beside it.
