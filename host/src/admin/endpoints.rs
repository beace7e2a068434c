//! Every endpoint of the admin API, in one table: what it is called, who may use it, and what it does. The router,
//! the answers to what there is not, and the OpenAPI document are made of it.

use super::problem::ApiProblem;
use super::request::{AdminRequest, Reply, segment};
use super::roles::AdminRole::{self, Admin, Operator, Viewer};
use super::{
    calls, changes, configuration, definitions, events, leases, lists, log, openapi, probes,
    status, streams, target_series, upgrade, verbs,
};
use crate::nearest::did_you_mean;
use hyper::{Method, StatusCode};
use matchit::Router;
use std::collections::BTreeMap;
use std::pin::Pin;

type Replying = Pin<Box<dyn Future<Output = Result<Reply, ApiProblem>> + Send>>;

/// One endpoint.
pub(super) struct Endpoint {
    pub(super) method: &'static str,
    /// With `{name}` for each part that stands for something.
    pub(super) path: &'static str,
    /// The least role that may use it.
    pub(super) role: AdminRole,
    pub(super) about: &'static str,
    /// Parameters of its query, with what they mean.
    pub(super) query: &'static [(&'static str, &'static str)],
    pub(super) run: fn(AdminRequest) -> Replying,
}

const WAIT: (&str, &str) =
    ("wait", "how long the answer waits until it is done, such as 30s; default 0s, at most 10m");
const DRY_RUN: (&str, &str) = ("dry_run", "true: says what is different, and changes nothing");
const REPLACE: (&str, &str) =
    ("replace", "true: takes the place of another definition of that name");
const STREAM: &[(&str, &str)] = &[
    ("ticket", "what lets one in, once"),
    ("offset", "of a stream that goes on: the first byte that is wanted"),
];
const LIST: &[(&str, &str)] = &[
    ("limit", "items in one answer, 1 to 1000; default 100"),
    ("cursor", "next of the answer before"),
    ("filter", "FIELD=VALUE, FIELD!=VALUE or FIELD~PART, with dots between keys; may be repeated"),
    ("fields", "keys to be shown, with commas between"),
];
const EVENTS: &[(&str, &str)] = &[
    ("kinds", "names of events, with commas between"),
    ("connection", "only events of this connection"),
    ("listener", "only events of this listener"),
    ("upstream", "only events of this upstream"),
    ("device", "only events of leases of this device, NAME or NAME.PATH"),
    ("driver", "only events of connections with this driver"),
    (
        "since",
        "as the header Last-Event-ID, for those who cannot send it; `start`: all that are kept",
    ),
];

macro_rules! table {
    ($($method:ident $path:literal $role:ident $run:path, $query:expr, $about:literal;)*) => {
        &[$(Endpoint {
            method: stringify!($method),
            path: $path,
            role: $role,
            about: $about,
            query: $query,
            run: |request| Box::pin($run(request)),
        }),*]
    };
}

