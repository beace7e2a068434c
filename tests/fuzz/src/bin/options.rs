//! Options of drivers as JSON, as far as their drivers check them; and what stands in texts: paths,
//! addresses, signals, permissions.
#![no_main]

use fuzz_targets::host;
use jackfield_plugin_api::{Address, Driver, Role};
use libfuzzer_sys::fuzz_target;

#[allow(dead_code, reason = "the driver uses the rest")]
#[path = "../../../../plugins/serial/src/place.rs"]
mod device;
#[allow(dead_code, reason = "the driver uses the rest")]
#[path = "../../../../plugins/process/src/signals.rs"]
mod signals;
#[allow(dead_code, reason = "the driver uses the rest")]
#[path = "../../../../plugins/unix/src/place.rs"]
mod socket;

fuzz_target!(|bytes: &[u8]| {
    let Some((which, bytes)) = bytes.split_first() else { return };
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match which % 10 {
        0 => texts(text),
        1 => check::<jackfield_udp::UdpDriver>(text),
        2 => check::<jackfield_process::ProcessDriver>(text),
        3 => check::<jackfield_serial::SerialDriver>(text),
        4 => check::<jackfield_telnet::TelnetDriver>(text),
        5 => check::<jackfield_unix::UnixDriver>(text),
        6 => check::<jackfield_unix::UnixgramDriver>(text),
        7 => check::<jackfield_tcp::TcpDriver>(text),
        8 => check::<jackfield_http::HttpDriver>(text),
        _ => check::<jackfield_ws::WsDriver>(text),
    }
});

fn check<D: Driver>(text: &str) {
    let driver = match D::new(host()) {
        Ok(driver) => driver,
        Err(error) => panic!("{error}"),
    };
    for role in [Role::Client, Role::Server] {
        let Ok(options) = serde_json::from_str::<D::Options>(text) else { return };
        if let Err(error) = driver.configure(options, role) {
            assert!(!error.to_string().is_empty());
        }
    }
}

fn texts(text: &str) {
    let address = Address::at_path(text.to_owned());
    if let Ok(path) = socket::path(&address) {
        assert!(path.len() < 108 && !path.contains('\0'));
    }
    if let Ok(path) = device::path(&address) {
        assert_eq!(path, text);
    }
    if let Ok(signal) = signals::of_name(text) {
        assert_eq!(signals::of_name(&signals::name_of(signal.as_raw())).ok(), Some(signal));
    }
    if let Ok(mode) = socket::mode(Some(text)) {
        assert!((1..=0o777).contains(&mode));
    }
}
