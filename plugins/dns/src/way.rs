//! [`Way`]: what questions of a session go over.

use crate::https::Https;
use crate::options::{DnsOptions, Over};
use crate::streams::{Streams, To};
use crate::udp;
use jackfield_plugin_api::{Address, Error, ErrorKind, Host, Info, Result};
use serde_json::{Map, Value};
use std::net::SocketAddr;

/// An answer, and who gave it over what.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) bytes: Vec<u8>,
    pub(crate) server: String,
    pub(crate) over: &'static str,
}

/// What questions of a session go over. Nothing is opened before the first one.
#[derive(Debug)]
pub(crate) struct Way {
    over: Over,
    server: String,
    by: By,
}

#[derive(Debug)]
enum By {
    Udp(Host, Vec<SocketAddr>),
    Streams(Streams),
    Https(Https),
}

impl Way {
    /// # Errors
    /// That the server has no address.
    pub(crate) async fn new(host: Host, address: Address, options: &DnsOptions) -> Result<Self> {
        let default = address.port.map_or(Over::Udp, Over::of_port);
        let over = options.over.unwrap_or(default);
        let port = address.port.unwrap_or_else(|| over.port());
        let authority = Address::new(address.host.as_str(), port).authority();
        let by = match over {
            Over::Udp => By::Udp(host, addresses(host, &address.host, port, options).await?),
            Over::Tcp => {
                let to = To::Addresses(addresses(host, &address.host, port, options).await?);
                By::Streams(Streams::new(host, to, options.max_idle))
            }
            Over::Tls => {
                let to = To::Stack(format!("tls+tcp://{authority}"), options.tls.clone().into());
                By::Streams(Streams::new(host, to, options.max_idle))
            }
            Over::Https => {
                let mut below: Map<String, Value> = options.http.clone();
                if !options.tls.is_empty() {
                    below.insert("tls".to_owned(), options.tls.clone().into());
                }
                let path = match address.path.as_str() {
                    "" | "/" => "/dns-query".to_owned(),
                    path => path.to_owned(),
                };
                By::Https(Https::new(host, authority.clone(), path, below.into()))
            }
        };
        Ok(Way { over, server: authority, by })
    }

    pub(crate) fn info(&self) -> Info {
        let info = Info::new().peer(self.server.clone()).with("over", self.over.word());
        match self.over {
            Over::Tls | Over::Https => info.encrypted(),
            Over::Udp | Over::Tcp => info,
        }
    }

    pub(crate) fn server(&self) -> &str {
        &self.server
    }

    /// How many addresses there are to ask.
    pub(crate) fn servers(&self) -> usize {
        match &self.by {
            By::Udp(_, addresses) => addresses.len(),
            By::Streams(_) | By::Https(_) => 1,
        }
    }

    /// The answer to a message, without an end of its own; another `attempt` goes to another address. Cancel safe.
    pub(crate) async fn ask(&self, attempt: usize, message: &[u8], edns: u16) -> Result<Heard> {
        let bytes = match &self.by {
            By::Udp(host, addresses) => {
                let server = addresses[attempt % addresses.len()];
                return udp::ask(host, server, message, edns).await;
            }
            By::Streams(streams) => streams.ask(attempt, message).await?,
            By::Https(https) => https.ask(message).await?,
        };
        Ok(Heard { bytes, server: self.server.clone(), over: self.over.word() })
    }

    pub(crate) async fn close(&self) {
        match &self.by {
            By::Udp(..) => {}
            By::Streams(streams) => streams.close(),
            By::Https(https) => https.close().await,
        }
    }
}

/// Addresses of the server, at least one.
async fn addresses(
    host: Host,
    name: &str,
    port: u16,
    options: &DnsOptions,
) -> Result<Vec<SocketAddr>> {
    let mut found = host.resolve(name, port).await?;
    found.retain(|address| options.family.has(address));
    if found.is_empty() {
        let text = "the server has no address of the wanted family";
        return Err(Error::new(ErrorKind::NotFound, text).with("host", name));
    }
    Ok(found)
}
