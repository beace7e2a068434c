//! Devices: paths, what carries them, credentials with fallback, consoles that one uses at a time and
//! others watch.

mod changing;
mod console;
mod credentials;
mod limits;
mod paths;
mod roles;
