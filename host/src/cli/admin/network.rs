//! [`NetworkPlace`]: a host whose admin API is asked over the network, by an encrypted connection that drivers open as
//! they open any other.

use super::place::AdminArgs;
use crate::cli::args::ConfigArgs;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::loading::load_plugins;
use crate::files;
use crate::manager::Plugins;
use crate::secret::Resolver;
use crate::stack::uri::StackUri;
use crate::stack::{Plan, Stack};
use jackfield_plugin_api::{Error, ErrorKind, Role, Stream};
use serde_json::{Map, Value};
use std::fmt;
use std::fs;
use std::path::Path;
use std::time::Duration;
use tokio::sync::OnceCell;

/// How long connecting may take, certificates included.
const LIMIT: Duration = Duration::from_secs(10);

/// What is wrong with another URI.
const EXPECTED: &str = "expected the path of a socket, or https://HOST:PORT";

/// Where a host is asked, and how one says who asks.
pub(super) struct NetworkPlace {
    uri: StackUri,
    options: Map<String, Value>,
    /// As a request names it.
    pub(super) authority: String,
    /// The value of the field `authorization`.
    pub(super) authorization: Option<String>,
    /// Made at the first connection, by the runtime that has that.
    ready: OnceCell<ReadyStack>,
}

struct ReadyStack {
    stack: Stack,
    /// What has its drivers.
    _plugins: Plugins,
}

impl fmt::Debug for NetworkPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NetworkPlace").field(&self.authority).finish()
    }
}

impl fmt::Display for NetworkPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}", self.authority)
    }
}

impl NetworkPlace {
    /// The place that `uri` says, with certificates and token as `args` name them. Nothing is connected.
    pub(super) fn of(uri: &str, args: &AdminArgs) -> Outcome<Self> {
        let wrong = |error: &dyn fmt::Display| Failure::config(format!("--admin {uri}: {error}"));
        let authority = uri.strip_prefix("https://").map(|it| it.trim_end_matches('/'));
        let authority = authority.filter(|authority| !authority.contains(['/', '@', '?', '#']));
        let authority = authority.ok_or_else(|| wrong(&EXPECTED))?;
        let parsed: StackUri =
            format!("tls://{authority}").parse().map_err(|error| wrong(&error))?;
        if parsed.port.is_none() {
            return Err(wrong(&EXPECTED));
        }
        let mut options = Map::new();
        for (flag, option) in [("ca", "ca_file"), ("cert", "certificate_file"), ("key", "key_file")]
        {
            if let Some(file) = args.file(flag) {
                options.insert(option.to_owned(), Value::String(file));
            }
        }
        let token = args.file("token").map(|file| token(Path::new(&file))).transpose()?;
        Ok(NetworkPlace {
            uri: parsed,
            options,
            authority: authority.to_owned(),
            authorization: token.map(|token| format!("Bearer {token}")),
            ready: OnceCell::new(),
        })
    }

    async fn make(&self) -> Outcome<ReadyStack> {
        let wrong = |error: Error| Failure::config(format!("--admin {self}: {error}"));
        let plugins = load_plugins(&ConfigArgs::default().load_any(|_| ())?).await;
        let plan = Plan::new(&self.uri, plugins.registry(), Role::Client, false).map_err(wrong)?;
        let stack = Stack::new(plan, &self.options, Role::Client, &Resolver::default()).await;
        let stack = stack.map_err(|error| wrong(error.into()))?;
        Ok(ReadyStack { stack, _plugins: plugins })
    }

    /// A connection of one's own.
    pub(super) async fn connect(&self) -> Outcome<Stream> {
        let ready = self.ready.get_or_try_init(|| self.make()).await?;
        let session = ready.stack.open(None, LIMIT).await.map_err(|error| {
            let text = format!("{self}: {error}");
            match error.kind() {
                ErrorKind::Unreachable | ErrorKind::TimedOut | ErrorKind::NotFound => {
                    Failure::no_host(text)
                }
                _ => Failure::run(text),
            }
        })?;
        let stream = session.take_stream();
        stream.ok_or_else(|| Failure::run(format!("{self}: expected a byte stream")))
    }
}

/// The token that a file has, in one line.
fn token(file: &Path) -> Outcome<String> {
    let shown = file.display();
    let read = fs::read_to_string(file);
    let text = read.map_err(|error| {
        Failure::config(format!("--admin-token {shown}: {}", files::why(file, &error)))
    })?;
    match text.trim() {
        token if token.is_empty() || token.contains(char::is_whitespace) => {
            Err(Failure::config(format!("--admin-token {shown}: expected one word, the token")))
        }
        token => Ok(token.to_owned()),
    }
}
