//! Plugins that come into a [`Registry`], take the place of others in it, and go.

use super::generation::{Generation, GenerationId, Retirement};
use super::handles::{DriverHandle, HandlerHandle, InterceptorHandle, SchemeEntry};
use super::health::FileHealth;
use super::part::{OfferedUsers, PartNow, PluginPart};
use super::registry::{PartKey, Registry};
use super::sentinel::UsedPlugin;
use jackfield_plugin_api::load::Plugin;
use jackfield_plugin_api::watch::{Owner, OwnerName};
use jackfield_plugin_api::{Error, ErrorKind, Origin, PluginManifest, Result};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

/// A plugin of a registry.
#[derive(Clone, Debug)]
pub(super) struct EnteredPlugin {
    pub(super) generation: Arc<Generation>,
    parts: Vec<PartKey>,
    schemes: Vec<String>,
    /// Those of its drivers that are transports.
    transports: Vec<String>,
}

/// What was loaded of one plugin so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Numbers {
    last: u32,
    /// The sha256 of each content: its code stays in memory for ever.
    images: BTreeSet<String>,
}

/// A plugin whose options were taken by all that use its parts.
#[derive(Debug)]
pub(super) struct OfferedPlugin {
    generation: Arc<Generation>,
    manifest: PluginManifest,
    parts: Vec<(Arc<PluginPart>, Arc<PartNow>, OfferedUsers)>,
}

impl EnteredPlugin {
    /// The names of what it has, schemes included.
    pub(super) fn names(&self) -> impl Iterator<Item = (&'static str, String)> {
        let schemes = self.schemes.iter().map(|scheme| ("scheme", scheme.clone()));
        self.parts.iter().cloned().chain(schemes)
    }

    /// The names of its drivers, handlers and interceptors.
    pub(super) fn part_names(&self) -> Vec<String> {
        self.parts.iter().map(|(_, name)| name.clone()).collect()
    }

    /// The file that it was loaded from.
    pub(super) fn file(&self) -> &Path {
        &self.generation.id.file
    }

    /// Those of its drivers that are transports.
    pub(super) fn transports(&self) -> &[String] {
        &self.transports
    }
}

impl Registry {
    /// How many different contents of a plugin are in memory, `sha256` counted as one of them.
    pub(super) fn images_with(&self, plugin: &str, sha256: &str) -> usize {
        let numbers = self.numbers.get(plugin);
        let new = numbers.is_none_or(|numbers| !numbers.images.contains(sha256));
        numbers.map_or(0, |numbers| numbers.images.len()) + usize::from(new)
    }

    /// Adds a plugin that is linked into this binary, as a bench or an embedding program does. Its
    /// panics end their calls as others do, but are not counted: its code cannot be told from the
    /// host's.
    pub fn add_plugin(&mut self, plugin: &Plugin, manifest: PluginManifest) {
        let id = self.next_id(&manifest, "", Path::new(""));
        let generation = Generation::new(id, plugin.clone(), &Arc::default(), None, self.common());
        let parts = self.parts_of(&Arc::new(generation), &manifest);
        let generation = parts.first().map(|(_, now)| Arc::clone(&now.generation));
        // One that has nothing is not used either.
        let Some(generation) = generation else { return };
        for (part, now) in &parts {
            part.place(now);
        }
        self.enter(&generation, manifest, parts.into_iter().map(|(part, _)| part).collect());
    }

    fn next_id(&mut self, manifest: &PluginManifest, sha256: &str, file: &Path) -> GenerationId {
        let numbers = self.numbers.entry(manifest.name.clone()).or_default();
        numbers.last += 1;
        numbers.images.insert(sha256.to_owned());
        GenerationId {
            plugin: manifest.name.clone(),
            version: manifest.version.clone(),
            generation: numbers.last,
            sha256: sha256.to_owned(),
            file: file.to_owned(),
        }
    }

    /// Gives a plugin that runs the options of all that use what it has.
    ///
    /// # Errors
    /// The first that it does not accept; nothing has changed then.
    pub(super) async fn offer(
        &mut self,
        plugin: Plugin,
        manifest: PluginManifest,
        (sha256, file): (&str, &Path),
        health: &Arc<FileHealth>,
    ) -> Result<OfferedPlugin> {
        let in_use = self.in_use.plugin(UsedPlugin {
            name: manifest.name.clone(),
            sha256: sha256.to_owned(),
            file: file.to_owned(),
        });
        let id = self.next_id(&manifest, sha256, file);
        let generation = Generation::new(id, plugin, health, Some(in_use), self.common());
        let generation = Arc::new(generation);
        let mut parts = Vec::new();
        for (part, now) in self.parts_of(&generation, &manifest) {
            let becoming = part.offer(&now).await?;
            parts.push((part, now, becoming));
        }
        Ok(OfferedPlugin { generation, manifest, parts })
    }

    /// Takes a plugin: everything that uses what it has becomes one of it. Takes the place of the one that was loaded
    /// from the same file, if there is one; answers whether there was.
    pub(super) async fn take(&mut self, offered: OfferedPlugin) -> Option<EnteredPlugin> {
        let OfferedPlugin { generation, manifest, parts } = offered;
        let replaced = self.take_out(&generation.id.file, Retirement::Replaced);
        let mut taken = Vec::new();
        for (part, now, becoming) in parts {
            part.take(&now, becoming).await;
            taken.push(part);
        }
        let file = generation.id.file.clone();
        self.enter(&generation, manifest, taken);
        if let Some(replaced) = &replaced {
            self.leave(replaced, &file, Retirement::Replaced);
        }
        replaced
    }

