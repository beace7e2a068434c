//! Dialogues: sending text and waiting for patterns, over any session with a byte stream, whatever its
//! driver: a terminal server, a shell, a serial console, a program.
//!
//! [`Matcher`] is the heart of it and does no input or output: bytes and the time go in, a match or a
//! refusal comes out. [`Dialogue`] joins it to a stream. [`Rules`] say what to answer to what, [`Login`] answers
//! prompts with credentials, [`Execute`] runs a command behind a prompt, and [`operations`] are what `call` offers
//! on sessions whose driver has no such operations itself.

#[cfg(test)]
mod answer_tests;
mod execute;
mod kept;
mod known;
mod login;
mod matcher;
mod operations;
mod params;
mod patterns;
mod prompt;
mod rules;
mod talk;
mod terminal;
#[cfg(test)]
mod tests;

pub use execute::{Execute, Output};
pub use known::Known;
pub use login::{AskedLine, Login, LoginPair, ThenLine};
pub use matcher::{Found, Look, Matcher};
pub use operations::{call, converse, operation, operations};
pub use patterns::Patterns;
pub use rules::{Conversed, Rule, Rules};
pub use talk::{Dialogue, RETURN};
