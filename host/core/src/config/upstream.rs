//! The keys of `[upstreams.NAME]`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::discover::DiscoverOptions;
use super::target::TargetConfig;
use super::templates::Extends;
use crate::upstream::UpstreamOptions;

/// `[upstreams.NAME]`: a named set of targets.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct UpstreamConfig {
    /// The template whose keys it has, too, as far as it does not say them itself; see `[templates.NAME]`. Files
    /// only. Default: none.
    #[schemars(extend("x-apply" = "none"))]
    pub extends: Extends,
    /// Where sessions can be taken: URIs, names of connections and paths of devices, or tables with `uri`
    /// or `to`, `weight`, `priority`, `max_connections`, `labels` and, beside `uri`, `options`, `via`,
    /// `login` and `credentials`. At least one.
    #[schemars(extend("x-apply" = "live"))]
    pub targets: Vec<TargetConfig>,
    /// Further targets, found by name. `targets` serve until something was found, and when nothing is left of it: with
    /// `priority = 1000` then only.
    pub discover: DiscoverOptions,
    /// What stands around the operations that are run on its targets, as for connections. Default: `[]`.
    pub interceptors: Vec<String>,
    /// How it serves.
    #[serde(flatten)]
    pub options: UpstreamOptions,
}
