//! A device with two paths: `cargo run -p jackfield --example device`.
//!
//! Its driver is linked in, so that nothing has to be there to connect to: it says what it is reached
//! by, and lets in who knows the password.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use jackfield::connection::{Caller, Policy, Target};
use jackfield::device::{Device, Devices, Exclusive, LeaseOptions};
use jackfield::device::{ObserverOptions, Observers, Path, Seen};
use jackfield::driver::Registry;
use jackfield::secret::Resolver;
use jackfield::services::PluginServices;
use jackfield::stack::{Plan, Stack};
use jackfield_plugin_api::load::Module;
use jackfield_plugin_api::{
    Driver, DriverInfo, Error, ErrorKind, Facets, Host, Info, Request, Result, Role, Scheme,
    Session, Stream,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
struct DeskOptions {
    password: String,
}

struct Desk;

impl Driver for Desk {
    const INFO: DriverInfo = DriverInfo::transport("desk", "A device on the desk")
        .schemes(&[Scheme::new("desk", "desk")])
        .client()
        .facets(Facets::STREAM);
    type Options = DeskOptions;
    type Endpoint = DeskOptions;

    fn new(_: Host) -> Result<Self> {
        Ok(Desk)
    }

    fn configure(&self, options: DeskOptions, _: Role) -> Result<DeskOptions> {
        Ok(options)
    }

    async fn open(&self, options: &DeskOptions, request: Request) -> Result<Session> {
        if options.password != "right" {
            return Err(Error::new(ErrorKind::Denied, "wrong password"));
        }
        let (near, mut far) = tokio::io::duplex(1024);
        let greeting = format!("this is the {}", request.address.host);
        far.write_all(greeting.as_bytes()).await.map_err(Error::from)?;
        Ok(Session::of_stream(Info::default(), Stream::new(near)))
    }
}

jackfield_plugin_api::export_plugin! { drivers: [Desk], handlers: [] }

async fn stack(registry: &Registry, uri: &str, password: &str) -> Result<Stack> {
    let uri = uri.parse().map_err(|error| Error::new(ErrorKind::Config, format!("{error}")))?;
    let plan = Plan::new(&uri, registry, Role::Client, false)?;
    let options = Map::from_iter([("password".to_owned(), Value::from(password))]);
    Ok(Stack::new(plan, &options, Role::Client, &Resolver::default()).await?)
}

#[tokio::main]
async fn main() -> Result<()> {
    let module = Module::of_static::<Plugin>();
    let services = PluginServices::new("desk", Arc::default(), Box::new(|_| ()));
    let mut registry = Registry::default();
    registry.add_plugin(&module.init(Arc::new(services), "{}")?, module.describe()?);

    // The second credentials are tried because the first are refused.
    let cli = Target::new(stack(&registry, "desk://cli", "wrong").await?, None)
        .or_else(vec![stack(&registry, "desk://cli", "right").await?]);
    let console = Target::new(stack(&registry, "desk://console", "right").await?, None);
    let exclusive = Exclusive::new("core1.console", LeaseOptions::default());
    let observers = Observers::new("core1.console", ObserverOptions::default());
    let policy = Policy::default();
    let paths = vec![
        Path::shared("core1", "cli", cli, policy.clone()),
        Path::exclusive("core1", "console", console, policy, exclusive, observers),
    ];
    let devices = Devices::default();
    devices.add(Device::new("core1", paths, Some("console"))?.with_aliases(vec!["c1".into()]))?;

    let limit = Duration::from_secs(5);
    let device = devices.get("c1")?;
    // Connected once, however often it is asked for.
    let cli = device.connect(Some("cli"), limit).await?;
    println!(
        "cli: {}, the same: {}",
        cli.state(),
        device.connect(Some("cli"), limit).await?.id == cli.id
    );

    // Someone works on the console, someone else watches.
    let path = device.path(None)?;
    let mut watcher = path.observers().map(Observers::observe).transpose()?;
    let session = path.open(&Caller::new("ann", "upgrade"), limit).await?;
    let mut stream = session.take_stream().ok_or_else(|| Error::unsupported("bytes"))?;
    let mut greeting = [0; 19];
    stream.read_exact(&mut greeting).await.map_err(Error::from)?;
    println!("ann reads: {}", String::from_utf8_lossy(&greeting));
    if let Some(Some(Seen::Bytes(bytes))) = match &mut watcher {
        Some(watcher) => Some(watcher.next().await),
        None => None,
    } {
        println!("the watcher sees: {}", String::from_utf8_lossy(&bytes));
    }
    if let Err(error) = device.path(Some("rest")) {
        println!("{error}");
    }
    device.disconnect_all("done").await;
    Ok(())
}
