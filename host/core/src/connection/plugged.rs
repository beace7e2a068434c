//! [`Plugged`]: an interceptor of a plugin as one of the host's.

use super::intercept::{Call, Calling, Interceptor, Next};
use crate::driver::Prepared;
use jackfield_plugin_api::{self as api, Error, ErrorKind, Result};
use serde_json::Value;
use std::convert::Infallible;
use std::future::pending;
use tokio::sync::oneshot;

/// An interceptor of a plugin, with its options in place.
#[derive(Debug)]
pub struct Plugged(Prepared);

/// A call on its way to what is behind, and where its result goes.
type PluginCall = (api::Call, oneshot::Sender<Result<Value>>);

impl Plugged {
    /// Around whatever calls pass it.
    pub fn new(prepared: Prepared) -> Self {
        Plugged(prepared)
    }
}

impl Interceptor for Plugged {
    fn intercept<'a>(&'a self, call: Call<'a>, next: Next<'a>) -> Calling<'a> {
        Box::pin(async move {
            let (ask, asked) = oneshot::channel::<PluginCall>();
            let rest = api::Next::new(move |call| async move {
                let gone = || Error::new(ErrorKind::Cancelled, "the call was cancelled");
                let (tell, told) = oneshot::channel();
                ask.send((call, tell)).map_err(|_| gone())?;
                told.await.unwrap_or_else(|_| Err(gone()))
            });
            let call =
                api::Call::new(call.connection, call.driver, call.operation, call.params.clone());
            // What is behind is borrowed from the caller, so it runs here and not in the plugin's future.
            tokio::select! {
                biased;
                result = self.0.intercept(&call, rest) => result,
                never = go_on(asked, &next) => match never {},
            }
        })
    }
}

/// Runs the calls behind the interceptor as they come, until their caller stops waiting.
async fn go_on(asked: oneshot::Receiver<PluginCall>, next: &Next<'_>) -> Infallible {
    if let Ok((call, mut tell)) = asked.await {
        let result = tokio::select! {
            result = next.run_as(&call.operation, &call.params) => Some(result),
            () = tell.closed() => None,
        };
        if let Some(result) = result {
            // Whoever has given up meanwhile needs no result.
            let _ = tell.send(result);
        }
    }
    pending().await
}
