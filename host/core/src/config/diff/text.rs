//! Changes in words: one line for each object.

use super::{Change, ChangeKind, Changes, Effect, KeyChange};
use std::fmt;

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, change) in self.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            change.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            ChangeKind::Added => write!(f, "added {}", self.object),
            ChangeKind::Removed => write!(f, "removed {} ({})", self.object, self.effect),
            ChangeKind::Changed => {
                write!(f, "changed {}: ", self.object)?;
                for (index, key) in self.keys.iter().enumerate() {
                    f.write_str(if index > 0 { "; " } else { "" })?;
                    key.fmt(f)?;
                }
                let kept = |key: &&KeyChange| key.effect == Effect::Restart;
                match self.keys.iter().filter(kept).count() {
                    _ if !self.object.kind.is_of_process() => Ok(()),
                    0 => Ok(()),
                    all if all == self.keys.len() => {
                        f.write_str(": not taken over, it takes a restart of the host")
                    }
                    _ => f.write_str(
                        ": what says restart is not taken over, it takes one of the host",
                    ),
                }
            }
        }
    }
}

impl fmt::Display for KeyChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key)?;
        // Without both it is of no help.
        if let (Some(from), Some(to)) = (&self.from, &self.to) {
            write!(f, " {from} -> {to}")?;
        }
        write!(f, " ({}", self.effect)?;
        match &self.because {
            Some(because) => write!(f, ", {because})"),
            None => f.write_str(")"),
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
