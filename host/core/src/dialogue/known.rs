//! [`Known`]: facts about a peer that one step of a dialogue leaves to the next.

use super::prompt::Prompt;
use jackfield_plugin_api::Info;

/// Which fact of a session has the prompt that a login has ended with.
pub(super) const PROMPT: &str = "prompt";

/// What is known of a peer from one step of a dialogue to the next.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The time for its greeting has passed, or it has answered.
    pub(super) settled: bool,
    /// What it waits for commands behind.
    pub(super) prompt: Option<Prompt>,
    /// Whether it echoes its input.
    pub(super) echoes: Option<bool>,
    /// If the next bytes are these, they belong to the text received before.
    pub(super) skip: Vec<u8>,
}

impl Known {
    /// What the facts of a session tell: the prompt of its login, which those that take its stream see again.
    pub fn of(info: &Info) -> Self {
        let prompt = info.facts.get(PROMPT).and_then(|prompt| prompt.as_str());
        let Some(prompt) = prompt.and_then(|text| Prompt::of_line(text.as_bytes())) else {
            return Known::default();
        };
        let skip = prompt.as_str().as_bytes().to_vec();
        Known { settled: true, prompt: Some(prompt), echoes: None, skip }
    }
}