/// All endpoints.
pub(super) const ENDPOINTS: &[Endpoint] = table! {
    GET "/healthz" Viewer status::healthy, &[], "Whether the host runs: `ok`.";
    GET "/readyz" Viewer status::ready, &[], "Whether the host takes connections: 200, or 503 once it stops.";
    GET "/metrics" Viewer status::metrics, &[("name[]", "only this metric; may be repeated")], "Metrics, as OpenMetrics text.";
    GET "/v1/metrics/targets" Viewer target_series::shown, &[], "Whether `/metrics` has series of each target, and for how long.";
    PUT "/v1/metrics/targets" Operator target_series::show, &[], "Has series of each target in `/metrics` for a time, however many targets there are.";
    GET "/v1/status" Viewer status::status, &[], "The host as a whole: how many there are of each thing, and how they are.";
    GET "/v1/openapi.json" Viewer openapi::document, &[], "This document.";
    GET "/v1/events" Viewer events::events, EVENTS, "Events as they happen, as server-sent events.";
    GET "/v1/log" Viewer log::levels, &[], "The level of the log, and what is changed of it for now.";
    PUT "/v1/log" Operator log::change, &[], "Changes the level of the log for a time.";

    POST "/v1/config/reload" Admin configuration::reload, &[DRY_RUN], "Reads the files and secrets again and takes over what is different, whole or not at all.";
    GET "/v1/config/history" Viewer configuration::history, &[], "The last versions of the configuration, the one in force last.";
    POST "/v1/config/rollback/{version}" Admin configuration::rollback, &[DRY_RUN], "Takes over a version that was in force before, as a new one.";
    GET "/v1/config/runtime" Viewer configuration::runtime, &[], "What was changed at run time, and how that differs from the configuration.";
    DELETE "/v1/config/runtime" Admin configuration::reset, &[], "Drops what was changed at run time: all is as the configuration says.";

    POST "/v1/upgrade" Admin upgrade::upgrade, &[], "Starts the program anew; the new process takes over all sockets, and this one ends with its last session.";

    GET "/v1/plugins" Viewer lists::list, LIST, "Plugin files, what became of each and how it is.";
    GET "/v1/plugins/{name}" Viewer lists::one, &[], "One plugin.";
    GET "/v1/drivers" Viewer lists::list, LIST, "Drivers with their schemes, options and operations.";
    GET "/v1/drivers/{name}" Viewer lists::one, &[], "One driver, by its name or a scheme.";
    GET "/v1/connections" Viewer lists::list, LIST, "Connections that live, accepted and dialled, and named ones that do not.";
    GET "/v1/connections/{name}" Viewer lists::one, &[], "One connection, by its name or its id.";
    GET "/v1/devices" Viewer lists::list, LIST, "Devices with their paths.";
    GET "/v1/devices/{name}" Viewer lists::one, &[], "One device, by its name or an alias.";
    GET "/v1/leases" Viewer lists::list, LIST, "Exclusive paths: who has each and who waits.";
    GET "/v1/leases/{name}" Viewer lists::one, &[], "The lease of one path, DEVICE.PATH.";
    GET "/v1/upstreams" Viewer lists::list, LIST, "Upstreams with their targets.";
    GET "/v1/upstreams/{name}" Viewer lists::one, &[], "One upstream.";
    GET "/v1/targets" Viewer lists::list, LIST, "Targets of all upstreams.";
    GET "/v1/targets/{upstream}/{name}" Viewer lists::one, &[], "One target.";
    GET "/v1/pools" Viewer lists::list, LIST, "Pools of targets.";
    GET "/v1/pools/{upstream}/{name}" Viewer lists::one, &[], "The pool of one target.";
    GET "/v1/routes" Viewer lists::list, LIST, "Routes: what listens, and where it leads.";
    GET "/v1/routes/{name}" Viewer lists::one, &[], "One route, by its listener as it is written, or its address.";
    GET "/v1/listeners" Viewer lists::list, LIST, "What listens, for routes and for code of the program.";
    GET "/v1/listeners/{name}" Viewer lists::one, &[], "One listener, as it is written, or its address.";
    GET "/v1/handlers" Viewer lists::list, LIST, "Handlers that routes can lead to.";
    GET "/v1/handlers/{name}" Viewer lists::one, &[], "One handler.";
    GET "/v1/operations" Viewer calls::operations, &[("to", "connections.NAME, devices.NAME.PATH or upstreams.NAME")], "Operations of what `to` names, with the schemas of their parameters.";

    POST "/v1/probe" Operator probes::probe, &[("within", "time for each target; default 10s")], "Opens what each of `to` names by its whole stack, pings it where it can, and closes.";
    POST "/v1/call" Operator calls::call, &[], "Runs an operation on what `to` names.";
    PUT "/v1/connections/{name}/connect" Operator verbs::connect, &[WAIT], "Connects a named connection.";
    PUT "/v1/connections/{name}/close" Operator verbs::close, &[WAIT], "Closes a connection politely; its definition stays.";
    PUT "/v1/connections/{name}/drain" Operator verbs::drain, &[WAIT, ("within", "how long what runs may take; default 30s")], "Takes nothing new, lets what runs finish, and closes.";
    GET "/v1/connections/{name}/diagnosis" Viewer probes::diagnosis, &[], "Why a connection is as it is, and what looks wrong.";
    POST "/v1/connections/{name}/ticket" Viewer streams::ticket, &[], "A ticket for a stream of one's own to where a connection leads, once and for 30 s; to write takes operator.";
    GET "/v1/connections/{name}/stream" Viewer streams::stream, STREAM, "A WebSocket to where a connection leads, by a session of one's own.";
    POST "/v1/connections/{name}/ping" Operator verbs::ping, &[("within", "default 5s")], "Asks the peer once, by a round trip where its driver has one.";
    POST "/v1/connections/{name}/call" Operator calls::call_live, &[], "Runs an operation on a connection that lives.";
    PUT "/v1/targets/{upstream}" Admin changes::add_target, &[], "Adds a target; the body is what a file says of one.";
    DELETE "/v1/targets/{upstream}/{name}" Admin changes::remove_target, &[], "Removes a target; its sessions go on.";
    PUT "/v1/targets/{upstream}/{name}/weight" Operator changes::weigh, &[], "Changes the weight of a target.";
    PUT "/v1/targets/{upstream}/{name}/drain" Operator changes::drain, &[WAIT], "Gives a target no new sessions.";
    PUT "/v1/targets/{upstream}/{name}/enable" Operator changes::enable, &[], "Gives a drained target the weight that it had.";
    POST "/v1/leases/{name}/take" Operator leases::take, &[WAIT], "Takes a lease and holds it for a time, without a session; `wait` waits for one's turn.";
    PUT "/v1/leases/{name}/held/{id}" Operator leases::renew, &[], "Holds a lease that was taken for longer, from now on.";
    DELETE "/v1/leases/{name}/held/{id}" Operator leases::release, &[], "Lets go of a lease that was taken.";
    PUT "/v1/leases/{name}/break" Operator changes::break_lease, &[], "Makes the holder of a lease let go.";
    POST "/v1/devices/{name}/paths/{path}/ticket" Viewer streams::ticket, &[], "A ticket for a stream of a path, to write, which takes operator and the lease, or to watch.";
    GET "/v1/devices/{name}/paths/{path}/stream" Viewer streams::stream, STREAM, "A WebSocket to a path of a device.";
    PUT "/v1/devices/{name}/paths/{path}/connect" Operator verbs::connect_path, &[WAIT], "Connects a path of a device.";
    PUT "/v1/devices/{name}/paths/{path}/close" Operator verbs::close_path, &[], "Closes the session of a path.";

    PUT "/v1/connections/{name}" Admin definitions::connection, &[REPLACE], "Defines a connection.";
    DELETE "/v1/connections/{name}" Admin definitions::no_connection, &[], "Closes a connection and forgets it.";
    PUT "/v1/devices/{name}" Admin definitions::device, &[REPLACE], "Defines a device with its paths.";
    DELETE "/v1/devices/{name}" Admin definitions::no_device, &[], "Removes a device with its paths.";
    PUT "/v1/devices/{name}/paths/{path}" Admin definitions::path, &[REPLACE], "Defines a path of a device.";
    DELETE "/v1/devices/{name}/paths/{path}" Admin definitions::no_path, &[], "Removes a path of a device.";
    PUT "/v1/devices/{name}/aliases/{alias}" Admin definitions::alias, &[], "Gives a device one more name.";
    DELETE "/v1/devices/{name}/aliases/{alias}" Admin definitions::no_alias, &[], "Takes a further name from a device.";
    PUT "/v1/upstreams/{name}" Admin definitions::upstream, &[REPLACE], "Defines an upstream.";
    DELETE "/v1/upstreams/{name}" Admin definitions::no_upstream, &[WAIT], "Removes an upstream; sessions in use of its pools are closed after `wait`.";
    PUT "/v1/handlers/{name}" Admin definitions::handler, &[REPLACE], "Defines a handler.";
    DELETE "/v1/handlers/{name}" Admin definitions::no_handler, &[], "Removes a handler.";
    PUT "/v1/routes" Admin definitions::route, &[REPLACE], "Adds a route; the body is what a file says of one.";
    DELETE "/v1/routes/{name}" Admin definitions::no_listener, &[WAIT], "Stops a route; what it has accepted is closed after `wait`, or goes on without it.";
    DELETE "/v1/listeners/{name}" Admin definitions::no_listener, &[WAIT], "As for routes, for any listener.";
};

