//! [`Target`]: one place to connect to, directly or via another connection.

use super::managed::Managed;
use crate::stack::Stack;
use jackfield_plugin_api::{Result, Session};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// A stack and what carries it.
#[derive(Debug)]
pub struct Target {
    stack: Stack,
    via: Option<Arc<Managed>>,
}

impl Target {
    /// A target reached by its own transport, or via another connection.
    pub fn new(stack: Stack, via: Option<Arc<Managed>>) -> Self {
        Target { stack, via }
    }

    /// Its stack.
    pub fn stack(&self) -> &Stack {
        &self.stack
    }

    /// Opens a session of its own within `limit`, dialling included. Cancel safe: what was open is
    /// dropped.
    ///
    /// # Errors
    /// The first layer's that fails, or the carrying connection's.
    pub async fn open(&self, limit: Duration) -> Result<Session> {
        let Some(via) = &self.via else {
            return self.stack.open(None, limit).await;
        };
        let deadline = Instant::now() + limit;
        let carrier = via.dial(self.stack.address(), limit).await?;
        let left = deadline.saturating_duration_since(Instant::now());
        self.stack.open(Some(carrier), left).await
    }
}
