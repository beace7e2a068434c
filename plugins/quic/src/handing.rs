//! [`Handing`]: what becomes of a listener's connections when another process takes over. They stay with the process that
//! has accepted them, and the listener's socket goes to the new one, which alone reads it from then on.
//!
//! ```text
//!         ┌─ its own, and new ones ─▶ quinn
//! socket ─┤
//!         └─ of an older process ─▶ a pair of sockets ─▶ quinn there, which answers by the listener's socket itself
//! ```
//!
//! Whose a packet is stands in its connection id: each process begins all of its own with a tag (RFC 9000 §5.1 leaves
//! their content to who issues them, and asks that they tell nothing of the single connection). So it is found whichever
//! address the peer has by now, as with nginx's `quic_bpf` and Envoy's hot restart.

use jackfield_plugin_api::{Error, FdReady, Host, Interest, Op, Result};
use quinn::udp::{EcnCodepoint, RecvMeta};
use quinn::{ConnectionId, ConnectionIdGenerator};
use quinn_proto::{InvalidCid, RandomConnectionIdGenerator};
use socket2::SockRef;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, ready};

/// Bytes of a connection id, and how many of them are the tag.
const ID: usize = 12;
const TAG: usize = 4;

type Tag = [u8; TAG];

/// Bytes before a packet that is passed on: flags, the peer's address, the address that it was sent to.
const HEAD: usize = 1 + 16 + 2 + 4 + 16;
/// As long as what one receive gives.
const LONGEST: usize = 65_536;
/// Bytes that may wait for an older process; what goes beyond is dropped, as the network would drop it.
const QUEUE: usize = 4 << 20;

/// Connection ids of this process.
struct TaggedIds {
    tag: Tag,
    random: RandomConnectionIdGenerator,
}

impl ConnectionIdGenerator for TaggedIds {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut id = [0; ID];
        id.copy_from_slice(&self.random.generate_cid());
        id[..TAG].copy_from_slice(&self.tag);
        ConnectionId::new(&id)
    }

    fn validate(&self, id: &ConnectionId) -> std::result::Result<(), InvalidCid> {
        if id.starts_with(&self.tag) { Ok(()) } else { Err(InvalidCid) }
    }

    fn cid_len(&self) -> usize {
        ID
    }

    fn cid_lifetime(&self) -> Option<std::time::Duration> {
        None
    }
}

/// A process before this one that has connections of this socket still.
struct Older {
    tag: Tag,
    link: UnixDatagram,
}

/// See the [module](self).
pub(crate) struct Handing {
    tag: Tag,
    /// From the process that reads the socket now.
    passed: UnixDatagram,
    readable: Mutex<(FdReady, Vec<u8>)>,
    older: Mutex<Vec<Older>>,
    has_older: AtomicBool,
}

impl std::fmt::Debug for Handing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handing").field("tag", &self.tag).finish_non_exhaustive()
    }
}

/// Offers a descriptor, whose peers need nothing for that, for as long as the result lives.
fn offered(host: Host, name: String, fd: OwnedFd) -> Op<()> {
    host.spawn(async move { while host.offer(&name, &fd).await.is_ok() {} })
}

impl Handing {
    /// Of the socket that listens at `local` and is handed over as `name`; and what offers it, to be kept as long as it
    /// listens.
    pub(crate) fn new(
        host: Host,
        socket: &std::net::UdpSocket,
        name: String,
    ) -> Result<(Self, Vec<Op<()>>)> {
        let links = format!("{}/", socket.local_addr()?);
        let (passed, link) = UnixDatagram::pair()?;
        passed.set_nonblocking(true)?;
        link.set_nonblocking(true)?;
        // The system may allow less.
        SockRef::from(&link).set_send_buffer_size(QUEUE)?;
        let mut offers = vec![offered(host, name, socket.try_clone()?.into())];
        let mut older = Vec::new();
        while let Some((name, fd)) = host.received(&links) {
            let tag = name.rsplit_once('/').and_then(|(_, tag)| u32::from_str_radix(tag, 16).ok());
            let Some(tag) = tag else { continue };
            offers.push(offered(host, name, fd.try_clone()?));
            older.push(Older { tag: tag.to_be_bytes(), link: fd.into() });
        }
        let tag = new_tag(&older);
        let name = format!("{links}{:08x}", u32::from_be_bytes(tag));
        offers.push(offered(host, name, link.into()));
        let readable = Mutex::new((host.watch(&passed)?, vec![0; HEAD + LONGEST]));
        let has_older = AtomicBool::new(!older.is_empty());
        let handing = Handing { tag, passed, readable, older: Mutex::new(older), has_older };
        Ok((handing, offers))
    }