/// An endpoint, and what stands in the path for its names.
type FoundEndpoint = (&'static Endpoint, Vec<(String, String)>);

/// The endpoints, found by path.
pub(super) struct Endpoints {
    router: Router<Vec<&'static Endpoint>>,
}

impl Endpoints {
    pub(super) fn all() -> Self {
        let mut by_path: BTreeMap<&str, Vec<&'static Endpoint>> = BTreeMap::new();
        for endpoint in ENDPOINTS {
            by_path.entry(endpoint.path).or_default().push(endpoint);
        }
        let mut router = Router::new();
        for (path, endpoints) in by_path {
            // Two paths that contradict each other would be a mistake in the table, which a test sees.
            let _ = router.insert(path, endpoints);
        }
        Endpoints { router }
    }

    /// The endpoint for a method and a path, and what stands there for its names.
    pub(super) fn find(&self, method: &Method, path: &str) -> Result<FoundEndpoint, ApiProblem> {
        let Ok(found) = self.router.at(path) else {
            let fixed = ENDPOINTS.iter().map(|endpoint| endpoint.path);
            let near = did_you_mean(path, fixed.filter(|path| !path.contains('{')));
            let hint = near.map(|near| format!(" (did you mean {near:?}?)")).unwrap_or_default();
            let text = format!("there is no such path{hint}; /v1/openapi.json has all of them");
            return Err(ApiProblem::not_found(text).near(near));
        };
        let wanted = if *method == Method::HEAD { "GET" } else { method.as_str() };
        let Some(endpoint) = found.value.iter().find(|endpoint| endpoint.method == wanted) else {
            let methods: Vec<&str> = found.value.iter().map(|endpoint| endpoint.method).collect();
            let methods = methods.join(", ");
            let text = format!("expected one of the methods {methods}");
            let status = StatusCode::METHOD_NOT_ALLOWED;
            return Err(ApiProblem::new(status, "method_not_allowed", text).allowing(methods));
        };
        let params = found.params.iter();
        let params = params.map(|(name, value)| Ok((name.to_owned(), segment(value)?)));
        let mut params = params.collect::<Result<Vec<_>, ApiProblem>>()?;
        // What a list is of stands in the path itself.
        let noun = path.split('/').nth(2).unwrap_or_default();
        params.push(("noun".to_owned(), noun.to_owned()));
        Ok((endpoint, params))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_of_the_table_is_found() {
        let endpoints = Endpoints::all();
        for endpoint in ENDPOINTS {
            let method = Method::from_bytes(endpoint.method.as_bytes()).unwrap();
            let path = endpoint.path.replace(['{', '}'], "");
            let found = endpoints.find(&method, &path).map(|(found, _)| found.path);
            assert_eq!(found.ok(), Some(endpoint.path), "{} {path}", endpoint.method);
        }
    }

    #[test]
    fn what_there_is_not_is_told_with_what_there_is() {
        let endpoints = Endpoints::all();
        let refused = |method: &Method, path: &str| match endpoints.find(method, path) {
            Err(problem) => problem,
            Ok((found, _)) => panic!("{path} is {}", found.path),
        };
        let near = refused(&Method::GET, "/v1/upsteams").to_json();
        assert_eq!(near["nearest"], "/v1/upstreams");
        let method = refused(&Method::POST, "/v1/upstreams/web");
        assert_eq!(method.status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(method.allow(), Some("GET, PUT, DELETE"));
        for path in ["", "/", "/v1", "/v1/../metrics", "/v1/targets/u/t/u/v", "//v1/status"] {
            assert_eq!(refused(&Method::GET, path).status, StatusCode::NOT_FOUND, "{path}");
        }
    }

    #[test]
    fn names_with_slashes_stand_in_one_part_of_a_path() {
        let path = "/v1/targets/web/tcp%3A%2F%2Fh%3A1%20via%20x";
        let (found, params) = Endpoints::all().find(&Method::GET, path).ok().unwrap();
        assert_eq!(found.path, "/v1/targets/{upstream}/{name}");
        assert!(params.contains(&("name".into(), "tcp://h:1 via x".into())), "{params:?}");
        for wrong in ["/v1/upstreams/%ff", "/v1/upstreams/a%00b"] {
            let refused = Endpoints::all().find(&Method::GET, wrong).err().unwrap();
            assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{wrong}");
        }
    }
}
