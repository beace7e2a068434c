//! Stacks: drivers on top of each other.

pub mod uri;
