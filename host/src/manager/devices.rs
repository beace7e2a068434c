//! Devices and their paths, each from its table of the configuration.

use super::build::connect_limit;
use super::define::policy;
use super::parts::{Parts, StackAt};
use crate::config::model::{LeaseConfig, ObserversConfig, PathConfig};
use crate::config::{Config, ConfigError, KeyPath, Options};
use crate::connection::{Lives, Target};
use crate::device::lease::Rules;
use crate::device::{Device, Devices, Exclusive, Observers, Path};
use crate::driver::Registry;
use crate::nearest::did_you_mean;
use crate::secret::SecretRef;
use crate::stack::{Plan, Stack, login};
use jackfield_plugin_api::Role;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A path of a device, or `None` with its mistakes remembered.
pub(super) async fn path(
    parts: &mut Parts<'_>,
    config: &Config,
    (device, name): (&str, &str),
    lives: &Arc<Lives>,
) -> Option<Path> {
    let path = config.devices.get(device)?.paths.get(name)?;
    let via = match &path.via {
        // What carries it has mistakes of its own, which were reported.
        Some(via) => Some(parts.carrier(via)?),
        None => None,
    };
    let key = KeyPath::from_iter(["devices", device, "paths", name]);
    let mut stacks = stacks(parts, config, (device, name), path, &key).await?.into_iter();
    let target = Target::new(stacks.next()?, via).or_else(stacks.collect());
    let target = target.intercepted(parts.interceptors.listed(&path.interceptors));
    let policy = policy(connect_limit(config), &path.connection());
    if !path.exclusive {
        return Some(Path::shared(device, name, target, policy).counted(lives));
    }
    let full = format!("devices.{device}.{name}");
    let exclusive = Exclusive::new(&full, rules(path.lease.unwrap_or_default()));
    let ObserversConfig { max, buffer } = path.observers.unwrap_or_default();
    let buffer = usize::try_from(buffer.0).unwrap_or(usize::MAX);
    let observers = Observers::new(&full, max as usize, buffer);
    let path = Path::exclusive(device, name, target, policy, exclusive, observers);
    Some(path.counted(lives))
}

fn rules(lease: LeaseConfig) -> Rules {
    let LeaseConfig { timeout, max_waiters, expiry } = lease;
    Rules {
        timeout: timeout.0,
        max_waiters: max_waiters as usize,
        expiry: (!expiry.is_zero()).then_some(expiry.0),
        ..Rules::default()
    }
}

/// The stack with each of its credentials, in the order they are tried.
async fn stacks(
    parts: &mut Parts<'_>,
    config: &Config,
    (device, name): (&str, &str),
    path: &PathConfig,
    key: &KeyPath,
) -> Option<Vec<Stack>> {
    let names = config.credentials_for(device, name);
    let plan = Plan::new(&path.uri, parts.registry, Role::Client, path.via.is_some());
    let (Ok(plan), false) = (plan, names.is_empty()) else {
        let at = stack_at(key, path, &path.options, path.login.as_ref());
        return parts.stack(&at).await.map(|stack| vec![stack]);
    };
    let mut stacks = Vec::new();
    for name in &names {
        let credentials = absolute(parts, name, &config.credentials.get(*name)?.options);
        let merged = merge(&plan, &path.options, &credentials);
        let before = parts.errors.len();
        let options = Options(merged.options);
        let login = path.login.as_ref().map(|login| known(login, &credentials));
        stacks.extend(parts.stack(&stack_at(key, path, &options, login.as_ref())).await);
        for error in &mut parts.errors[before..] {
            blame(error, &key.key("options"), &merged.from, name, &parts.loaded.sources);
        }
    }
    (stacks.len() == names.len()).then_some(stacks)
}

/// What is said when logging in, with name and password of `credentials` where it has none.
fn known(login: &Options, credentials: &Map<String, Value>) -> Options {
    let mut login = login.clone();
    for (key, names) in [("username", &["username", "user"][..]), ("password", &["password"])] {
        if let Some(value) = names.iter().find_map(|name| credentials.get(*name)) {
            login.0.entry(key).or_insert_with(|| value.clone());
        }
    }
    login
}

fn stack_at<'a>(
    key: &KeyPath,
    path: &'a PathConfig,
    options: &'a Options,
    login: Option<&'a Options>,
) -> StackAt<'a> {
    StackAt {
        key: key.clone(),
        uri_key: key.key("uri"),
        uri: &path.uri,
        options,
        role: Role::Client,
        via: path.via.as_ref(),
        login: login.map(|login| (key.key("login"), login)),
    }
}

