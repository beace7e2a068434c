//! What authors write of a plugin: constants made by constructors, checked when the plugin is compiled.

use super::{Kind, Query, RuntimeMode};
use crate::facets::Facets;
use crate::interceptor::InterceptorInfo;

/// One URI scheme: `wss` is the stack `ws+tls+tcp` with port 443.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Scheme {
    /// Lower case.
    pub name: &'static str,
    /// The whole stack it stands for, top first, joined by `+`.
    pub stack: &'static str,
    /// Port when the URI has none.
    pub port: Option<u16>,
}

impl Scheme {
    /// A scheme without a port.
    pub const fn new(name: &'static str, stack: &'static str) -> Self {
        Scheme { name, stack, port: None }
    }

    /// Sets the port when the URI has none.
    #[must_use]
    pub const fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }
}

/// A driver's constants.
///
/// ```
/// use jackfield_plugin_api::{DriverInfo, Facets, Scheme};
///
/// const INFO: DriverInfo = DriverInfo::layer("rot13", "Turns letters by thirteen")
///     .schemes(&[Scheme::new("rot13", "rot13+tcp")])
///     .client()
///     .server()
///     .facets(Facets::STREAM);
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct DriverInfo {
    /// Unique name, lower case; also its first scheme.
    pub name: &'static str,
    /// One line.
    pub summary: &'static str,
    /// At length; may be empty.
    pub description: &'static str,
    /// Transport or layer.
    pub kind: Kind,
    /// Its schemes; the first one's stack tells what it rides on by default.
    pub schemes: &'static [Scheme],
    /// Can connect.
    pub client: bool,
    /// Can accept (a layer) or listen (a transport).
    pub server: bool,
    /// The facets its sessions may have.
    pub facets: Facets,
    /// Who runs it.
    pub runtime: RuntimeMode,
    /// What a URI's query is.
    pub query: Query,
}

impl DriverInfo {
    /// A driver that turns an address into a session by itself.
    pub const fn transport(name: &'static str, summary: &'static str) -> Self {
        DriverInfo::new(Kind::Transport, name, summary)
    }

    /// A driver that speaks over the byte stream of something below it.
    pub const fn layer(name: &'static str, summary: &'static str) -> Self {
        DriverInfo::new(Kind::Layer, name, summary)
    }

    const fn new(kind: Kind, name: &'static str, summary: &'static str) -> Self {
        DriverInfo {
            name,
            summary,
            description: "",
            kind,
            schemes: &[],
            client: false,
            server: false,
            facets: Facets::empty(),
            runtime: RuntimeMode::Host,
            query: Query::Address,
        }
    }

    /// Its schemes; the first is its name.
    #[must_use]
    pub const fn schemes(mut self, schemes: &'static [Scheme]) -> Self {
        self.schemes = schemes;
        self
    }
    /// It can connect.
    #[must_use]
    pub const fn client(mut self) -> Self {
        self.client = true;
        self
    }
    /// It can accept (a layer) or listen (a transport).
    #[must_use]
    pub const fn server(mut self) -> Self {
        self.server = true;
        self
    }
    /// The facets its sessions may have, so that a configuration can be checked before anything runs. What
    /// a session has is said by its builder.
    #[must_use]
    pub const fn facets(mut self, facets: Facets) -> Self {
        self.facets = facets;
        self
    }
    /// It runs in a tokio runtime of the plugin's own. Needs the feature `private-runtime`.
    #[must_use]
    pub const fn private_runtime(mut self) -> Self {
        self.runtime = RuntimeMode::Private;
        self
    }
    /// The part of a URI after `?` holds its options.
    #[must_use]
    pub const fn query_options(mut self) -> Self {
        self.query = Query::Options;
        self
    }
    /// What it is and does, at length.
    #[must_use]
    pub const fn description(mut self, text: &'static str) -> Self {
        self.description = text;
        self
    }
}

/// A handler's constants.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct HandlerInfo {
    /// Unique name among handlers, lower case.
    pub name: &'static str,
    /// One line.
    pub summary: &'static str,
    /// At length; may be empty.
    pub description: &'static str,
    /// The facets of which a session must have at least one.
    pub facets: Facets,
    /// Who runs it.
    pub runtime: RuntimeMode,
}

impl HandlerInfo {
    /// A handler of sessions that have at least one of `facets`.
    pub const fn new(name: &'static str, summary: &'static str, facets: Facets) -> Self {
        HandlerInfo { name, summary, description: "", facets, runtime: RuntimeMode::Host }
    }
    /// As [`DriverInfo::private_runtime`].
    #[must_use]
    pub const fn private_runtime(mut self) -> Self {
        self.runtime = RuntimeMode::Private;
        self
    }
    /// What it is and does, at length.
    #[must_use]
    pub const fn description(mut self, text: &'static str) -> Self {
        self.description = text;
        self
    }
}

/// Something that hosts have from an ABI minor on and a plugin cannot do without. What a plugin declares
/// by its constants is found by itself; a service that it calls is named in [`crate::export_plugin!`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Requirement {
    /// The minor.
    pub minor: u32,
    /// What came with it, in words.
    pub what: &'static str,
}

