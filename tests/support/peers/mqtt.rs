//! MQTT of others: mosquitto and its clients, scripts on paho-mqtt, and the brokers aedes and amqtt.

use std::{fs, process::Command};

use tokio::net::TcpStream;

use crate::support::{
    certs::Certs,
    need::need,
    peers::{
        node::node,
        python::{python, python_module},
    },
    ports,
    process::{Process, Ran, command, run, tempdir},
};

/// mosquitto with a listener for TCP, one for TLS and one for WebSocket.
pub(crate) struct Mosquitto {
    process: Process,
    pub(crate) port: u16,
    pub(crate) tls: u16,
    pub(crate) ws: u16,
}

impl Mosquitto {
    /// Anyone may use it.
    pub(crate) async fn start(certs: &Certs) -> Self {
        Self::with(certs, "allow_anonymous true\n").await
    }

    /// With lines of its configuration.
    pub(crate) async fn with(certs: &Certs, lines: &str) -> Self {
        let program = need("mosquitto", "mosquitto");
        ports::with_free_port(async |port| {
            let (tls, ws) = (ports::free(), ports::free());
            let folder = tempdir();
            let certificate = fs::read_to_string(&certs.server.certificate).expect("a file");
            let key = fs::read_to_string(&certs.server.key).expect("a file");
            let at = |name: &str| folder.path().join(name);
            fs::write(at("server.crt"), certificate).expect("a file");
            fs::write(at("server.key"), key).expect("a file");
            let text = format!(
                "per_listener_settings false\n{}\nlistener {port} 127.0.0.1\n\
                 listener {tls} 127.0.0.1\ncertfile {}\nkeyfile {}\n\
                 listener {ws} 127.0.0.1\nprotocol websockets\n\
                 persistence false\nuser root\n",
                lines,
                at("server.crt").display(),
                at("server.key").display(),
            );
            let file = at("mosquitto.conf");
            fs::write(&file, text).expect("a configuration");
            let mut server = command(&program);
            server.args(["-v", "-c"]).arg(&file);
            let mut process = Process::spawn_in("mosquitto", folder, server);
            process.ready(async |_| is_open(port).await && is_open(tls).await).await?;
            Ok(Self { process, port, tls, ws })
        })
        .await
    }

    pub(crate) fn uri(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    /// What follows `text` in the first line of its log that has it.
    pub(crate) async fn logged(&mut self, text: &str) -> String {
        self.process.logged(text).await.unwrap_or_else(|log| panic!("{log}"))
    }

    pub(crate) fn log(&self) -> String {
        self.process.log()
    }
}

async fn is_open(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).await.is_ok()
}

fn client(program: &str, port: u16, arguments: &[&str]) -> Command {
    // What it prints is to be read while it runs.
    let mut client = command(need("stdbuf", "coreutils"));
    client.arg("-oL").arg(need(program, "mosquitto-clients"));
    client.args(["-h", "127.0.0.1", "-p", &port.to_string()]).args(arguments);
    client
}

/// `mosquitto_pub` to its end.
pub(crate) async fn mosquitto_pub(port: u16, arguments: &[&str]) -> Ran {
    run(client("mosquitto_pub", port, arguments), "").await
}

/// `mosquitto_sub`, which has subscribed when this completes.
pub(crate) async fn mosquitto_sub(port: u16, arguments: &[&str]) -> Process {
    let mut process = Process::spawn("mosquitto_sub", client("mosquitto_sub", port, arguments));
    process.logged("SUBACK").await.unwrap_or_else(|log| panic!("{log}"));
    process
}

/// A script on paho-mqtt, to its end.
pub(crate) async fn paho(port: u16, arguments: &[&str]) -> Ran {
    let mut script = python("mqtt_paho.py");
    script.arg(port.to_string()).args(arguments);
    run(script, "").await
}

/// The broker amqtt, of 3.1.1.
pub(crate) struct Amqtt {
    _process: Process,
    pub(crate) port: u16,
}

impl Amqtt {
    pub(crate) async fn start() -> Self {
        ports::with_free_port(async |port| {
            let folder = tempdir();
            let file = folder.path().join("amqtt.yaml");
            let text = format!(
                "listeners:\n  default:\n    type: tcp\n    bind: 127.0.0.1:{port}\nplugins:\n  \
                 amqtt.plugins.authentication.AnonymousAuthPlugin:\n    allow_anonymous: true\n"
            );
            fs::write(&file, text).expect("a configuration");
            let mut server = python_module("amqtt.scripts.broker_script");
            server.arg("-c").arg(&file);
            let mut process = Process::spawn_in("amqtt", folder, server);
            process.ready(async |_| is_open(port).await).await?;
            Ok(Self { _process: process, port })
        })
        .await
    }
}

/// The broker aedes, of 3.1.1.
pub(crate) struct Aedes {
    process: Process,
    pub(crate) port: u16,
}

impl Aedes {
    pub(crate) async fn start() -> Self {
        let mut process = Process::spawn("aedes", node("mqtt_aedes.js"));
        let port = process.logged_port("listening on port ").await;
        Self { process, port }
    }

    pub(crate) fn uri(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    /// What follows `text` in the first line of its log that has it.
    pub(crate) async fn logged(&mut self, text: &str) -> String {
        self.process.logged(text).await.unwrap_or_else(|log| panic!("{log}"))
    }
}
