//! The keys of `[admin]`.

use schemars::JsonSchema;
use serde::Deserialize;
use std::net::SocketAddr;

use crate::units::{ByteSize, Timespan};
use jackfield_text::range::{Problem, Ranges};

/// `[admin]`: how a running host is looked at and changed from outside.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AdminConfig {
    /// Where the admin API listens: `"unix:PATH"`, the path absolute, `"socket:NAME"`, a Unix socket that the service
    /// manager has opened under that name, or `"tcp://ADDRESS:PORT"`, for those who have a token, an address of the
    /// machine itself. From elsewhere a route leads to the admin API, by `to = "admin"`. `[]` is nowhere. A place that is named here and cannot be taken stops the
    /// start. Default: `$RUNTIME_DIRECTORY/admin.sock` where systemd sets that variable, else
    /// `$XDG_RUNTIME_DIR/jackfield/admin.sock` where that one is set, else `/run/jackfield/admin.sock`; a host that cannot take that one says so and goes on without.
    pub listen: Option<Vec<String>>,
    /// The file with the hashes of tokens, which those have who come over TCP, and over routes without a certificate that
    /// has a role: a line `ROLE NAME SHA256` for each. It is
    /// read at each request. Default: none.
    pub tokens: Option<String>,
    /// Names by which the API is asked over TCP and routes, beside `localhost` and addresses of the machine itself; others
    /// are answered 421. At most 64. Default: `[]`.
    pub hosts: Vec<String>,
    /// Who may do everything: users, groups as `"@group"`, and over routes with `to = "admin"` owners of certificates, as
    /// `"certificate:CN=ops, O=Lab"`, by the whole subject as `jackfield ps` shows it, `"certificate:ops.example"`, by a
    /// name that it is for, or `"sha256:HASH"`. Root and the user of the host always may. Default: `[]`.
    pub admin: Vec<String>,
    /// Who may look, and drain, weigh, close and call, but define and remove nothing. Default: `[]`.
    pub operator: Vec<String>,
    /// Who may only look. Default: `[]`.
    pub viewer: Vec<String>,
    /// Connections to the admin API at a time; more are answered 503. 1 to 1024. Default: 64.
    pub max_connections: u32,
    /// Requests of one user, token or certificate within a second, and of all together whom nobody knows; more are answered
    /// 429. 1 to 1000000. Default: 5000.
    pub max_requests: u32,
    /// Readers of `/v1/events` at a time; more are answered 503. 1 to 1024. Default: 32.
    pub max_subscribers: u32,
    /// The last events that are kept for readers that come again or are slow; 16 to 100000. Default: 10000.
    pub event_ring: u32,
    /// The largest body of a request; 1KiB to 16MiB. Default: `"1MiB"`.
    pub max_body: ByteSize,
    /// How long the head of a request may take, and how long its body. Default: `"10s"`.
    pub request_timeout: Timespan,
    /// Streams of connections and paths at a time; more are answered 503. 1 to 1024. Default: 64.
    pub max_streams: u32,
    /// The last bytes of each stream that are kept for a client that comes again, and how many it may leave
    /// unacknowledged; 4KiB to 16MiB. Default: `"256KiB"`.
    pub stream_buffer: ByteSize,
    /// How long a stream is kept whose client was cut off. Default: `"30s"`.
    pub stream_grace: Timespan,
    /// Leases that are held over the API at a time; more are answered 503. 1 to 1024. Default: 64.
    pub max_leases: u32,
    /// Targets of all upstreams together up to which `/metrics` has series of each target; of more, only those of
    /// their upstreams are there. Default: 1000.
    pub target_metrics: u32,
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self {
            listen: None,
            tokens: None,
            hosts: Vec::new(),
            admin: Vec::new(),
            operator: Vec::new(),
            viewer: Vec::new(),
            max_connections: 64,
            max_requests: 5000,
            max_subscribers: 32,
            event_ring: 10_000,
            max_body: ByteSize(1 << 20),
            request_timeout: Timespan::seconds(10),
            max_streams: 64,
            stream_buffer: ByteSize(256 << 10),
            stream_grace: Timespan::seconds(30),
            max_leases: 64,
            target_metrics: 1000,
        }
    }
}

impl AdminConfig {
    /// Values out of range.
    pub fn problems(&self) -> Vec<Problem> {
        let number = "expected a whole number from 1 to 1024";
        let mut ranges = Ranges::new()
            .expect((1..=1024).contains(&self.max_connections), "max_connections", number)
            .expect(
                (1..=1_000_000).contains(&self.max_requests),
                "max_requests",
                "expected a whole number from 1 to 1000000",
            )
            .expect((1..=1024).contains(&self.max_subscribers), "max_subscribers", number)
            .expect((1..=1024).contains(&self.max_streams), "max_streams", number)
            .expect((1..=1024).contains(&self.max_leases), "max_leases", number)
            .expect(
                (4 << 10..=16 << 20).contains(&self.stream_buffer.0),
                "stream_buffer",
                "expected a size from 4KiB to 16MiB",
            )
            .expect(
                (16..=100_000).contains(&self.event_ring),
                "event_ring",
                "expected a whole number from 16 to 100000",
            )
            .expect(
                (1024..=16 << 20).contains(&self.max_body.0),
                "max_body",
                "expected a size from 1KiB to 16MiB",
            )
            .expect(
                !self.request_timeout.is_zero(),
                "request_timeout",
                "expected more than \"0s\"",
            );
        ranges = ranges.expect(self.hosts.len() <= 64, "hosts", "expected at most 64 names");
        for (index, place) in self.listen.iter().flatten().enumerate() {
            let expected = match place.split_once(':').map(|(kind, _)| kind) {
                Some("tcp") => {
                    "expected an address of the machine itself, such as \"tcp://127.0.0.1:8900\": a token would pass \
                     in the clear; for other addresses an encrypted route leads here, by to = \"admin\""
                }
                _ => {
                    "expected \"unix:PATH\" with an absolute path, such as \"unix:/run/jackfield/admin.sock\", or \
                     \"socket:NAME\" with the name of a socket of the service manager"
                }
            };
            ranges = ranges.expect(
                AdminPlace::of(place).is_some(),
                &format!("listen.{index}"),
                expected,
            );
        }
        ranges.problems()
    }
}

/// What an entry of `admin.listen` means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdminPlace<'a> {
    /// A Unix socket at this path.
    Path(&'a str),
    /// A Unix socket that the service manager has opened, by its name there.
    Named(&'a str),
    /// A loopback address, for those who have a token.
    Tcp(SocketAddr),
}

impl<'a> AdminPlace<'a> {
    /// `None` for what has another form.
    pub fn of(entry: &'a str) -> Option<Self> {
        if let Some(name) = entry.strip_prefix("socket:") {
            return (!name.is_empty()).then_some(AdminPlace::Named(name));
        }
        if let Some(address) = entry.strip_prefix("tcp://") {
            let address: SocketAddr = address.parse().ok()?;
            return address.ip().is_loopback().then_some(AdminPlace::Tcp(address));
        }
        let path = entry.strip_prefix("unix:")?;
        // `unix://` is how URIs write it.
        let path = path.strip_prefix("//").unwrap_or(path);
        path.starts_with('/').then_some(AdminPlace::Path(path))
    }
}
