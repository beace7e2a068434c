//! A handler.

use crate::fault::{Fault, Place};
use futures_util::StreamExt;
use jackfield_plugin_api::{
    Body, BodyPart, Envelope, Facets, Handler, HandlerInfo, HeaderBlock, Host, Incoming, Result,
    Serving, Session,
};

/// Takes any session and does nothing with it, but answers requests.
#[derive(Debug)]
pub struct FaultyHandler(Fault);

impl Handler for FaultyHandler {
    const INFO: HandlerInfo = HandlerInfo::new(
        "faulty",
        "Fails where it is told to",
        Facets::STREAM.union(Facets::MESSAGES).union(Facets::EXCHANGE),
    )
    .private_runtime();
    type Options = Fault;

    fn new(_host: Host, fault: Fault) -> Result<Self> {
        fault.at(Place::Configure);
        Ok(FaultyHandler(fault))
    }

    async fn serve(&self, session: Session) -> Result<()> {
        self.0.reach(Place::Serve).await;
        let Some(exchange) = session.take_exchange() else { return Ok(()) };
        let mut serving = Serving::new(exchange, 100);
        std::future::poll_fn(|cx| serving.poll(cx, |incoming| answer(self.0, incoming))).await
    }
}

/// Sends the content of a request back as it comes; fails where the path says so.
async fn answer(fault: Fault, incoming: Incoming) {
    let Incoming { request, answer, .. } = incoming;
    if request.head.get(":path").is_some_and(|path| path == b"/fault") {
        fault.reach(Place::Request).await;
    }
    let head = HeaderBlock::new([(":status", "200")]).unwrap_or_default();
    let parts = request.body.filter_map(async |part| match part {
        Ok(BodyPart::Data(bytes)) => Some(Ok(BodyPart::Data(bytes))),
        Ok(_) => None,
        Err(error) => Some(Err(error)),
    });
    // Who asks is gone: there is nobody to tell.
    let _ = answer.send(Envelope::new(head, Body::new(Box::pin(parts)))).await;
}
