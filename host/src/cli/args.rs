//! Flags that several commands share, and what they mean for the configuration.

use super::failure::{Failure, Outcome};
use crate::config::{KeyPath, Loaded, Overrides, load};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The variable that names a configuration where no flag does.
const VARIABLE: &str = "JACKFIELD_CONFIG";

/// The configuration that is taken when none is named, if it is there.
const USUAL: &str = "/etc/jackfield/jackfield.toml";

/// What is configured, and how.
#[derive(Debug, Default, clap::Args)]
pub(super) struct ConfigArgs {
    /// Configuration file (TOML, YAML or JSON); may be repeated, later ones win. Without it
    /// the one that $JACKFIELD_CONFIG names is taken, else /etc/jackfield/jackfield.toml
    #[arg(short, long, value_name = "FILE")]
    config: Vec<PathBuf>,
    /// Folder with plugins, in place of the configured ones; may be repeated
    #[arg(long, value_name = "DIR")]
    plugins: Vec<PathBuf>,
    /// Set one key of the configuration over files and environment, as in host.worker_threads=4
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl ConfigArgs {
    /// The configuration; an error if there is no file at all.
    pub(super) fn load(&self) -> Outcome<Loaded> {
        let (files, overrides) = self.parts()?;
        Ok(load(&files, &overrides)?)
    }

    /// The files of the configuration and what is set over them; an error if there is no file at all.
    pub(super) fn parts(&self) -> Outcome<(Vec<PathBuf>, Overrides)> {
        let files = self.files();
        if files.is_empty() {
            return Err(Failure::config(format!(
                "no configuration: {USUAL} is not there; name one with --config FILE or ${VARIABLE}"
            )));
        }
        Ok((files, self.overrides()?))
    }

    /// The configuration, which may be nothing but defaults. `more` adds to what flags set.
    pub(super) fn load_any(&self, more: impl FnOnce(&mut Overrides)) -> Outcome<Loaded> {
        let mut overrides = self.overrides()?;
        more(&mut overrides);
        Ok(load(&self.files(), &overrides)?)
    }

    /// Whether anything was said on the command line.
    pub(super) fn says(&self) -> bool {
        !self.config.is_empty() || !self.plugins.is_empty() || !self.set.is_empty()
    }

    fn files(&self) -> Vec<PathBuf> {
        if !self.config.is_empty() {
            return self.config.clone();
        }
        let named = std::env::var_os(VARIABLE).filter(|name| !name.is_empty()).map(PathBuf::from);
        let usual = || Some(PathBuf::from(USUAL)).filter(|file| file.exists());
        named.or_else(usual).into_iter().collect()
    }

    fn overrides(&self) -> Outcome<Overrides> {
        let mut overrides = Overrides::from_environment();
        if !self.plugins.is_empty() {
            let folders: Result<Vec<Value>, Failure> = self.plugins.iter().map(folder).collect();
            let key = KeyPath::from_iter(["host", "plugins"]);
            overrides.set("--plugins", key, Value::Array(folders?));
        }
        for assignment in &self.set {
            overrides.assign("--set", assignment);
        }
        Ok(overrides)
    }
}

fn folder(path: impl AsRef<Path>) -> Outcome<Value> {
    let path = path.as_ref();
    let shown = path.display();
    if !path.is_dir() {
        return Err(Failure::config(format!("--plugins {shown}: there is no such folder")));
    }
    let text = path.to_str();
    let text = text.ok_or_else(|| Failure::config(format!("--plugins {shown}: not UTF-8")))?;
    // Otherwise `~/` would be read as the home folder once more.
    let text = if text.starts_with('~') { format!("./{text}") } else { text.to_owned() };
    Ok(Value::String(text))
}
