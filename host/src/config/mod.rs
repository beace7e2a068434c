//! Configuration: files, environment and flags, layered by the `config` crate, read strictly into the options of
//! each layer, which every layer has of its own.
//!
//! ```text
//! files ─ document ─┐ (parse_toml, parse_yaml: values, and where each key is)
//! environment ──────┼─ config crate ─ strict ─ check ─ Loaded
//! flags ─ overrides ┘
//! ```
//!
//! Later layers win: files in the order given, then the environment, then flags. Tables are
//! merged, and routes of several files add up; everything else, other lists included, is replaced whole. Every mistake in every layer is
//! reported at once, each with its place. Options stay as written: their driver's schema says
//! what they mean, and [`SourceMap::locate`] says where they are; their secrets are [`crate::secret`]'s.

mod admin;
mod check;
mod check_devices;
mod check_interceptors;
mod connection;
mod credentials;
mod device;
mod document;
mod error;
mod forms;
mod inherit;
pub mod model;
mod overrides;
mod parse_toml;
mod parse_yaml;
mod plugin;
mod position;
mod reference;
mod route;
mod strict;
mod target;
mod tree;
mod upstream;

use std::path::{Path, PathBuf};

pub use crate::units::{ByteSize, Timespan, UnitError};
pub use check::check_alone;
pub use device::{Link, PathProblem};
pub use error::{ConfigError, ConfigErrors};
pub use model::Config;
pub use overrides::Overrides;
pub use position::{KeyPath, Origin, Position, SourceMap};
pub use reference::{DevicePath, Reference, ReferenceError, Via, is_name};
pub use strict::from_json;
pub use target::TargetConfig;
pub use tree::Options;

/// A configuration that passed every check that needs no driver.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    /// Where they were written.
    pub sources: SourceMap,
}

impl Loaded {
    /// The folders to search for plugins, each relative to where it was written.
    pub fn plugin_folders(&self) -> Vec<PathBuf> {
        let at = KeyPath::from_iter(["host", "plugins"]);
        let folders = self.config.host.plugins.iter().enumerate();
        folders.map(|(index, folder)| self.file_name(&at.index(index), folder)).collect()
    }

    /// The file that the text `name`, written at `key`, means: `~/` is the home folder, and what
    /// is relative is meant from the folder of the file it was written in.
    pub fn file_name(&self, key: &KeyPath, name: &str) -> PathBuf {
        resolve(&self.sources.base_dir(key), name)
    }
}

/// Layers `files`, in this order, and `overrides`; an absent file is an error. No file at all is
/// the default configuration.
///
/// # Errors
///
/// Every mistake found. A file that cannot be read or parsed ends the search, since what it should
/// have said would be missed all over the others.
pub fn load(files: &[PathBuf], overrides: &Overrides) -> Result<Loaded, ConfigErrors> {
    let mut errors = overrides.errors().to_vec();
    let mut odd = Vec::new();
    let mut sources = SourceMap::default();
    let mut builder = ::config::Config::builder();
    let mut routes = Vec::new();
    for file in files {
        match document::read(file) {
            Ok(mut document) => {
                document.add_routes_to(&mut routes);
                sources.absorb(document.entries);
                odd.extend(document.errors);
                builder = builder.add_source(document.layer);
            }
            Err(more) => errors.extend(more),
        }
    }
    if !errors.is_empty() {
        errors.extend(odd);
        return Err(ConfigErrors::new(errors));
    }
    let mut texts = std::collections::BTreeMap::new();
    for setting in overrides.settings() {
        sources.absorb_value(&setting.path, &setting.origin);
        texts.retain(|path: &KeyPath, _| !path.is_within(&setting.path));
        if let Some(text) = &setting.text {
            texts.insert(setting.path.clone(), text.clone());
        }
    }
    let merged = builder.add_source(overrides.clone()).build();
    let tree = merged.and_then(::config::Config::try_deserialize);
    let tree: serde_json::Value = tree.map_err(|error| {
        let whole = Position::whole(Origin::Default);
        ConfigErrors::new(vec![ConfigError::new(whole, KeyPath::root(), error.to_string())])
    })?;
    let (mut config, mut errors) = strict::deserialize(tree, &sources, texts);
    config.inherit(&mut sources);
    errors.extend(check::check(&config, &sources, &errors));
    errors.extend(odd);
    if errors.is_empty() { Ok(Loaded { config, sources }) } else { Err(ConfigErrors::new(errors)) }
}

/// `name` from the folder `base`, with `~/` replaced by the home folder.
fn resolve(base: &Path, name: &str) -> PathBuf {
    match (name.strip_prefix("~/"), std::env::var_os("HOME")) {
        (Some(below), Some(home)) => Path::new(&home).join(below),
        _ => base.join(name),
    }
}

#[cfg(test)]
mod reference_file_tests;
#[cfg(test)]
mod tests;
