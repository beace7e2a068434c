//! Configuration: files, environment and flags, layered by the `config` crate, read strictly into the options of
//! each layer, which every layer has of its own.
//!
//! ```text
//! files ─ layer ─ document ─┐ (includes, variables; parse_toml, parse_yaml: values, and where each key is)
//! environment ──────────────┼─ config crate ─ strict ─ check ─ Loaded ─┐
//! flags ─ overrides ────────┘  (templates)       the one before: Loaded ┴─ diff ─ Changes
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
pub mod diff;
mod discover;
mod document;
mod error;
mod forms;
mod inherit;
mod layer;
pub mod model;
mod names;
mod overrides;
mod parse_toml;
mod parse_yaml;
mod plugin;
mod position;
mod reference;
mod reload;
mod route;
mod strict;
mod target;
mod templates;
mod traces;
mod tree;
mod upstream;
mod variables;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use diff::ObjectId;
use document::Document;
use layer::FilesRead;
use sha2::Digest;

pub use crate::units::{ByteSize, Timespan, UnitError};
pub use check::check_alone;
pub use device::{Link, PathProblem};
pub use discover::DiscoverOptions;
pub use error::{ConfigError, ConfigErrors};
pub use model::Config;
pub use overrides::Overrides;
pub use position::{KeyPath, Origin, Position, SourceMap};
pub use reference::{DevicePath, Reference, ReferenceError, Via, is_name};
pub use reload::{DrainOptions, PluginFilesOptions, ReloadOptions};
pub use strict::from_json;
pub use target::TargetConfig;
pub use templates::Extends;
pub use tree::Options;

/// A configuration that passed every check that needs no driver.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    /// Where they were written.
    pub sources: SourceMap,
    /// The same as a tree, as it was written, to see what a change is of.
    tree: Options,
    /// The ids of its routes, in their order. They are asked for again and again, and take long to write.
    route_ids: Vec<ObjectId>,
    files: Vec<PathBuf>,
    /// Those of them that have nothing in them.
    empty: Vec<PathBuf>,
    digest: [u8; 32],
}

impl Loaded {
    /// The ids of its routes, in their order.
    pub(crate) fn route_ids(&self) -> &[ObjectId] {
        // A command may have taken all routes out.
        self.route_ids.get(..self.config.routes.len()).unwrap_or(&self.route_ids)
    }

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

    /// The files that were read, included ones too, in their order.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// What tells whether anything in the files has changed since, as [`ConfigFiles::digest`].
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// With the keys that only a restart of the host changes, as `changes` says, as `running` has them.
    #[must_use]
    pub(crate) fn keeping(self: Arc<Self>, running: &Loaded, changes: &diff::Changes) -> Arc<Self> {
        if changes.kept().next().is_none() {
            return self;
        }
        let mut kept = Arc::unwrap_or_clone(self);
        let before = serde_json::Value::Object(running.tree.0.clone());
        let mut tree = serde_json::Value::Object(std::mem::take(&mut kept.tree.0));
        for (object, key) in changes.kept() {
            let keys = std::iter::once(object.kind.table()).chain(key.key.split('.'));
            let keys: Vec<String> = keys.map(str::to_owned).collect();
            diff::put(&mut tree, &keys, diff::at(&before, &keys).cloned());
        }
        if let Some(host) = tree.get("host").cloned() {
            // What was read whole before and put together of what was is read again.
            kept.config.host = serde_json::from_value(host).unwrap_or(kept.config.host);
        }
        kept.tree = table(tree);
        Arc::new(kept)
    }
}

/// Files as they were read, with what they include.
pub struct ConfigFiles {
    documents: Vec<Document>,
    errors: Vec<ConfigError>,
    read: FilesRead,
}

/// Names of files only: what is in them may be secret.
impl std::fmt::Debug for ConfigFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(&self.read.files).finish()
    }
}