impl Requirement {
    /// `what` is there from `minor` on.
    pub const fn new(minor: u32, what: &'static str) -> Self {
        Requirement { minor, what }
    }
}

/// A plugin's constants, filled in by [`crate::export_plugin!`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct PluginInfo {
    /// Package name.
    pub name: &'static str,
    /// Package version.
    pub version: &'static str,
    /// Package description.
    pub description: &'static str,
    /// Package licence.
    pub license: &'static str,
    /// The exported symbol.
    pub symbol: &'static str,
    /// Markdown; may be empty.
    pub readme: &'static str,
    /// Its drivers.
    pub drivers: &'static [DriverInfo],
    /// Its handlers.
    pub handlers: &'static [HandlerInfo],
    /// Its interceptors.
    pub interceptors: &'static [InterceptorInfo],
    /// What it needs of a host, beside what its constants say.
    pub requires: &'static [Requirement],
}

impl PluginInfo {
    /// Whether any part of it runs in a runtime of its own.
    pub(crate) fn wants_runtime(&self) -> bool {
        let private = |mode| mode == RuntimeMode::Private;
        self.drivers.iter().any(|driver| private(driver.runtime))
            || self.handlers.iter().any(|handler| private(handler.runtime))
    }
}

/// The constants of a plugin, checked: a mistake is an error of the compiler at the author's
/// [`crate::export_plugin!`]. `texts` are name, version, description, licence, symbol and README.
pub const fn plugin_info(
    texts: [&'static str; 6],
    drivers: &'static [DriverInfo],
    handlers: &'static [HandlerInfo],
    interceptors: &'static [InterceptorInfo],
    requires: &'static [Requirement],
) -> PluginInfo {
    let [name, version, description, license, symbol, readme] = texts;
    let mut at = 0;
    while at < drivers.len() {
        check_driver(&drivers[at]);
        at += 1;
    }
    at = 0;
    while at < handlers.len() {
        assert!(is_name(handlers[at].name), "a handler's name is not a lower-case word");
        assert!(!handlers[at].facets.is_empty(), "a handler takes no facet");
        check_runtime(handlers[at].runtime);
        at += 1;
    }
    at = 0;
    while at < interceptors.len() {
        assert!(is_name(interceptors[at].name), "an interceptor's name is not a lower-case word");
        at += 1;
    }
    PluginInfo {
        name,
        version,
        description,
        license,
        symbol,
        readme,
        drivers,
        handlers,
        interceptors,
        requires,
    }
}

const fn check_driver(info: &DriverInfo) {
    assert!(is_name(info.name), "a driver's name is not a lower-case word");
    assert!(info.client || info.server, "a driver has neither the client's nor the server's role");
    assert!(!info.schemes.is_empty(), "a driver has no scheme");
    assert!(
        same(info.schemes[0].name.as_bytes(), info.name.as_bytes()),
        "a driver's first scheme is not its name"
    );
    check_runtime(info.runtime);
    let mut at = 0;
    while at < info.schemes.len() {
        let scheme = &info.schemes[at];
        assert!(is_name(scheme.name), "a scheme is not a lower-case word");
        let members = members(scheme.stack, info.name);
        match info.kind {
            Kind::Transport => assert!(members == 1, "a transport's stack is its name alone"),
            _ => assert!(members > 1, "a layer's stack names what it rides on"),
        }
        at += 1;
    }
}

const fn check_runtime(mode: RuntimeMode) {
    assert!(
        !matches!(mode, RuntimeMode::Private) || cfg!(feature = "private-runtime"),
        "private_runtime() needs the feature `private-runtime` of jackfield-plugin-api"
    );
}

/// How many names a stack has; the first must be `head`.
const fn members(stack: &str, head: &str) -> usize {
    let bytes = stack.as_bytes();
    let (mut count, mut start, mut at) = (0, 0, 0);
    while at <= bytes.len() {
        if at == bytes.len() || bytes[at] == b'+' {
            let (_, from) = bytes.split_at(start);
            let (member, _) = from.split_at(at - start);
            assert!(is_word(member), "a stack is not names joined by `+`");
            assert!(count > 0 || same(member, head.as_bytes()), "a stack begins with its driver");
            count += 1;
            start = at + 1;
        }
        at += 1;
    }
    count
}

const fn same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let mut at = 0;
    while at < one.len() {
        if one[at] != other[at] {
            return false;
        }
        at += 1;
    }
    true
}

/// Whether a URI can have `name` as its scheme (RFC 3986 §3.1), in lower case and without `+`, which
/// joins stacks.
pub(crate) const fn is_name(name: &str) -> bool {
    is_word(name.as_bytes())
}

const fn is_word(bytes: &[u8]) -> bool {
    if bytes.is_empty() || !bytes[0].is_ascii_lowercase() {
        return false;
    }
    let mut at = 1;
    while at < bytes.len() {
        let allowed = bytes[at].is_ascii_lowercase()
            || bytes[at].is_ascii_digit()
            || matches!(bytes[at], b'-' | b'.' | b'_');
        if !allowed {
            return false;
        }
        at += 1;
    }
    true
}