    /// Takes the plugin of a file away: nothing new is opened by it.
    pub(super) fn remove(&mut self, file: &Path) -> Option<EnteredPlugin> {
        let removed = self.take_out(file, Retirement::Removed)?;
        self.leave(&removed, file, Retirement::Removed);
        Some(removed)
    }

    fn take_out(&mut self, file: &Path, why: Retirement) -> Option<EnteredPlugin> {
        let at = self.plugins.iter().position(|plugin| plugin.file() == file)?;
        let plugin = self.plugins.remove(at);
        self.retired.retain(|retired| retired.running().is_some());
        self.retired.push(plugin.generation.retired(why));
        for (kind, name) in &plugin.parts {
            match *kind {
                "driver" => drop(self.drivers.remove(name)),
                "handler" => drop(self.handlers.remove(name)),
                _ => drop(self.interceptors.remove(name)),
            }
        }
        for scheme in &plugin.schemes {
            if let Some(entry) = self.schemes.remove(scheme) {
                self.lost_schemes.insert(scheme.clone(), entry.driver.name().to_owned());
            }
        }
        Some(plugin)
    }

    /// What `plugin` had, and no other has now, is not there any more.
    fn leave(&self, plugin: &EnteredPlugin, file: &Path, why: Retirement) {
        for key in plugin.parts.iter().filter(|key| !self.has(key)) {
            let Some(part) = self.parts.get(key) else { continue };
            let (kind, name) = key;
            let file = file.display();
            let text = match why {
                Retirement::Replaced => format!(
                    "the {kind} {name} is gone: its plugin file {file} was replaced by one without it"
                ),
                Retirement::Removed => {
                    format!("the {kind} {name} is gone: its plugin file {file} was removed")
                }
            };
            part.leave(&Error::new(ErrorKind::NotFound, text).with_origin(Origin::Internal));
        }
    }

    fn has(&self, (kind, name): &PartKey) -> bool {
        match *kind {
            "driver" => self.drivers.contains_key(name),
            "handler" => self.handlers.contains_key(name),
            _ => self.interceptors.contains_key(name),
        }
    }

    /// The parts of a plugin, in the order of its drivers, handlers and interceptors.
    fn parts_of(
        &mut self,
        generation: &Arc<Generation>,
        manifest: &PluginManifest,
    ) -> Vec<(Arc<PluginPart>, Arc<PartNow>)> {
        let drivers = (0..).zip(&manifest.drivers).map(|(at, it)| ("driver", at, &it.name));
        let handlers = (0..).zip(&manifest.handlers).map(|(at, it)| ("handler", at, &it.name));
        let interceptors =
            (0..).zip(&manifest.interceptors).map(|(at, it)| ("interceptor", at, &it.name));
        let all = drivers.chain(handlers).chain(interceptors);
        let parts = all.map(|(kind, index, name)| {
            let plugin = manifest.name.clone();
            let owner = Owner::new(OwnerName { plugin, kind, name: name.clone() });
            self.watchdog.iter().for_each(|watchdog| watchdog.add(owner, &generation.health));
            let now = PartNow { generation: Arc::clone(generation), owner, index };
            let part = self.parts.entry((kind, name.clone()));
            let part = part.or_insert_with(|| Arc::new(PluginPart::new(kind, name)));
            (Arc::clone(part), Arc::new(now))
        });
        parts.collect()
    }

    /// Enters handles by name; `parts` are in the order of [`Registry::parts_of`].
    fn enter(
        &mut self,
        generation: &Arc<Generation>,
        manifest: PluginManifest,
        parts: Vec<Arc<PluginPart>>,
    ) {
        let keys = parts.iter().map(|part| (part.kind, part.name.clone())).collect();
        let owner = |part: &PluginPart| part.owner();
        let (plugin_name, plugin_version) = (manifest.name, manifest.version);
        let (mut schemes, mut transports) = (Vec::new(), Vec::new());
        let mut parts = parts.into_iter();
        for (driver, part) in manifest.drivers.into_iter().zip(&mut parts) {
            let handle = Arc::new(DriverHandle {
                plugin_name: plugin_name.clone(),
                plugin_version: plugin_version.clone(),
                owner: owner(&part),
                part,
                manifest: driver,
            });
            handle.part.describe(&handle);
            for scheme in &handle.manifest.schemes {
                let entry = SchemeEntry { manifest: scheme.clone(), driver: Arc::clone(&handle) };
                schemes.push(scheme.name.clone());
                self.schemes.insert(scheme.name.clone(), entry);
            }
            transports.extend(handle.is_transport().then(|| handle.name().to_owned()));
            self.drivers.insert(handle.name().to_owned(), handle);
        }
        for (handler, part) in manifest.handlers.into_iter().zip(&mut parts) {
            let (plugin_name, owner) = (plugin_name.clone(), owner(&part));
            let handle = HandlerHandle { manifest: handler, plugin_name, owner, part };
            self.handlers.insert(handle.manifest.name.clone(), Arc::new(handle));
        }
        for (interceptor, part) in manifest.interceptors.into_iter().zip(&mut parts) {
            let handle = InterceptorHandle {
                plugin_name: plugin_name.clone(),
                plugin_version: plugin_version.clone(),
                owner: owner(&part),
                part,
                manifest: interceptor,
            };
            self.interceptors.insert(handle.manifest.name.clone(), Arc::new(handle));
        }
        let generation = Arc::clone(generation);
        self.plugins.push(EnteredPlugin { generation, parts: keys, schemes, transports });
    }
}
