//! [`Culprit`]: whose code it was, in which call and for which connection, as log lines name it.

use crate::work::{self, NamedInLog};
use jackfield_plugin_api::watch::{self, Mark};
use std::fmt;

/// A call into a plugin, by names.
#[derive(Clone, Default, Debug, PartialEq, Eq)]
pub(super) struct Culprit {
    /// The plugin's name.
    pub(super) plugin: String,
    /// The driver, if it is one's code.
    pub(super) driver: Option<String>,
    /// The handler, if it is one's code.
    pub(super) handler: Option<String>,
    /// What was called.
    pub(super) operation: Option<String>,
    /// The id of the connection that it was for.
    pub(super) connection: Option<u64>,
    /// What is known of that.
    pub(super) of: NamedInLog,
}

impl Culprit {
    /// The call that runs on this thread; of `plugin` in any case.
    pub(super) fn here(plugin: &str) -> Self {
        let culprit = match watch::here() {
            Some(mark) => Culprit::of(&mark),
            None => Culprit::default().on(watch::label_here()),
        };
        Culprit { plugin: plugin.to_owned(), ..culprit }
    }

    /// The call that was seen on another thread.
    pub(super) fn of(mark: &Mark) -> Self {
        let (mut driver, mut handler, mut plugin) = (None, None, String::new());
        if let Some(owner) = mark.owner.name() {
            plugin = owner.plugin;
            let slot = if owner.kind == "handler" { &mut handler } else { &mut driver };
            *slot = Some(owner.name);
        }
        let operation = Some(mark.operation.as_str().to_owned());
        Culprit { plugin, driver, handler, operation, ..Culprit::default() }.on(mark.label)
    }

    fn on(self, label: u64) -> Self {
        Culprit { connection: (label != 0).then_some(label), of: work::named(label), ..self }
    }
}

/// `handler echo of jackfield-echo, in poll, for connection 3 (tcp://127.0.0.1:7001, 127.0.0.1:5)`.
impl fmt::Display for Culprit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.driver, &self.handler) {
            (Some(name), _) => write!(f, "driver {name} of ")?,
            (_, Some(name)) => write!(f, "handler {name} of ")?,
            _ => {}
        }
        f.write_str(&self.plugin)?;
        if let Some(operation) = &self.operation {
            write!(f, ", in {operation}")?;
        }
        let Some(id) = self.connection else { return Ok(()) };
        write!(f, ", for connection {id}")?;
        let facts = [&self.of.name, &self.of.listener, &self.of.peer];
        let facts: Vec<&str> = facts.into_iter().flatten().map(String::as_str).collect();
        if facts.is_empty() { Ok(()) } else { write!(f, " ({})", facts.join(", ")) }
    }
}

/// A line about a culprit: `told!(ERROR, culprit, field = value; "text")`.
macro_rules! told {
    ($level:ident, $culprit:expr, $($field:ident = $value:expr),*; $text:literal) => {{
        let culprit: &$crate::driver::culprit::Culprit = &$culprit;
        tracing::event!(
            tracing::Level::$level,
            plugin = culprit.plugin,
            driver = culprit.driver.as_deref(),
            handler = culprit.handler.as_deref(),
            operation = culprit.operation.as_deref(),
            connection = culprit.connection,
            name = culprit.of.name.as_deref(),
            listener = culprit.of.listener.as_deref(),
            peer = culprit.of.peer.as_deref(),
            $($field = $value,)*
            $text
        )
    }};
}

pub(super) use told;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_of_it_is_named_and_nothing_else() {
        assert_eq!(Culprit::here("p").to_string(), "p");
        let culprit = Culprit {
            plugin: "jackfield-echo".to_owned(),
            handler: Some("echo".to_owned()),
            operation: Some("poll".to_owned()),
            connection: Some(3),
            of: NamedInLog { listener: Some("tcp://:1".to_owned()), ..NamedInLog::default() },
            ..Culprit::default()
        };
        let text = "handler echo of jackfield-echo, in poll, for connection 3 (tcp://:1)";
        assert_eq!(culprit.to_string(), text);
    }
}
