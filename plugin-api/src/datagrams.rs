//! [`Datagrams`]: the datagram facet, also what the host's UDP service gives. Buffers are the
//! caller's; several datagrams cross at once.

mod export;

use crate::error::Result;
use crate::op::Transfer;
use crate::raw::{
    Broken, ErrorSlot, Home, RawError, RawObject, RawWaker, abi, count_of, is_whole, owner_of,
    untrue, within_poll,
};
use crate::watch::{self, Operation, Owner};
use std::ffi::c_void;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::task::{Context, Poll};

abi! {
    /// An IP address and port, or none (`family` 0).
    #[derive(Clone, Copy, Debug, Default)]
    pub frozen struct RawAddr {
        family: u16,
        port: u16,
        scope: u32,
        flow: u32,
        ip: [u8; 16],
    }
}

impl From<Option<SocketAddr>> for RawAddr {
    fn from(address: Option<SocketAddr>) -> Self {
        let mut raw = RawAddr::default();
        match address {
            None => {}
            Some(SocketAddr::V4(v4)) => {
                raw.family = 4;
                raw.port = v4.port();
                raw.ip[..4].copy_from_slice(&v4.ip().octets());
            }
            Some(SocketAddr::V6(v6)) => {
                raw.family = 6;
                raw.port = v6.port();
                raw.scope = v6.scope_id();
                raw.flow = v6.flowinfo();
                raw.ip = v6.ip().octets();
            }
        }
        raw
    }
}

impl From<RawAddr> for Option<SocketAddr> {
    fn from(raw: RawAddr) -> Self {
        match raw.family {
            4 => {
                let [a, b, c, d, ..] = raw.ip;
                Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::new(a, b, c, d)), raw.port))
            }
            6 => {
                let ip = Ipv6Addr::from(raw.ip);
                Some(SocketAddr::V6(SocketAddrV6::new(ip, raw.port, raw.flow, raw.scope)))
            }
            _ => None,
        }
    }
}

abi! {
    /// One slot of a batch. Receiving: `capacity` is the room, `len` and the rest are written. Sending:
    /// `len` bytes are sent.
    #[derive(Debug)]
    pub strided struct RawDatagram {
        buffer: *mut u8,
        capacity: usize,
        len: usize,
        peer: RawAddr,
        local: RawAddr,
        /// Size of each piece when the kernel joined or is to split several (GRO, GSO); 0: one piece.
        segment: u32,
        /// The two ECN bits.
        ecn: u32,
    }
}

/// What belongs to one datagram beside its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DatagramMeta {
    /// Bytes in the buffer.
    pub len: usize,
    /// Where it came from, or goes to; `None` on a connected session.
    pub peer: Option<SocketAddr>,
    /// The address it arrived at, or is to leave from, where the system tells.
    pub local: Option<SocketAddr>,
    /// Size of each piece when the buffer holds several of one peer (GRO, GSO); 0 means one.
    pub segment: u32,
    /// ECN bits (RFC 3168 §5).
    pub ecn: u8,
}

impl DatagramMeta {
    /// Of a datagram of `len` bytes that comes from `peer` or goes to it; `None` on a connected session.
    pub const fn new(len: usize, peer: Option<SocketAddr>) -> Self {
        DatagramMeta { len, peer, local: None, segment: 0, ecn: 0 }
    }
}

/// What a driver or the host implements to give datagrams.
pub trait DatagramIo: Send + 'static {
    /// Receives one datagram into `buffer`, whose content is of no meaning; the answer's `len` is how
    /// many bytes of it are the datagram's. `Ready(Ok(None))` is the end, after which this is not called
    /// again.
    fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<Result<Option<DatagramMeta>>>;

    /// Sends the first `meta.len` bytes of `buffer`.
    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &[u8],
        meta: &DatagramMeta,
    ) -> Poll<Result<()>>;

    /// The most bytes one datagram may have now.
    fn max_size(&self) -> usize;
}

