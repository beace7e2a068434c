//! What an exchange turns into: a session of plain bytes.

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use jackfield_plugin_api::Op;
use jackfield_plugin_api::{Info, Keeping, Session, Stream};
use std::any::Any;
use std::sync::Arc;

use crate::failure::failure;

/// The bytes after the exchange, with the facts of the connection they run in.
pub(crate) fn upgraded(
    on: OnUpgrade,
    info: Info,
    alive: Arc<dyn Any + Send + Sync>,
) -> Op<Session> {
    Op::new(async move {
        let io = TokioIo::new(on.await.map_err(|error| failure(&error))?);
        Ok(Session::of_stream(info, Stream::new(Keeping::new(io, alive))))
    })
}
