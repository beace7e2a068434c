//! Protocols of the application that one peer offers, on their way to the other: what a client of a WebSocket
//! listener offers is what the WebSocket behind it is asked for.

use jackfield_plugin_api::Request;
use tokio::task_local;

task_local! {
    static OFFERED: Vec<String>;
}

/// Opens stacks in `work` with these protocols on offer, the preferred one first. Sessions that other tasks
/// open, as those of a pool that refills itself, offer their own. Cancel safe as `work` is.
pub async fn offering<F: Future>(protocols: Vec<String>, work: F) -> F::Output {
    OFFERED.scope(protocols, work).await
}

/// `request` with what is on offer.
pub(super) fn offered(request: Request) -> Request {
    match OFFERED.try_with(Clone::clone) {
        Ok(protocols) => request.with_protocols(protocols),
        Err(_) => request,
    }
}
