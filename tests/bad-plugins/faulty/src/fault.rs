//! Where and how to fail.

use crate::deed::Deed;
use schemars::JsonSchema;
use serde::Deserialize;

/// Options of everything in this plugin.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Fault {
    /// Where to fail; nowhere if it is not given.
    pub at: Option<Place>,
    /// How to fail.
    pub how: How,
    /// A port of 127.0.0.1 for `gate`.
    pub gate: u16,
}

/// How to fail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// By a panic.
    #[default]
    Panic,
    /// By a panic whose payload panics when it is dropped.
    PanicTwice,
    /// By never returning.
    Block,
    /// By computing for ever.
    Spin,
    /// By not returning before a connection to the port `gate` ends.
    Gate,
    /// By never completing; where nothing is awaited, not at all.
    Wait,
    /// As nothing but a deed of its own could: see [`crate::deed`].
    #[serde(untagged)]
    Deed(Deed),
    /// By what it says it has read or written: see [`crate::data`].
    #[serde(untagged)]
    Lie(Lie),
}

/// What streams can say that is not so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Lie {
    /// Puts a buffer with other content in the place of the one that it was lent.
    Swap,
    /// Says that it wrote one byte more than it was given.
    OneMore,
    /// Says that it wrote as much as there can be.
    Most,
    /// Says that it wrote nothing.
    None,
    /// Gives bytes without end.
    Endless,
    /// Gives or takes nothing, and wakes nobody.
    Silent,
    /// Gives nothing, and wakes who reads without end.
    Restless,
}

/// Where to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "each is the name of an entry of the ABI")]
pub enum Place {
    Configure,
    Open,
    OpenCall,
    Accept,
    Listen,
    ListenerInfo,
    ListenerAccept,
    Serve,
    Request,
    Info,
    Read,
    Write,
    Flush,
    Shutdown,
    TakeFd,
    Recv,
    Send,
    SendStart,
    FlushMessages,
    CloseMessages,
    DatagramRecv,
    DatagramSend,
    DatagramSize,
    ExchangeSend,
    ExchangeAccept,
    Body,
    Answer,
    Call,
    OpenStream,
    AcceptStream,
    Dial,
    Ping,
    Event,
    Close,
    Drain,
    DropEndpoint,
    DropListener,
    DropSession,
    DropStream,
    DropMessages,
    DropDatagrams,
    DropExchange,
    DropBody,
    DropBytes,
    DropOp,
}

struct Again;

impl Drop for Again {
    fn drop(&mut self) {
        panic!("told to panic when the payload is dropped");
    }
}

/// Never returns.
pub(crate) fn block() -> ! {
    loop {
        std::thread::park();
    }
}

impl Fault {
    /// Fails if this is the place.
    pub(crate) fn at(self, place: Place) {
        if self.at != Some(place) {
            return;
        }
        match self.how {
            How::Panic => panic!("told to panic at {place:?}"),
            How::PanicTwice => std::panic::panic_any(Again),
            How::Block => block(),
            How::Spin => loop {
                std::hint::spin_loop();
            },
            How::Gate => {
                let open = std::net::TcpStream::connect(("127.0.0.1", self.gate));
                let _ = open.and_then(|mut gate| std::io::Read::read(&mut gate, &mut [0]));
            }
            How::Deed(deed) => deed.done(),
            How::Wait | How::Lie(_) => {}
        }
    }

    /// Fails if this is the place, also by waiting.
    pub(crate) async fn reach(self, place: Place) {
        self.at(place);
        match self.how {
            _ if self.at != Some(place) => {}
            How::Wait => std::future::pending::<()>().await,
            How::Deed(deed) => deed.awaited().await,
            _ => {}
        }
    }

    /// What is said at this place that is not so.
    pub(crate) fn lie(self, place: Place) -> Option<Lie> {
        match self.how {
            How::Lie(lie) if self.at == Some(place) => Some(lie),
            _ => None,
        }
    }

    /// Fails when the result is dropped.
    pub(crate) fn on_drop(self, place: Place) -> OnDrop {
        OnDrop(self, place)
    }
}

/// Fails when it is dropped.
#[derive(Debug)]
pub(crate) struct OnDrop(Fault, Place);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.at(self.1);
    }
}
