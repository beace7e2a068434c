//! The three drivers: one protocol, three ways to tell frames from each other.

use crate::endpoint::ModbusEndpoint;
use crate::frame::Framing;
use crate::options::ModbusOptions;
use crate::{client, operations, server};
use jackfield_plugin_api::{
    Driver, DriverInfo, Facets, Host, Operation, Request, Result, Role, Scheme, Session,
};
use std::sync::Arc;

/// What sessions of these drivers may have.
const FACETS: Facets = client::CALLS.union(Facets::MESSAGES);

macro_rules! driver {
    ($(#[$doc:meta])* $name:ident, $framing:expr, $info:expr) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name {
            host: Host,
        }

        impl Driver for $name {
            const INFO: DriverInfo = $info.client().server().facets(FACETS);
            type Options = ModbusOptions;
            type Endpoint = Arc<ModbusEndpoint>;

            fn new(host: Host) -> Result<Self> {
                Ok($name { host })
            }

            fn configure(&self, options: ModbusOptions, role: Role) -> Result<Self::Endpoint> {
                ModbusEndpoint::new(&options, $framing, role).map(Arc::new)
            }

            fn operations() -> Vec<Operation> {
                operations::all()
            }

            async fn open(&self, endpoint: &Self::Endpoint, mut request: Request) -> Result<Session> {
                Ok(client::session(self.host, endpoint, request.take_carrier()?))
            }

            async fn accept(&self, endpoint: &Self::Endpoint, mut request: Request) -> Result<Session> {
                Ok(server::session(self.host, endpoint, request.take_carrier()?))
            }
        }
    };
}

driver! {
    /// The `modbus` driver: Modbus on TCP.
    ModbusDriver,
    Framing::Tcp,
    DriverInfo::layer("modbus", "Modbus on TCP, with operations for registers and coils")
        .schemes(&[
            Scheme::new("modbus", "modbus+tcp").port(502),
            Scheme::new("modbuss", "modbus+tls+tcp").port(802),
        ])
        .query_options()
}

driver! {
    /// The `modbus-rtu` driver: frames of a serial line in binary form.
    ModbusRtuDriver,
    Framing::Rtu,
    DriverInfo::layer("modbus-rtu", "Modbus RTU on a serial line, or on a stream to one")
        .schemes(&[Scheme::new("modbus-rtu", "modbus-rtu+serial")])
}

driver! {
    /// The `modbus-ascii` driver: frames of a serial line as text.
    ModbusAsciiDriver,
    Framing::Ascii,
    DriverInfo::layer("modbus-ascii", "Modbus ASCII on a serial line, or on a stream to one")
        .schemes(&[Scheme::new("modbus-ascii", "modbus-ascii+serial")])
}
