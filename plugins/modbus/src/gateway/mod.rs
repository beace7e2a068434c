//! [`ModbusGateway`]: many masters before few lines, each of which does one thing after the other.

mod line;
mod line_running;
mod masters;
mod options;
mod serving;

pub use options::{GatewayOptions, LineOptions, MasterOptions};

use jackfield_plugin_api::{
    Error, Facets, Handler, HandlerInfo, Health, Host, Op, Result, Session,
};
use line::{Budget, Line};
use masters::Masters;
use serde_json::json;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// How often counts are told.
const SWEEP: Duration = Duration::from_secs(1);

/// What the sessions of a gateway share.
struct Hub {
    host: Host,
    lines: Vec<Arc<Line>>,
    masters: Masters,
}

/// The `modbus_gateway` handler.
pub struct ModbusGateway {
    hub: Arc<Hub>,
    /// Run while this is held.
    _tasks: Vec<Op<()>>,
}

impl Handler for ModbusGateway {
    const INFO: HandlerInfo = HandlerInfo::new(
        "modbus_gateway",
        "Many masters of modbus listeners before a few lines or slow devices",
        Facets::MESSAGES,
    );
    type Options = GatewayOptions;

    fn new(host: Host, options: GatewayOptions) -> Result<Self> {
        let masters = Masters::new(&options.masters)?;
        let times = line_running::Times::new(&options)?;
        let window = crate::endpoint::seconds("coalesce", options.coalesce)?;
        if options.lines.is_empty() {
            let text = "expected a line, such as { bus = { uri = \"modbus-rtu:///dev/ttyUSB0\" } }";
            return Err(Error::option("lines", text));
        }
        let most = usize::try_from(options.max_queue).unwrap_or(usize::MAX);
        let budget = Arc::new(Budget::new(most));
        let mut lines = Vec::new();
        let mut tasks = Vec::new();
        for (name, given) in options.lines {
            check(&lines, &name, &given)?;
            let (line, queue) = Line::new(name, given, window, Arc::clone(&budget));
            let line = Arc::new(line);
            tasks.push(host.spawn(line_running::run(host, Arc::clone(&line), queue, times)));
            lines.push(line);
        }
        let hub = Arc::new(Hub { host, lines, masters });
        tasks.push(host.spawn(sweep(Arc::downgrade(&hub))));
        Ok(ModbusGateway { hub, _tasks: tasks })
    }

    fn health(&self) -> Health {
        let down: Vec<&str> =
            self.hub.lines.iter().filter(|line| !line.is_up()).map(|line| line.name()).collect();
        match down.is_empty() {
            true => Health::ok(),
            false => Health::degraded(format!("lines that are not open: {}", down.join(", "))),
        }
    }

    async fn serve(&self, session: Session) -> Result<()> {
        serving::serve(&self.hub, session).await
    }
}

/// Whether a line can stand beside those before it.
fn check(lines: &[Arc<Line>], name: &str, given: &LineOptions) -> Result<()> {
    let wrong = |text: String| Err(Error::option("lines", text).with("line", name));
    if given.uri.is_empty() {
        return wrong("expected a `uri`, such as modbus-rtu:///dev/ttyUSB0?baud=9600".to_owned());
    }
    if lines.iter().any(|line| line.is_rest()) && given.units.is_empty() {
        return wrong("expected `units`: another line has all that no line names".to_owned());
    }
    let twice = (0..=u8::MAX)
        .find(|unit| given.units.has(*unit) && lines.iter().any(|line| line.names(*unit)));
    match twice {
        Some(unit) => wrong(format!("unit {unit} is of another line, too")),
        None => Ok(()),
    }
}

impl Hub {
    /// The line of a unit: the one that names it, else the one that names none.
    fn line(&self, unit: u8) -> Option<&Arc<Line>> {
        let named = self.lines.iter().find(|line| line.names(unit));
        named.or_else(|| self.lines.iter().find(|line| line.is_rest()))
    }
}

/// Tells what has happened, until the gateway is gone.
async fn sweep(hub: Weak<Hub>) {
    let Some(host) = hub.upgrade().map(|hub| hub.host) else { return };
    let mut timer = host.timer(SWEEP);
    loop {
        (&mut timer).await;
        let Some(hub) = hub.upgrade() else { return };
        for line in &hub.lines {
            for (name, count) in line.news() {
                host.metric("counter", name, &json!({ "line": line.name() }), count);
            }
        }
        drop(hub);
        timer.reset(SWEEP);
    }
}
