//! One suite for every driver: each case that its facets make sensible, with real sockets between.
//!
//! A driver is a [`subject::Subject`]: how it reaches a far end that behaves as a case wants. A row
//! of the table in `plugins/README.md` belongs to each; the test that runs the row's cases fails
//! when the file says something else, and `JACKFIELD_WRITE_TABLE=1` lets it write its row instead.
//!
//! To add a driver: a function in `drivers` that describes it, and its name in the list below.

mod cases;
mod drivers;
mod far;
mod interloper;
mod mangler;
mod pipe;
mod subject;
mod table;

/// A test for each driver, and the list of all.
macro_rules! drivers {
    ($($name:ident)*) => {
        const SUBJECTS: &[fn() -> subject::Subject] = &[$(drivers::$name),*];

        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                table::row(drivers::$name()).await;
            }
        )*
    };
}

drivers! { tcp tls ws ssh unix unixgram udp process serial http telnet quic webtransport proxy socks5 hsms secs1 mqtt
modbus modbus_rtu modbus_ascii snmp sntp dns netconf restconf }

#[tokio::test]
async fn the_table_has_every_driver_and_every_case() {
    table::frame(SUBJECTS).await;
}