abi! {
    /// The functions of the datagram facet. Counts are datagrams; a receive of 0 is the end.
    #[derive(Debug)]
    pub grows struct DatagramsTable {
        size: usize,
        home: Home,
        drop: unsafe extern "C" fn(*mut c_void),
        poll_recv: unsafe extern "C" fn(
            *mut c_void,
            *const RawWaker,
            slots: *mut RawDatagram,
            stride: usize,
            room: usize,
            *mut RawError,
        ) -> i64,
        poll_send: unsafe extern "C" fn(
            *mut c_void,
            *const RawWaker,
            slots: *const RawDatagram,
            stride: usize,
            count: usize,
            *mut RawError,
        ) -> i64,
        max_size: unsafe extern "C" fn(*mut c_void) -> u64,
    }
}

/// The datagram facet of a session. Receiving and sending are cancel safe: a datagram is delivered
/// or handed to the network whole, or not at all.
pub struct Datagrams {
    raw: RawObject<DatagramsTable>,
    owner: Owner,
}

// SAFETY: `Datagrams::new` takes only `Send` values, and the far side promises the same.
unsafe impl Send for Datagrams {}
// SAFETY: every use needs `&mut self`.
unsafe impl Sync for Datagrams {}

impl Datagrams {
    /// Makes `io` usable from the other side.
    pub fn new<T: DatagramIo>(io: T) -> Self {
        Datagrams { raw: export::export(io), owner: Owner::NOBODY }
    }

    /// Receives into the buffers, one datagram each; answers how many, 0 at the end. `metas` must be
    /// as long as `buffers`.
    ///
    /// # Errors
    /// What the network or the driver says; a later call may succeed.
    pub fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        buffers: &mut [&mut [u8]],
        metas: &mut [DatagramMeta],
    ) -> Poll<Result<usize>> {
        let mut slots: Vec<RawDatagram> = buffers
            .iter_mut()
            .map(|buffer| RawDatagram {
                buffer: buffer.as_mut_ptr(),
                capacity: buffer.len(),
                len: 0,
                peer: RawAddr::default(),
                local: RawAddr::default(),
                segment: 0,
                ecn: 0,
            })
            .collect();
        let raw = self.raw;
        let mut error = ErrorSlot::new();
        let code = within_poll(self.owner, Operation::Receive, cx, |waker| {
            // SAFETY: the table belongs to the data; every slot has a live buffer.
            unsafe {
                let receive = (*raw.table).poll_recv;
                let (stride, room) = (size_of::<RawDatagram>(), slots.len());
                receive(raw.data, waker, slots.as_mut_ptr(), stride, room, error.as_mut_ptr())
            }
        });
        let what = "a session gave more datagrams than it was asked for";
        let count = std::task::ready!(count_of(code, &mut error, slots.len(), what))?;
        for ((meta, slot), buffer) in metas.iter_mut().zip(&mut slots[..count]).zip(buffers) {
            slot.capacity = buffer.len();
            // SAFETY: the slot is this side's own.
            *meta = unsafe { meta_of(slot) }?;
        }
        Poll::Ready(Ok(count))
    }

    /// Sends one datagram.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Limit`] when it is larger than [`Datagrams::max_size`].
    pub fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        meta: &DatagramMeta,
    ) -> Poll<Result<()>> {
        let slot = RawDatagram {
            buffer: bytes.as_ptr().cast_mut(),
            capacity: bytes.len(),
            len: bytes.len(),
            peer: meta.peer.into(),
            local: meta.local.into(),
            segment: meta.segment,
            ecn: u32::from(meta.ecn),
        };
        let raw = self.raw;
        let mut error = ErrorSlot::new();
        let code = within_poll(self.owner, Operation::Send, cx, |waker| {
            // SAFETY: the table belongs to the data; the far side only reads the buffer.
            unsafe {
                let (send, stride) = ((*raw.table).poll_send, size_of::<RawDatagram>());
                send(raw.data, waker, &raw const slot, stride, 1, error.as_mut_ptr())
            }
        });
        count_of(code, &mut error, 1, "more datagrams than given were sent").map(|sent| match sent?
        {
            0 => Err(untrue("no datagram was sent")),
            _ => Ok(()),
        })
    }

    /// The most bytes one datagram may have now.
    pub fn max_size(&mut self) -> usize {
        let size = watch::within(self.owner, Operation::Info, || {
            // SAFETY: the table belongs to the data.
            unsafe { ((*self.raw.table).max_size)(self.raw.data) }
        });
        usize::try_from(size).unwrap_or(usize::MAX)
    }

    /// Receives one datagram; `None` is the end. Cancel safe.
    ///
    /// # Errors
    /// As [`Datagrams::poll_recv`].
    pub async fn recv(&mut self, buffer: &mut [u8]) -> Result<Option<DatagramMeta>> {
        let mut meta = [DatagramMeta::default()];
        let count =
            std::future::poll_fn(|cx| self.poll_recv(cx, &mut [&mut *buffer], &mut meta)).await?;
        Ok((count == 1).then_some(meta[0]))
    }

    /// Sends one datagram. Cancel safe.
    ///
    /// # Errors
    /// As [`Datagrams::poll_send`].
    pub async fn send(&mut self, bytes: &[u8], meta: DatagramMeta) -> Result<()> {
        std::future::poll_fn(|cx| self.poll_send(cx, bytes, &meta)).await
    }
}

