//! [`NetconfOptions`].

use jackfield_plugin_api::options;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

options! {
    /// Options of `netconf`.
    pub struct NetconfOptions {
        /// The newest base that is offered: `"1.1"`, with messages in chunks where the server has it too, or `"1.0"`.
        pub base: Base = Base::V1_1,
        /// In which form results and notifications are, where an operation does not say.
        pub format: Form = Form::Xml,
        /// The most bytes of one message, in either direction.
        #[schemars(range(min = 1024))]
        pub max_message: u32 = 16 << 20,
        /// The most elements in elements.
        #[schemars(range(min = 8, max = 1024))]
        pub max_depth: u32 = 128,
        /// Requests that may be without an answer at once; more wait.
        #[schemars(range(min = 1, max = 1024))]
        pub max_requests: u32 = 16,
        /// Notifications and other events kept until they are fetched; the oldest are dropped.
        #[schemars(range(min = 1))]
        pub events: u32 = 256,
    }
}

/// A version of the protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Base {
    /// RFC 4741: messages end with `]]>]]>`.
    #[serde(rename = "1.0")]
    V1_0,
    /// RFC 6241.
    #[default]
    #[serde(rename = "1.1")]
    V1_1,
}

/// How data is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// As the server has written it.
    #[default]
    Xml,
    /// As objects, without a model: see the README.
    Json,
}
