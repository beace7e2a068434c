//! Devices: paths, what carries them, credentials with fallback, consoles that one uses at a time and
//! others watch.

mod console;
mod credentials;
mod paths;
