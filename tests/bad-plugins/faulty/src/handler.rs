//! A handler.

use crate::fault::{Fault, Place};
use jackfield_plugin_api::{Facets, Handler, HandlerInfo, Host, Result, Session};

/// Takes any session and does nothing with it.
#[derive(Debug)]
pub struct FaultyHandler(Fault);

impl Handler for FaultyHandler {
    const INFO: HandlerInfo = HandlerInfo::new(
        "faulty",
        "Fails where it is told to",
        Facets::STREAM.union(Facets::MESSAGES),
    );
    type Options = Fault;

    fn new(_host: Host, fault: Fault) -> Result<Self> {
        fault.at(Place::Configure);
        Ok(FaultyHandler(fault))
    }

    async fn serve(&self, _session: Session) -> Result<()> {
        self.0.reach(Place::Serve).await;
        Ok(())
    }
}
