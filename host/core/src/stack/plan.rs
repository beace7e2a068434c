//! From a URI to the drivers that carry it: `wss://h/` is ws over tls over tcp, to port 443.

use super::uri::{EVERY_ADDRESS, StackUri};
use crate::driver::{DriverHandle, Registry};
use jackfield_plugin_api::{Address, Error, ErrorKind, Facets, Query, Result, Role};
use serde_json::{Map, Value};
use std::sync::Arc;

/// The drivers of a stack, top first, and where it goes.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Top first. The last one is a transport, unless something else carries the stack (`via`).
    pub layers: Vec<Arc<DriverHandle>>,
    /// For all of them alike.
    pub address: Address,
    /// Options that stand in the URI itself, for the driver whose query is options.
    pub query_options: Map<String, Value>,
    /// As a person may read it; without a password.
    pub display: String,
}

impl Plan {
    /// Resolves `uri`. With `carried` the stack rides on something given to it, so that its transport
    /// is left out.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for an unknown scheme, [`ErrorKind::Config`] for an order that cannot
    /// be or a missing role.
    pub fn new(uri: &StackUri, registry: &Registry, role: Role, carried: bool) -> Result<Self> {
        let mut layers = expand(uri, registry)?;
        // A path alone names no host that could have a port: http+unix:///run/web.sock.
        let at_host = uri.host.is_some() || uri.path.is_empty();
        let port = uri.port.or_else(|| default_port(uri, &layers, registry).filter(|_| at_host));
        check_order(&layers, uri)?;
        for layer in &layers {
            check_role(layer, role)?;
        }
        check_address(&layers, uri, port, (role, carried))?;
        if carried {
            // A lone transport over a carrier is the carrier itself: tcp via ssh.
            layers.pop();
        }
        let mut address = Address::at_path(uri.path.clone());
        address.host = uri.host.clone().filter(|host| host != EVERY_ADDRESS).unwrap_or_default();
        address.port = port;
        address.query = uri.query.clone();
        address.user = uri.user.clone();
        address.password = uri.password.clone();
        let mut query_options = Map::new();
        if let Some(driver) = layers.iter().find(|layer| layer.manifest.query == Query::Options) {
            for (name, value) in uri.query_pairs() {
                query_options.insert(name.clone(), typed(&driver.manifest.options, &name, value));
            }
            address.query = None;
        }
        Ok(Plan { layers, address, query_options, display: uri.to_string() })
    }

    /// Names of the layers, top first, joined by `+`.
    pub fn stack_name(&self) -> String {
        let names: Vec<&str> = self.layers.iter().map(|layer| layer.name()).collect();
        names.join("+")
    }
}

/// Each scheme of the URI stands for a stack. Only the last one brings its transport and, if it is a
/// driver's own name, what that driver rides on by default: the URI says so for the others.
fn expand(uri: &StackUri, registry: &Registry) -> Result<Vec<Arc<DriverHandle>>> {
    let mut layers: Vec<Arc<DriverHandle>> = Vec::new();
    for (position, name) in uri.layers.iter().enumerate() {
        let entry = registry.scheme(name).map_err(|error| error.with("uri", uri))?;
        if position + 1 < uri.layers.len() && name == entry.driver.name() {
            layers.push(Arc::clone(&entry.driver));
            continue;
        }
        for part in entry.manifest.stack.split('+') {
            let driver = registry.driver(part).map_err(|error| error.with("scheme", name))?;
            if position + 1 == uri.layers.len() || !driver.is_transport() {
                layers.push(Arc::clone(driver));
            }
        }
    }
    Ok(layers)
}

