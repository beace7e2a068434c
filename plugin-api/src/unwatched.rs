//! In a plugin nothing is marked: see the module of this name in a host.

/// No plugin.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Owner;

#[derive(Clone, Copy)]
pub(crate) enum Operation {
    Call,
    Open,
    Accept,
    Listen,
    Serve,
    Intercept,
    OpenStream,
    AcceptStream,
    Dial,
    Ping,
    Event,
    Drain,
    Reset,
    Request,
    Configure,
    Health,
    Read,
    Write,
    Flush,
    Shutdown,
    TakeFd,
    Receive,
    Send,
    Close,
    Body,
    Answer,
    Info,
    Drop,
}

impl Owner {
    pub(crate) const NOBODY: Owner = Owner;

    #[expect(clippy::unused_self, reason = "as in a host")]
    pub(crate) fn is_nobody(self) -> bool {
        true
    }
}

#[inline]
pub(crate) fn within<R>(_: Owner, _: Operation, call: impl FnOnce() -> R) -> R {
    call()
}

pub(crate) fn current() -> Owner {
    Owner
}
