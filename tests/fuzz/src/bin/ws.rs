//! WebSocket from a peer: heads as they come, frames after a head that is right.
#![no_main]

use futures_util::StreamExt;
use fuzz_targets::{carrier_saying, host, run};
use jackfield_plugin_api::{Address, Driver, Request, Result, Role, Session, testing};
use jackfield_ws::{WsDriver, WsOptions};
use libfuzzer_sys::fuzz_target;

const HEAD: &[u8] = b"GET / HTTP/1.1\r\nHost: a.test\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

fuzz_target!(|bytes: &[u8]| {
    let Some((role, bytes)) = bytes.split_first() else { return };
    run(async {
        // Whatever it is that is wrong, it is an error.
        let _ = match role % 3 {
            0 => receive(Role::Client, bytes.to_vec()).await,
            1 => receive(Role::Server, bytes.to_vec()).await,
            _ => receive(Role::Server, [HEAD, bytes].concat()).await,
        };
    });
});

async fn receive(role: Role, bytes: Vec<u8>) -> Result<()> {
    let driver = WsDriver::new(host())?;
    let endpoint = driver.configure(WsOptions::default(), role)?;
    let address = Address::new("a.test", 80).with_path("/");
    let request = Request::new(address, testing::DEADLINE).with_carrier(carrier_saying(&bytes));
    let session: Session = match role {
        Role::Client => driver.open(&endpoint, request).await?,
        Role::Server => driver.accept(&endpoint, request).await?,
    };
    let mut messages = session.take_messages().expect("messages");
    while let Some(message) = messages.next().await {
        message?;
    }
    Ok(())
}