impl ConfigFiles {
    /// Reads `files`, in this order. What cannot be read is told by [`ConfigFiles::load`].
    pub fn read(files: &[PathBuf]) -> Self {
        let mut all =
            ConfigFiles { documents: Vec::new(), errors: Vec::new(), read: FilesRead::default() };
        for file in files {
            match layer::read(file, &mut all.read) {
                Ok(document) => all.documents.push(document),
                Err(errors) => all.errors.extend(errors),
            }
        }
        all
    }

    /// What tells whether anything in the files has changed, their names included.
    pub fn digest(&self) -> [u8; 32] {
        self.read.digest.clone().finalize().into()
    }

    /// The folders in which a change may be one of the configuration.
    pub fn folders(&self) -> impl Iterator<Item = &Path> {
        self.read.folders.iter().map(PathBuf::as_path)
    }

    /// Whether one of the files has nothing in it, and had something when `before` was read: as while it is written.
    pub fn are_emptied(&self, before: &Loaded) -> bool {
        let had = |file: &PathBuf| before.files.contains(file) && !before.empty.contains(file);
        self.read.empty.iter().any(had)
    }

    /// Layers what was read, and `overrides` over it.
    ///
    /// # Errors
    /// As [`load`].
    pub fn load(self, overrides: &Overrides) -> Result<Loaded, ConfigErrors> {
        let mut errors = overrides.errors().to_vec();
        errors.extend(self.errors);
        let odd = self.documents.iter().flat_map(|document| document.errors.clone()).collect();
        if !errors.is_empty() {
            errors.extend::<Vec<ConfigError>>(odd);
            return Err(ConfigErrors::new(errors));
        }
        let digest = self.read.digest.clone().finalize().into();
        let loaded = merge(self.documents, overrides, odd)?;
        let FilesRead { files, empty, .. } = self.read;
        Ok(Loaded { files, empty, digest, ..loaded })
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
    ConfigFiles::read(files).load(overrides)
}

/// Merges layers; `odd` are mistakes that left the rest of their files readable.
fn merge(
    documents: Vec<Document>,
    overrides: &Overrides,
    odd: Vec<ConfigError>,
) -> Result<Loaded, ConfigErrors> {
    let mut sources = SourceMap::default();
    let mut builder = ::config::Config::builder();
    let (mut routes, mut texts) = (Vec::new(), BTreeMap::new());
    for mut document in documents {
        document.add_routes_to(&mut routes);
        for entry in document.entries.iter().filter(|entry| !entry.is_table) {
            texts.remove(&entry.path);
        }
        texts.extend(document.texts);
        sources.absorb(document.entries);
        builder = builder.add_source(document.layer);
    }
    for setting in overrides.settings() {
        sources.absorb_value(&setting.path, &setting.origin);
        texts.retain(|path: &KeyPath, _| !path.is_within(&setting.path));
        if let Some(text) = &setting.text {
            texts.insert(setting.path.clone(), text.clone());
        }
    }
    let merged = builder.add_source(overrides.clone()).build();
    let tree = merged.and_then(::config::Config::try_deserialize);
    let mut tree: serde_json::Value = tree.map_err(|error| {
        let whole = Position::whole(Origin::Default);
        ConfigErrors::new(vec![ConfigError::new(whole, KeyPath::root(), error.to_string())])
    })?;
    let misplaced = templates::expand(&mut tree, &mut sources, &mut texts);
    let (mut config, mut errors) = strict::deserialize(&mut tree, &sources, texts);
    errors.extend(misplaced);
    config.inherit(&mut sources);
    errors.extend(check::check(&config, &sources, &errors));
    // What is wrong with a value whose variable is missing is told once.
    errors.retain(|error| !odd.iter().any(|odd| odd.key == error.key));
    errors.extend(odd);
    if !errors.is_empty() {
        return Err(ConfigErrors::new(errors));
    }
    let route_ids = ObjectId::of_routes(&config);
    Ok(Loaded { config, sources, tree: table(tree), route_ids, ..Loaded::default() })
}

/// A tree that was read as a table.
fn table(tree: serde_json::Value) -> Options {
    match tree {
        serde_json::Value::Object(table) => Options(table),
        _ => Options::default(),
    }
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
