//! What authors need of other crates, so that they need not name them, nor know which of their versions
//! are part of this interface.

/// The traits of byte streams, those of tokio, and what they are mostly used with. None of it needs a
/// runtime.
pub mod io {
    pub use tokio::io::{
        AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt,
        BufReader, BufStream, BufWriter, ReadBuf, ReadHalf, WriteHalf, copy, copy_bidirectional,
        duplex, split,
    };
}

/// The traits of message streams, those of the crate `futures`, and what they are mostly used with.
pub mod futures {
    pub use futures_core::Stream;
    pub use futures_sink::Sink;
    pub use futures_util::future::{self, FutureExt};
    pub use futures_util::sink::{self, SinkExt};
    pub use futures_util::stream::{self, StreamExt, TryStreamExt};
}

/// Locks and channels of tokio, which need no runtime.
pub mod sync {
    pub use tokio::sync::*;
}

/// What most plugins name: `use jackfield_plugin_api::prelude::*;`.
pub mod prelude {
    pub use crate::futures::{SinkExt as _, StreamExt as _};
    pub use crate::io::{AsyncReadExt as _, AsyncWriteExt as _};
    pub use crate::serde_json::{Value, json};
    pub use crate::{
        Address, Control, Driver, DriverInfo, Error, ErrorKind, Event, EventQueue, Facets, Handler,
        HandlerInfo, Host, Info, Interceptor, InterceptorInfo, Level, Listener, Message,
        MessageKind, Messages, NoParams, Operation, Request, Result, Role, Scheme, Secret, Session,
        Stream, Transform, Wire, export_plugin, options, params,
    };
}