/// The length of a datagram, which is no more than its buffer's.
fn check_len(len: usize, capacity: usize) -> Result<usize> {
    if len <= capacity {
        return Ok(len);
    }
    let error = untrue("a datagram is longer than its buffer");
    Err(error.with("length", len).with("at_most", capacity))
}

/// # Errors
/// A length above the capacity.
///
/// # Safety
/// `slot` has all fields of version 1.0.
unsafe fn meta_of(slot: *const RawDatagram) -> Result<DatagramMeta> {
    // SAFETY: by this function's contract; no reference to the whole of it is made, which may be
    // shorter than this side's.
    unsafe {
        Ok(DatagramMeta {
            len: check_len((*slot).len, (*slot).capacity)?,
            peer: (*slot).peer.into(),
            local: (*slot).local.into(),
            segment: (*slot).segment,
            ecn: ((*slot).ecn & 0b11) as u8,
        })
    }
}

impl Transfer for Datagrams {
    type Raw = RawObject<DatagramsTable>;
    fn into_raw(self) -> Self::Raw {
        if !self.owner.is_nobody() {
            return Datagrams::new(Passed::new(self)).into_raw();
        }
        std::mem::ManuallyDrop::new(self).raw
    }
    unsafe fn from_raw(raw: Self::Raw) -> Self {
        // SAFETY: a table is alive as long as its binary, which is never unloaded.
        unsafe {
            if !is_whole(raw.table) {
                return Datagrams::new(Broken("datagram facet"));
            }
            Datagrams { raw, owner: owner_of(&raw const (*raw.table).home) }
        }
    }
}

impl Drop for Datagrams {
    fn drop(&mut self) {
        watch::within(self.owner, Operation::Drop, || {
            // SAFETY: this is the only owner.
            unsafe { ((*self.raw.table).drop)(self.raw.data) };
        });
    }
}

/// Another plugin's datagrams, on their way to a plugin.
struct Passed {
    inner: Datagrams,
    /// As of the last poll.
    max_size: usize,
}

impl Passed {
    fn new(mut inner: Datagrams) -> Self {
        let max_size = inner.max_size();
        Passed { inner, max_size }
    }
}

impl DatagramIo for Passed {
    fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<Result<Option<DatagramMeta>>> {
        let mut meta = [DatagramMeta::default()];
        let count = std::task::ready!(self.inner.poll_recv(cx, &mut [buffer], &mut meta))?;
        Poll::Ready(Ok((count == 1).then_some(meta[0])))
    }
    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &[u8],
        meta: &DatagramMeta,
    ) -> Poll<Result<()>> {
        self.max_size = self.inner.max_size();
        self.inner.poll_send(cx, &buffer[..meta.len], meta)
    }
    fn max_size(&self) -> usize {
        self.max_size
    }
}

impl std::fmt::Debug for Datagrams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Datagrams")
    }
}
