//! The reverse proxy that Pingora's own guide builds, for `tests/benches/http/run`: one thread, connections
//! to the origin kept, who asked said in `x-forwarded-for`.
//!
//! `bench-pingora LISTEN ORIGIN`, two addresses.

use std::process::ExitCode;

use async_trait::async_trait;
use pingora::http::RequestHeader;
use pingora::prelude::{HttpPeer, Result, Server, http_proxy_service};
use pingora::proxy::{ProxyHttp, Session};
use pingora::server::configuration::ServerConf;

/// Everything goes to one origin.
struct Proxy(String);

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(&*self.0, false, String::new())))
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        (): &mut (),
    ) -> Result<()> {
        let client = session.client_addr().and_then(|address| address.as_inet());
        let client = client.map(|address| address.ip().to_string()).unwrap_or_default();
        request.insert_header("x-forwarded-for", client)
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [listen, origin] = arguments.as_slice() else {
        eprintln!("bench-pingora LISTEN ORIGIN");
        return ExitCode::from(2);
    };
    let conf =
        ServerConf { threads: 1, upstream_keepalive_pool_size: 128, ..ServerConf::default() };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let mut service = http_proxy_service(&server.configuration, Proxy(origin.clone()));
    service.add_tcp(listen);
    server.add_service(service);
    server.run_forever()
}