    /// Connection ids that say that they are of this process.
    pub(crate) fn ids(&self) -> impl Fn() -> Box<dyn ConnectionIdGenerator> + Send + Sync + use<> {
        let tag = self.tag;
        move || Box::new(TaggedIds { tag, random: RandomConnectionIdGenerator::new(ID) })
    }

    /// What the process that reads the socket has passed on to this one.
    pub(crate) fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut readable = self.readable.lock().unwrap_or_else(PoisonError::into_inner);
        let (readable, text) = &mut *readable;
        loop {
            ready!(readable.poll_ready(Interest::Read, cx)).map_err(Error::into_io)?;
            let len = match self.passed.recv(text) {
                Ok(len) => len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    readable.clear_ready(Interest::Read);
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // Nobody passes anything on any more.
                Err(_) => return Poll::Pending,
            };
            let (Some(buffer), Some(meta)) = (buffers.first_mut(), metas.first_mut()) else {
                return Poll::Ready(Ok(0));
            };
            let Some((head, packet)) = text[..len].split_at_checked(HEAD) else { continue };
            let Some(room) = buffer.get_mut(..packet.len()) else { continue };
            room.copy_from_slice(packet);
            *meta = of_head(head, packet.len());
            return Poll::Ready(Ok(1));
        }
    }

    /// Passes on what is of older processes, and leaves the rest.
    pub(crate) fn pass_on(&self, buffers: &mut [IoSliceMut<'_>], metas: &mut [RecvMeta]) {
        if !self.has_older.load(Ordering::Relaxed) {
            return;
        }
        let mut older = self.older.lock().unwrap_or_else(PoisonError::into_inner);
        for (buffer, meta) in buffers.iter_mut().zip(metas) {
            let (stride, mut kept, mut at) = (meta.stride.max(1), 0, 0);
            while at < meta.len {
                let end = meta.len.min(at + stride);
                let whose = tag_of(&buffer[at..end]);
                match older.iter().position(|older| Some(older.tag) == whose) {
                    Some(index) => {
                        if !older[index].take(meta, &buffer[at..end]) {
                            older.remove(index);
                        }
                    }
                    None => {
                        buffer.copy_within(at..end, kept);
                        kept += end - at;
                    }
                }
                at = end;
            }
            meta.len = kept;
        }
        self.has_older.store(!older.is_empty(), Ordering::Relaxed);
    }
}

impl Older {
    /// Passes a packet on; answers whether it is there still.
    fn take(&self, meta: &RecvMeta, packet: &[u8]) -> bool {
        let mut text = Vec::with_capacity(HEAD + packet.len());
        text.extend(to_head(meta));
        text.extend(packet);
        match self.link.send(&text) {
            Ok(_) => true,
            // It has no room: the packet is lost, and sent again by its peer.
            Err(error) => {
                matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
            }
        }
    }
}

/// One that no older process has.
fn new_tag(older: &[Older]) -> Tag {
    let mut random = RandomConnectionIdGenerator::new(TAG);
    loop {
        let mut tag = [0; TAG];
        tag.copy_from_slice(&random.generate_cid());
        if older.iter().all(|older| older.tag != tag) {
            return tag;
        }
    }
}

/// The tag of the connection that a packet is of (RFC 9000 §17.2, §17.3), if its id is one of ours.
fn tag_of(packet: &[u8]) -> Option<Tag> {
    let id = match packet.first()? {
        first if first & 0x80 == 0 => packet.get(1..1 + ID)?,
        _ if usize::from(*packet.get(5)?) == ID => packet.get(6..6 + ID)?,
        _ => return None,
    };
    id.first_chunk::<TAG>().copied()
}

const IS_V4: u8 = 1;
const HAS_TO: u8 = 2;
const TO_IS_V4: u8 = 4;
/// The first of the two bits of ECN.
const ECN: u8 = 3;

fn to_v6(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

fn of_v6(octets: [u8; 16], is_v4: bool) -> IpAddr {
    let ip = Ipv6Addr::from(octets);
    ip.to_ipv4_mapped().filter(|_| is_v4).map_or(IpAddr::V6(ip), IpAddr::V4)
}

fn to_head(meta: &RecvMeta) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    let to = meta.dst_ip;
    head[0] = if meta.addr.is_ipv4() { IS_V4 } else { 0 }
        | if to.is_some() { HAS_TO } else { 0 }
        | if to.is_some_and(|to| to.is_ipv4()) { TO_IS_V4 } else { 0 }
        | meta.ecn.map_or(0, |ecn| ecn as u8) << ECN;
    head[1..17].copy_from_slice(&to_v6(meta.addr.ip()));
    head[17..19].copy_from_slice(&meta.addr.port().to_be_bytes());
    if let SocketAddr::V6(address) = meta.addr {
        head[19..23].copy_from_slice(&address.scope_id().to_be_bytes());
    }
    if let Some(to) = to {
        head[23..].copy_from_slice(&to_v6(to));
    }
    head
}

