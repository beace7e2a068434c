//! Parameters of the operations that change something, or ask for something else than data.

use crate::options::Form;
use crate::request::{Content, running};
use schemars::JsonSchema;
use serde::Deserialize;

/// Parameters of `edit_config`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EditConfig {
    /// `running`, `candidate` or `startup`.
    #[serde(default = "running")]
    pub(crate) target: String,
    /// What is to be configured, or the URL where that is.
    pub(crate) config: Content,
    /// `merge`, `replace` or `none`. Not set: merge.
    #[serde(default)]
    pub(crate) default_operation: Option<String>,
    /// `test-then-set`, `set` or `test-only`.
    #[serde(default)]
    pub(crate) test_option: Option<String>,
    /// `stop-on-error`, `continue-on-error` or `rollback-on-error`.
    #[serde(default)]
    pub(crate) error_option: Option<String>,
}

/// Parameters of `copy_config`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CopyConfig {
    /// A datastore or a URL.
    pub(crate) source: String,
    /// A datastore or a URL.
    pub(crate) target: String,
}

/// Parameters of `delete_config`, `lock` and `unlock`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Target {
    /// `running`, `candidate` or `startup`; of `delete_config` also a URL.
    pub(crate) target: String,
}

/// Parameters of `validate`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Validate {
    /// A datastore or a URL.
    #[serde(default = "candidate")]
    pub(crate) source: String,
}

fn candidate() -> String {
    "candidate".to_owned()
}

/// Parameters of `commit`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Commit {
    /// Taken back unless it is committed again in time.
    #[serde(default)]
    pub(crate) confirmed: bool,
    /// Seconds until then. Not set: 600, as the server has it.
    #[serde(default)]
    pub(crate) confirm_timeout: Option<u32>,
    /// A name by which another session can confirm it.
    #[serde(default)]
    pub(crate) persist: Option<String>,
    /// That name, when it is confirmed.
    #[serde(default)]
    pub(crate) persist_id: Option<String>,
}

/// Parameters of `cancel_commit`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CancelCommit {
    /// The name that the commit was given by `persist`.
    #[serde(default)]
    pub(crate) persist_id: Option<String>,
}

/// Parameters of `create_subscription`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateSubscription {
    /// The stream of notifications. Not set: `NETCONF`.
    #[serde(default)]
    pub(crate) stream: Option<String>,
    /// A subtree of what is wanted. Not set: all.
    #[serde(default)]
    pub(crate) filter: Option<Content>,
    /// What has happened since then is told first: a time as in `2026-01-02T03:04:05Z`.
    #[serde(default)]
    pub(crate) start_time: Option<String>,
    /// The end of the subscription.
    #[serde(default)]
    pub(crate) stop_time: Option<String>,
}

/// Parameters of `kill_session`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KillSession {
    /// The number of another session.
    pub(crate) session_id: u32,
}

/// Parameters of `get_schema`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GetSchema {
    /// The module.
    pub(crate) identifier: String,
    /// Its revision.
    #[serde(default)]
    pub(crate) version: Option<String>,
}

/// Parameters of `rpc`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rpc {
    /// What is in the request: one element of an operation that has no name here.
    pub(crate) content: Content,
    /// In which form the result is; not set: as the option says.
    #[serde(default)]
    pub(crate) format: Option<Form>,
}
