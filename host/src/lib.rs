//! stub
pub mod config;
pub mod driver;
pub mod nearest;
pub mod secret;
pub mod services;
pub mod stack;
