//! Bytes from a peer to both roles of `mqtt`: the first byte chooses the role and version, and whether an honest
//! CONNECT or CONNACK comes before the rest.

#![no_main]

use fuzz_targets::{carrier_answering, carrier_saying, host, run};
use futures_util::StreamExt;
use jackfield_mqtt::{MqttDriver, MqttOptions};
use jackfield_plugin_api::{Address, Driver, Request, Role};
use libfuzzer_sys::fuzz_target;
use std::time::Duration;

const CONNECT_5: &[u8] = b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x01c";
const CONNECT_3: &[u8] = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01c";

fuzz_target!(|input: &[u8]| {
    let Some((how, rest)) = input.split_first() else { return };
    let (server, three, honest) = (how & 1 != 0, how & 2 != 0, how & 4 != 0);
    let head: &[u8] = match (honest, server, three) {
        (false, ..) => b"",
        (true, true, true) => CONNECT_3,
        (true, true, false) => CONNECT_5,
        (true, false, true) => b"\x20\x02\x00\x00",
        (true, false, false) => b"\x20\x03\x00\x00\x00",
    };
    let bytes = [head, rest].concat();
    run(async {
        let driver = MqttDriver::new(host()).expect("a driver");
        let mut options = MqttOptions::default();
        if three && !server {
            options.version = jackfield_mqtt::MqttVersion::ThreeOneOne;
        }
        options.anonymous = server;
        options.packets = how & 8 != 0;
        let role = if server { Role::Server } else { Role::Client };
        let endpoint = driver.configure(options, role).expect("options");
        let request = Request::new(Address::new("peer", 1883), Duration::from_secs(60));
        let session = if server {
            driver.accept(&endpoint, request.with_carrier(carrier_saying(&bytes))).await
        } else {
            driver.open(&endpoint, request.with_carrier(carrier_answering(bytes))).await
        };
        let Ok(session) = session else { return };
        let Some(mut messages) = session.take_messages() else { return };
        while let Some(Ok(message)) = messages.next().await {
            assert!(message.metadata.starts_with(b"{"));
        }
    });
});
