//! Drivers whose sessions are sockets of the host's.

use super::{SOON, registry};
use crate::secret::Resolver;
use crate::stack::{Plan, Stack};
use jackfield_plugin_api::{ErrorKind, Role};
use serde_json::Map;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

async fn direct(address: &str) -> Stack {
    let uri = format!("direct://{address}").parse().expect("a URI");
    let plan = Plan::new(&uri, &registry(), Role::Client, false).expect("a plan");
    let stack = Stack::new(plan, &Map::new(), Role::Client, &Resolver::default()).await;
    stack.map_err(jackfield_plugin_api::Error::from).expect("a stack")
}

#[tokio::test]
async fn a_socket_of_the_hosts_is_connected_without_a_call_into_its_plugin() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let port = listener.local_addr().expect("an address").port();
    // By its address, and by a name.
    for host in ["127.0.0.1", "localhost"] {
        let stack = direct(&format!("{host}:{port}")).await;
        let session = stack.open(None, SOON).await.expect("a session");
        let (mut far, peer) = listener.accept().await.expect("a connection");
        let local = session.socket_ends().and_then(|ends| ends.local);
        assert_eq!(local, Some(peer));
        let mut stream = session.take_stream().expect("its stream");
        stream.write_all(b"to there").await.expect("to be sent");
        let mut came = [0; 8];
        far.read_exact(&mut came).await.expect("to come");
        assert_eq!(&came, b"to there");
    }
}

#[tokio::test]
async fn an_address_without_a_port_is_for_the_driver() {
    let error = direct("127.0.0.1").await.open(None, SOON).await.expect_err("it connects nothing");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("direct"), "{error}");
}
