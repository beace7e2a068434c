//! A host that runs until its process is told to stop.

use super::Manager;
use jackfield_plugin_api::Result;
use tokio::signal::unix::{SignalKind, signal};

impl Manager {
    /// Serves until the process gets SIGINT or SIGTERM, then [shuts down](Manager::shutdown) and returns how many
    /// connections had to be ended. Signals are handled from this call on, not from the first poll, and the two
    /// no longer end the process by themselves from then on, even if the future is dropped: a program that wants a
    /// second signal to end it at once handles that itself. Cancel safe until a signal has come; dropped after
    /// that, the shutdown is left where it is, and can be repeated.
    ///
    /// # Errors
    /// What the system says when it does not let signals be handled.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn run_until_signal(&self) -> Result<impl Future<Output = usize> + Send + use<>> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let manager = self.clone();
        Ok(async move {
            let name = tokio::select! {
                _ = interrupt.recv() => "SIGINT",
                _ = terminate.recv() => "SIGTERM",
            };
            tracing::info!(signal = name, "stopping");
            manager.shutdown().await
        })
    }
}