fn check_order(layers: &[Arc<DriverHandle>], uri: &StackUri) -> Result<()> {
    let Some((last, above)) = layers.split_last() else {
        return Err(Error::new(ErrorKind::Config, "a URI needs a scheme").with("uri", uri));
    };
    if let Some(transport) = above.iter().find(|layer| layer.is_transport()) {
        let text = format!("{} is a transport and can only stand last", transport.name());
        return Err(Error::new(ErrorKind::Config, text).with("uri", uri));
    }
    if !last.is_transport() {
        let text = format!("{} needs a carrier, such as +tcp", last.name());
        return Err(Error::new(ErrorKind::Config, text).with("uri", uri));
    }
    Ok(())
}

/// What the transport needs of an address. One that rides on something else connects from there.
fn check_address(
    layers: &[Arc<DriverHandle>],
    uri: &StackUri,
    port: Option<u16>,
    (role, carried): (Role, bool),
) -> Result<()> {
    let wrong = |text: String| Err(Error::new(ErrorKind::Config, text).with("uri", uri));
    if role == Role::Client && uri.host.as_deref() == Some(EVERY_ADDRESS) {
        return wrong("expected a host to connect to; * is for listeners".to_owned());
    }
    let Some(transport) = layers.last() else { return Ok(()) };
    if carried {
        let has_data = !transport.manifest.facets.intersection(Facets::DATA).is_empty();
        let name = transport.name();
        return match layers {
            // It would be left out, and nothing of it with it.
            [_] if !has_data => {
                wrong(format!("{name} connects by itself and cannot go via something"))
            }
            _ => Ok(()),
        };
    }
    if port.is_some() || !transport.manifest.needs_port {
        return Ok(());
    }
    let (name, host) = (transport.name(), uri.host.as_deref().unwrap_or_default());
    let hint = match role {
        Role::Client => "",
        Role::Server => "; port 0 is any free one",
    };
    wrong(format!("expected a port, as in {name}://{host}:2323{hint}"))
}

fn check_role(layer: &DriverHandle, role: Role) -> Result<()> {
    let name = match role {
        Role::Client => "client",
        Role::Server => "server",
    };
    if layer.manifest.roles.iter().any(|have| have == name) {
        return Ok(());
    }
    let verb = if role == Role::Client { "connect" } else { "listen" };
    let text =
        format!("{} cannot {verb}: it is {} only", layer.name(), layer.manifest.roles.join("+"));
    Err(Error::new(ErrorKind::Unsupported, text))
}

/// The port of the scheme that was typed, where several schemes stand for one stack (`dns` and `dot`): it may have none. Else
/// that of the scheme that stands for this very stack, else that of the topmost driver with one.
fn default_port(uri: &StackUri, layers: &[Arc<DriverHandle>], registry: &Registry) -> Option<u16> {
    if let [typed] = uri.layers.as_slice()
        && let Ok(entry) = registry.scheme(typed)
        && registry.schemes().filter(|it| it.manifest.stack == entry.manifest.stack).count() > 1
    {
        return entry.manifest.port;
    }
    let names: Vec<&str> = layers.iter().map(|layer| layer.name()).collect();
    let stack = names.join("+");
    let whole = registry.schemes().find(|entry| entry.manifest.stack == stack);
    let first = || {
        layers.iter().find_map(|layer| layer.manifest.schemes.iter().find_map(|scheme| scheme.port))
    };
    whole.and_then(|entry| entry.manifest.port).or_else(first)
}

/// A text of the URI as the type that the option has.
fn typed(schema: &Value, name: &str, text: String) -> Value {
    let kind = schema.pointer(&format!("/properties/{name}/type"));
    let is = |wanted: &str| match kind {
        Some(Value::String(kind)) => kind == wanted,
        Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == wanted),
        _ => false,
    };
    if (is("integer") || is("number"))
        && let Ok(number) = serde_json::from_str::<serde_json::Number>(&text)
    {
        return Value::Number(number);
    }
    match text.as_str() {
        "true" if is("boolean") => Value::Bool(true),
        "false" if is("boolean") => Value::Bool(false),
        _ => Value::String(text),
    }
}
