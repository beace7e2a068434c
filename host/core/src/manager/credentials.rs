//! [`Credentials`]: what lets targets in, and how it becomes options of their drivers.

use super::parts::Parts;
use super::target_builder::BuildFault;
use crate::config::model::CredentialsConfig;
use crate::config::{Config, ConfigError, KeyPath, Loaded, Options};
use crate::driver::Registry;
use crate::nearest::did_you_mean;
use crate::secret::SecretRef;
use crate::stack::{Plan, login};
use jackfield_plugin_api::{Error, ErrorKind, Result};
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// `[credentials]`, by name.
#[derive(Debug, Default)]
pub(super) struct Credentials(BTreeMap<String, CredentialsConfig>);

impl Credentials {
    /// Those of a configuration. The files of their secrets are meant from the folder of the file that
    /// they are written in.
    pub(super) fn of(loaded: &Loaded) -> Self {
        let mut all = loaded.config.credentials.clone();
        for (name, credentials) in &mut all {
            let key = KeyPath::from_iter(["credentials", name]);
            place_files(loaded, &key, &mut credentials.options);
            for (role, options) in &mut credentials.roles {
                place_files(loaded, &key.key("roles").key(role), options);
            }
        }
        Credentials(all)
    }

    /// The names of those that are tried where `first` is named, in their order.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] with the nearest name.
    pub(super) fn chain(&self, first: &str) -> Result<Vec<&str>> {
        let Some((first, found)) = self.0.get_key_value(first) else {
            return Err(self.missing(first));
        };
        let fallback = found.fallback.iter().map(String::as_str);
        Ok(std::iter::once(first.as_str()).chain(fallback).collect())
    }

    /// Those of a path of a device: the ones it names, or `default` if there are such.
    pub(super) fn of_path(&self, named: Option<&str>) -> Result<Vec<&str>> {
        match named {
            Some(first) => self.chain(first),
            None if self.0.contains_key("default") => self.chain("default"),
            None => Ok(Vec::new()),
        }
    }

    /// What those of that name say, with what they say for `role`.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] with the nearest name.
    pub(super) fn get(&self, name: &str, role: Option<&str>) -> Result<Cow<'_, Options>> {
        let found = self.0.get(name).ok_or_else(|| self.missing(name))?;
        let Some(role) = role else { return Ok(Cow::Borrowed(&found.options)) };
        let Some(of_role) = found.roles.get(role) else {
            let near = did_you_mean(role, found.roles.keys());
            let hint = near.map(|near| format!(" (did you mean {near:?}?)")).unwrap_or_default();
            let text = format!("the credentials {name:?} have no role {role:?}{hint}");
            return Err(Error::new(ErrorKind::NotFound, text));
        };
        let mut options = found.options.clone();
        options.0.extend(of_role.0.clone());
        Ok(Cow::Owned(options))
    }

    /// What is said when logging in, with what it names put in place: name and password of the credentials `own`
    /// where it has none, those of the credentials that are asked for first, and passwords of roles of `named`.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] with the nearest name.
    pub(super) fn login(
        &self,
        login: &Options,
        named: Option<(&str, &Options)>,
    ) -> Result<Options> {
        let mut login = login.clone();
        if let Some((name, own)) = named {
            add_pair(&mut login.0, own);
            let roles = self.0.get(name).map(|found| &found.roles);
            for line in list(&mut login, "then").filter_map(Value::as_object_mut) {
                let role = line.get("role").and_then(Value::as_str);
                let of_role = role.and_then(|role| roles?.get(role)?.get("password")).cloned();
                if let Some(password) = of_role {
                    line.entry("password").or_insert(password);
                }
            }
        }
        for first in list(&mut login, "first") {
            if let Some(name) = first.as_str() {
                let mut pair = Map::new();
                add_pair(&mut pair, self.get(name, None)?.as_ref());
                *first = Value::Object(pair);
            }
        }
        Ok(login)
    }

    fn missing(&self, name: &str) -> Error {
        let near = did_you_mean(name, self.0.keys());
        let hint = near.map(|near| format!(" (did you mean {near:?}?)")).unwrap_or_default();
        Error::new(ErrorKind::NotFound, format!("there are no credentials {name:?}{hint}"))
    }
}

/// Files of secrets are meant from the folder of the file that they are written in.
fn place_files(loaded: &Loaded, at: &KeyPath, options: &mut Options) {
    for (option, value) in &mut options.0 {
        if let Some(SecretRef::File(file)) = SecretRef::detect(value) {
            let file = loaded.file_name(&at.key(option), &file);
            let file = std::path::absolute(&file).unwrap_or(file);
            *value = json!({ "file": file.to_string_lossy() });
        }
    }
}

/// Name and password of `credentials`, where `login` has none.
fn add_pair(login: &mut Map<String, Value>, credentials: &Options) {
    for (key, names) in [("username", &["username", "user"][..]), ("password", &["password"])] {
        if let Some(value) = names.iter().find_map(|name| credentials.get(*name)) {
            login.entry(key).or_insert_with(|| value.clone());
        }
    }
}

