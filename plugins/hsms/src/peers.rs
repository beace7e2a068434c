//! The peers of a listener: who may connect, and what each is passed.

use crate::endpoint::filter;
use crate::header::{ALL_SESSIONS, Header, select};
use crate::options::PeerOptions;
use ipnet::IpNet;
use jackfield_plugin_api::{Error, Info, Result};
use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

/// Streams, and messages of them. None of them: all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter(pub(crate) Vec<(u8, Option<u8>)>);

impl Filter {
    pub(crate) fn takes(&self, header: Header) -> bool {
        self.0.is_empty() || self.names(header)
    }

    /// Whether it has that very message, or all of its stream.
    pub(crate) fn names(&self, header: Header) -> bool {
        let fits = |(stream, function): &(u8, Option<u8>)| {
            *stream == header.stream() && function.is_none_or(|it| it == header.function())
        };
        self.0.iter().any(fits)
    }

    /// Whether it has anything of a stream.
    pub(crate) fn names_stream(&self, stream: u8) -> bool {
        self.0.iter().any(|(named, _)| *named == stream)
    }
}

/// One of them.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) name: String,
    session_id: Option<u16>,
    addresses: Vec<IpNet>,
    identity: Option<String>,
    enabled: bool,
    pub(crate) receives: Filter,
    pub(crate) answers: bool,
}

impl Peer {
    /// Whether it is known by that session.
    pub(crate) fn is_of(&self, session: u16) -> bool {
        self.session_id == Some(session)
    }
}

/// All of a listener's.
#[derive(Debug)]
pub(crate) struct Peers {
    all: Vec<Arc<Peer>>,
    /// Names of those that are connected.
    here: Arc<Mutex<HashSet<String>>>,
}

/// A peer's place, given up when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) peer: Arc<Peer>,
    here: Arc<Mutex<HashSet<String>>>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut here = self.here.lock().unwrap_or_else(PoisonError::into_inner);
        here.remove(&self.peer.name);
    }
}

impl Peers {
    pub(crate) fn new(options: Vec<PeerOptions>) -> Result<Self> {
        let all: Vec<_> = options.into_iter().map(peer).collect::<Result<_>>()?;
        let mut names = HashSet::new();
        if let Some(peer) = all.iter().find(|peer| !names.insert(peer.name.clone())) {
            return Err(Error::option("peers", format!("two have the name {:?}", peer.name)));
        }
        Ok(Peers { all, here: Arc::default() })
    }

    /// Whether everybody may connect.
    pub(crate) fn any(&self) -> bool {
        self.all.is_empty()
    }

    /// Those that what is known of a connection fits before it says anything.
    pub(crate) fn known(&self, below: &Info) -> Vec<Arc<Peer>> {
        let address = below.peer.as_deref().and_then(address);
        let fits = |peer: &&Arc<Peer>| {
            let there = |net: &IpNet| address.is_some_and(|address| net.contains(&address));
            (peer.addresses.is_empty() || peer.addresses.iter().any(there))
                && (peer.identity.is_none() || peer.identity == below.identity)
        };
        self.all.iter().filter(fits).cloned().collect()
    }

    /// The one of those that selects that session, with its place.
    ///
    /// # Errors
    /// The status of the answer to the Select.
    pub(crate) fn select(&self, known: &[Arc<Peer>], session: u16) -> Result<Place, u8> {
        // A Select for all sessions names nobody: it means whom the address or the certificate means.
        let fits = |peer: &&Arc<Peer>| match peer.session_id {
            Some(id) => id == session || session == ALL_SESSIONS && known.len() == 1,
            None => true,
        };
        let mut here = self.here.lock().unwrap_or_else(PoisonError::into_inner);
        let fitting: Vec<_> = known.iter().filter(fits).collect();
        let free = fitting.iter().find(|peer| peer.enabled && !here.contains(&peer.name));
        match free {
            Some(peer) => {
                here.insert(peer.name.clone());
                Ok(Place { peer: Arc::clone(peer), here: Arc::clone(&self.here) })
            }
            None if fitting.is_empty() => Err(select::UNKNOWN),
            None if fitting.iter().any(|peer| peer.enabled) => Err(select::IN_USE),
            None => Err(select::NOT_READY),
        }
    }
}

fn address(text: &str) -> Option<IpAddr> {
    let address = text.parse::<SocketAddr>().map(|it| it.ip()).or_else(|_| text.parse());
    address.ok().map(|address: IpAddr| address.to_canonical())
}

fn peer(options: PeerOptions) -> Result<Arc<Peer>> {
    let PeerOptions { name, session_id, addresses, identity, enabled, receives, answers } = options;
    if name.is_empty() {
        return Err(Error::option("peers", "each needs a `name`"));
    }
    let net = |text: &String| {
        let net = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        let wrong = || format!("{name}: expected an address or a network, not {text:?}");
        net.map_err(|_| Error::option("peers", wrong()))
    };
    let addresses = addresses.iter().map(net).collect::<Result<_>>()?;
    let receives = filter("peers", &receives)?;
    Ok(Arc::new(Peer { name, session_id, addresses, identity, enabled, receives, answers }))
}