/// A head of the right length.
fn of_head(head: &[u8], len: usize) -> RecvMeta {
    fn part<const N: usize>(head: &[u8], at: usize) -> [u8; N] {
        head.get(at..at + N).and_then(|part| part.try_into().ok()).unwrap_or([0; N])
    }
    let flags = head.first().copied().unwrap_or(0);
    let port = u16::from_be_bytes(part(head, 17));
    let addr = match of_v6(part(head, 1), flags & IS_V4 != 0) {
        IpAddr::V4(ip) => SocketAddr::from((ip, port)),
        IpAddr::V6(ip) => SocketAddrV6::new(ip, port, 0, u32::from_be_bytes(part(head, 19))).into(),
    };
    let ecn = EcnCodepoint::from_bits(flags >> ECN & 0b11);
    let dst_ip = (flags & HAS_TO != 0).then(|| of_v6(part(head, 23), flags & TO_IS_V4 != 0));
    RecvMeta { addr, len, stride: len, ecn, dst_ip }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_keeps_addresses_and_ecn() {
        for (addr, to, ecn) in [
            ("192.0.2.1:443", Some("192.0.2.2"), Some(EcnCodepoint::Ce)),
            ("[::ffff:192.0.2.1]:443", None, None),
            ("[fe80::1%7]:443", Some("fe80::2"), Some(EcnCodepoint::Ect0)),
        ] {
            let dst_ip = to.map(|to| to.parse().unwrap());
            let meta = RecvMeta { addr: addr.parse().unwrap(), len: 9, stride: 9, ecn, dst_ip };
            let again = of_head(&to_head(&meta), 9);
            assert_eq!((again.addr, again.dst_ip, again.ecn), (meta.addr, meta.dst_ip, meta.ecn));
        }
    }

    #[test]
    fn a_packet_tells_whose_it_is_and_a_first_one_does_not() {
        let mut ids = TaggedIds { tag: *b"mine", random: RandomConnectionIdGenerator::new(ID) };
        let id = ids.generate_cid();
        assert!(ids.validate(&id).is_ok() && id.len() == ID);
        let short = [&[0x40][..], &id, b"rest"].concat();
        assert_eq!(tag_of(&short), Some(*b"mine"));
        let long = |id: &[u8]| {
            let len = u8::try_from(id.len()).unwrap();
            [&[0xe0, 0, 0, 0, 1, len], id, b"rest"].concat()
        };
        assert_eq!(tag_of(&long(&id)), Some(*b"mine"));
        assert_eq!(tag_of(&long(&[7; 8])), None);
        for cut in 0..short.len().min(1 + ID) {
            assert_eq!(tag_of(&short[..cut]), None);
        }
    }

    #[test]
    fn what_is_of_an_older_process_is_passed_on_and_the_rest_stays_in_order() {
        let (passed, link) = UnixDatagram::pair().unwrap();
        let mut buffer = [
            &[0x40][..],
            b"mine",
            &[0; 9], // 14 bytes each
            &[0x40],
            b"olds",
            &[1; 9],
            &[0x40],
            b"mine",
            &[2; 9],
            &[0x40],
            b"olds",
            &[3; 9],
        ]
        .concat();
        let whole = buffer.clone();
        let mut meta = RecvMeta { len: buffer.len(), stride: 14, ..RecvMeta::default() };
        let older = vec![Older { tag: *b"olds", link }];
        let host = jackfield_plugin_api::testing::host();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _entered = runtime.enter();
        let (_, own) = UnixDatagram::pair().unwrap();
        let handing = Handing {
            tag: *b"mine",
            readable: Mutex::new((host.watch(&own).unwrap(), Vec::new())),
            passed: own,
            older: Mutex::new(older),
            has_older: AtomicBool::new(true),
        };
        handing.pass_on(&mut [IoSliceMut::new(&mut buffer)], std::slice::from_mut(&mut meta));
        assert_eq!(meta.len, 28);
        assert_eq!(buffer[..14], whole[..14]);
        assert_eq!(buffer[14..28], whole[28..42]);
        let mut text = [0; 100];
        for at in [14, 42] {
            let len = passed.recv(&mut text).unwrap();
            assert_eq!(text[HEAD..len], whole[at..at + 14]);
        }
        drop(passed);
        // It has ended: what is of it is nobody's.
        (meta.len, buffer) = (14, whole[14..28].to_vec());
        handing.pass_on(&mut [IoSliceMut::new(&mut buffer)], std::slice::from_mut(&mut meta));
        assert_eq!(meta.len, 0);
        assert!(!handing.has_older.load(Ordering::Relaxed));
    }
}