/// The entries of a list of `options`.
fn list<'a>(options: &'a mut Options, key: &str) -> impl Iterator<Item = &'a mut Value> {
    options.0.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten()
}

/// Options with credentials in them.
pub(super) struct Merged {
    pub(super) options: Options,
    /// Where in the options credentials stand, and which they are.
    from: Vec<(Vec<String>, String)>,
}

impl Merged {
    /// Gives each of `credentials` to the topmost driver that has such an option; what stands in `own`
    /// wins, and what no driver of the stack has is left out.
    pub(super) fn new(plan: &Plan, own: &Options, credentials: &Options) -> Self {
        let mut merged = Merged { options: own.clone(), from: Vec::new() };
        for (name, value) in &credentials.0 {
            let taker = plan.layers.iter().enumerate().find_map(|(position, layer)| {
                let option = option_of(&layer.manifest.options, name)?;
                let below = (position > 0).then(|| layer.name().to_owned());
                Some(below.into_iter().chain([option.to_owned()]).collect::<Vec<_>>())
            });
            if let Some(place) = taker {
                merged.put(place, name, value);
            }
        }
        merged
    }

    fn put(&mut self, place: Vec<String>, name: &str, value: &Value) {
        let table: &mut Map<String, Value> = match place.as_slice() {
            [layer, _] => {
                let layer = self.options.0.entry(layer.clone()).or_insert_with(|| json!({}));
                match layer {
                    Value::Object(table) => table,
                    // It has a mistake of its own.
                    _ => return,
                }
            }
            _ => &mut self.options.0,
        };
        let Some(option) = place.last().filter(|option| !table.contains_key(*option)) else {
            return;
        };
        table.insert(option.clone(), value.clone());
        self.from.push((place, name.to_owned()));
    }

    /// Puts a mistake where it was written: in the credentials that the option is from.
    pub(super) fn blame(
        &self,
        mut fault: BuildFault,
        key: &KeyPath,
        credentials: &str,
    ) -> BuildFault {
        let options = key.key("options");
        for (place, name) in &self.from {
            let at = place.iter().fold(options.clone(), |key, step| key.key(step));
            if fault.key.is_within(&at) {
                fault.key = KeyPath::from_iter(["credentials", credentials, name]);
                fault.is_name = false;
            }
        }
        fault
    }
}

/// The option that `schema` has for a credential. Some drivers say `user` and some `username`.
fn option_of<'n>(schema: &Value, name: &'n str) -> Option<&'n str> {
    let other = match name {
        "username" => "user",
        "user" => "username",
        other => other,
    };
    let has = |name: &&str| schema["properties"].get(name).is_some();
    Some(name).filter(has).or(Some(other).filter(has))
}

/// A credential that no driver at all has an option for is a mistake, wherever it is used.
pub(super) fn unknown_options(parts: &mut Parts<'_>, registry: &Registry, config: &Config) {
    if config.credentials.is_empty() {
        return;
    }
    let used = used(config);
    let drivers: Vec<_> = registry.drivers().collect();
    // Logging in takes a name and a password too.
    let known = drivers.iter().map(|driver| &driver.manifest.options).chain([login::schema()]);
    let known: Vec<&Value> = known.collect();
    for (name, credentials) in &config.credentials {
        let unknown =
            |option: &&String| !known.iter().any(|schema| option_of(schema, option).is_some());
        let at = KeyPath::from_iter(["credentials", name]);
        let own = credentials.options.keys().map(|option| (option, at.key(option)));
        let roles = credentials.roles.iter().flat_map(|(role, options)| {
            let at = at.key("roles").key(role);
            options.keys().map(move |option| (option, at.key(option)))
        });
        for (option, key) in own.chain(roles).filter(|(option, _)| unknown(option)) {
            if !used.contains(&name.as_str()) {
                continue;
            }
            let options = known.iter().filter_map(|schema| schema["properties"].as_object());
            let near = did_you_mean(option, options.flat_map(|known| known.keys()));
            let error = ConfigError::new(
                parts.loaded.sources.locate_key(&key),
                key,
                "no driver that is loaded has such an option",
            );
            parts.errors.push(error.suggest(near.map(str::to_owned)));
        }
    }
}

/// The names of credentials that something uses.
fn used(config: &Config) -> Vec<&str> {
    let paths = config
        .devices
        .iter()
        .flat_map(|(device, with)| with.paths.keys().map(move |path| (device, path)))
        .flat_map(|(device, path)| config.credentials_for(device, path));
    let targets = config.upstreams.values().flat_map(|upstream| &upstream.targets);
    let targets = targets.filter_map(|target| target.credentials.as_deref());
    let targets = targets.flat_map(|first| config.credentials_from(first));
    paths.chain(targets).collect()
}

#[cfg(test)]
#[path = "credentials_tests.rs"]
mod tests;