/// Files of secrets are meant from the folder of the file that the credentials are written in.
fn absolute(parts: &Parts<'_>, name: &str, options: &Map<String, Value>) -> Map<String, Value> {
    let key = KeyPath::from_iter(["credentials", name]);
    let mut options = options.clone();
    for (option, value) in &mut options {
        if let Some(SecretRef::File(file)) = SecretRef::detect(value) {
            let file = parts.loaded.file_name(&key.key(option), &file);
            *value = json!({ "file": file.to_string_lossy() });
        }
    }
    options
}

/// Options with credentials in them.
struct Merged {
    options: Map<String, Value>,
    /// Where in the options credentials stand, and which they are.
    from: Vec<(Vec<String>, String)>,
}

/// Gives each of `credentials` to the topmost driver that has such an option; what stands in `own`
/// wins, and what no driver of the stack has is left out.
fn merge(plan: &Plan, own: &Map<String, Value>, credentials: &Map<String, Value>) -> Merged {
    let mut merged = Merged { options: own.clone(), from: Vec::new() };
    for (name, value) in credentials {
        let taker = plan.layers.iter().enumerate().find_map(|(position, layer)| {
            let option = option_of(&layer.manifest.options, name)?;
            let below = (position > 0).then(|| layer.name().to_owned());
            Some(below.into_iter().chain([option.to_owned()]).collect::<Vec<_>>())
        });
        let Some(place) = taker else { continue };
        let table = match place.as_slice() {
            [layer, _] => match merged.options.entry(layer.clone()).or_insert_with(|| json!({})) {
                Value::Object(table) => table,
                // It has a mistake of its own.
                _ => continue,
            },
            _ => &mut merged.options,
        };
        let Some(option) = place.last().filter(|option| !table.contains_key(*option)) else {
            continue;
        };
        table.insert(option.clone(), value.clone());
        merged.from.push((place, name.clone()));
    }
    merged
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

/// Puts a mistake where it was written: in the credentials that the option is from.
fn blame(
    error: &mut ConfigError,
    options: &KeyPath,
    from: &[(Vec<String>, String)],
    credentials: &str,
    sources: &crate::config::SourceMap,
) {
    for (place, name) in from {
        let at = place.iter().fold(options.clone(), |key, step| key.key(step));
        if error.key.is_within(&at) {
            error.key = KeyPath::from_iter(["credentials", credentials, name]);
            error.position = sources.locate(&error.key);
        }
    }
}

/// A credential that no driver at all has an option for is a mistake, wherever it is used.
pub(super) fn unknown_credentials(parts: &mut Parts<'_>, config: &Config) {
    let used: Vec<&str> = config
        .devices
        .iter()
        .flat_map(|(device, with)| with.paths.keys().map(move |path| (device, path)))
        .flat_map(|(device, path)| config.credentials_for(device, path))
        .collect();
    let known = known_options(parts.registry);
    for (name, credentials) in &config.credentials {
        let unknown =
            |option: &&String| !known.iter().any(|schema| option_of(schema, option).is_some());
        for option in credentials.options.keys().filter(unknown) {
            if !used.contains(&name.as_str()) {
                continue;
            }
            let key = KeyPath::from_iter(["credentials", name, option]);
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

fn known_options(registry: &Registry) -> Vec<Value> {
    let drivers = registry.drivers().map(|driver| driver.manifest.options.clone());
    // Logging in takes a name and a password too.
    drivers.chain([login::schema().clone()]).collect()
}

/// All devices whose paths are all there.
pub(super) fn devices(
    parts: &mut Parts<'_>,
    config: &Config,
    mut paths: BTreeMap<String, Vec<Path>>,
) -> Devices {
    let mut devices = Devices::default();
    for (name, device) in &config.devices {
        let made = paths.remove(name).unwrap_or_default();
        if made.len() < device.paths.len() {
            continue;
        }
        // A default path that was left out, as it is not needed, is none.
        let default = device.default.as_deref().filter(|path| device.paths.contains_key(*path));
        let made = Device::new(name, made, default).and_then(|made| {
            let made = made.with_aliases(device.aliases.clone());
            devices.add(made.with_labels(device.labels.clone()))
        });
        if let Err(error) = made {
            parts.fault(&KeyPath::from_iter(["devices", name]), &error);
        }
    }
    devices
}
