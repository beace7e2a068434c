//! SNMP of others: the agent, the receiver of notifications and the commands of net-snmp, and the agent snmpsim.

use std::{fs, path::Path, process::Command};

use crate::support::{
    need::need,
    peers::python::python_program,
    ports,
    process::{Process, Ran, command, run, tempdir},
};

/// Users of version 3 by the algorithms that they have, all with the passwords `authpass123` and `privpass123`.
const USERS: &str = "createUser md5des MD5 authpass123 DES privpass123\n\
     createUser sha1 SHA authpass123 AES privpass123\n\
     createUser sha224 SHA-224 authpass123 AES privpass123\n\
     createUser sha256 SHA-256 authpass123 AES privpass123\n\
     createUser sha384 SHA-384 authpass123 AES privpass123\n\
     createUser sha512 SHA-512 authpass123 AES privpass123\n\
     createUser aes192 SHA authpass123 AES-192 privpass123\n\
     createUser aes256 SHA authpass123 AES-256 privpass123\n\
     createUser open\n\
     rouser md5des priv\nrouser sha1 priv\nrouser sha224 priv\nrouser sha256 priv\n\
     rouser sha384 priv\nrouser sha512 priv\nrouser aes192 priv\nrouser aes256 priv\n\
     rouser open noauth\n";

/// A program of net-snmp that keeps its state in `folder` and loads no MIB files.
fn net_snmp(program: &str, package: &str, folder: &Path) -> Command {
    let mut command = command(need(program, package));
    command.env("SNMP_PERSISTENT_DIR", folder.join("state")).env("MIBS", "");
    command
}

/// net-snmp's agent, over UDP and TCP at one port.
pub(crate) struct Snmpd {
    _process: Process,
    pub(crate) port: u16,
}

impl Snmpd {
    pub(crate) async fn start() -> Self {
        ports::with_free_port(async |port| {
            let folder = tempdir();
            let file = folder.path().join("snmpd.conf");
            let text = format!(
                "agentaddress udp:127.0.0.1:{port},tcp:127.0.0.1:{port}\n\
                 rocommunity public 127.0.0.1\nrwcommunity private 127.0.0.1\n{USERS}\
                 sysLocation here\nsysContact me\n"
            );
            fs::write(&file, text).expect("a configuration");
            let mut agent = net_snmp("snmpd", "snmpd", folder.path());
            agent.args(["-f", "-Lo", "-C", "-I", "-smux", "-c"]).arg(&file);
            let mut process = Process::spawn_in("snmpd", folder, agent);
            process.logged("NET-SNMP version").await?;
            Ok(Self { _process: process, port })
        })
        .await
    }

    /// Its address, with a community that is no secret.
    pub(crate) fn uri(&self) -> String {
        format!("snmp://public@127.0.0.1:{}", self.port)
    }
}

/// net-snmp's receiver of notifications, which writes each as a line.
pub(crate) struct Snmptrapd {
    process: Process,
    pub(crate) port: u16,
}

impl Snmptrapd {
    pub(crate) async fn start() -> Self {
        ports::with_free_port(async |port| {
            let folder = tempdir();
            let file = folder.path().join("snmptrapd.conf");
            let text = "authCommunity log public\n\
                 createUser -e 0x8000000001020304 sender SHA-256 authpass123 AES privpass123\n\
                 createUser sender SHA-256 authpass123 AES privpass123\n\
                 authUser log sender\n\
                 format1 v1 %N %w %q %v\\n\nformat2 v2 %V|%v\\n\n";
            fs::write(&file, text).expect("a configuration");
            let mut receiver = net_snmp("snmptrapd", "snmptrapd", folder.path());
            receiver.args(["-f", "-Lo", "-On", "-n", "-C", "-c"]).arg(&file);
            receiver.arg(format!("udp:127.0.0.1:{port}"));
            let mut process = Process::spawn_in("snmptrapd", folder, receiver);
            process.logged("NET-SNMP version").await?;
            Ok(Self { process, port })
        })
        .await
    }

    /// Waits for `text` in what it writes, and gives the rest of that line.
    pub(crate) async fn says(&mut self, text: &str) -> String {
        self.process.logged(text).await.unwrap_or_else(|log| panic!("{log}"))
    }
}

/// Runs a command of net-snmp, such as `snmptrap`.
pub(crate) async fn snmp(program: &str, arguments: &[&str]) -> Ran {
    let folder = tempdir();
    let mut command = net_snmp(program, "snmp", folder.path());
    command.args(["-On", "-t", "10", "-r", "1"]).args(arguments);
    run(command, "").await
}

/// snmpsim, which answers what stands in a record.
pub(crate) struct Snmpsim {
    _process: Process,
    pub(crate) port: u16,
}

impl Snmpsim {
    /// One with the user `sim`, whose algorithms are `auth` and `privacy`, in snmpsim's words.
    pub(crate) async fn start(record: &str, auth: &str, privacy: &str) -> Self {
        ports::with_free_port(async |port| {
            let folder = tempdir();
            let at = |name: &str| folder.path().join(name);
            fs::create_dir_all(at("data")).expect("a folder");
            fs::create_dir_all(at("cache")).expect("a folder");
            fs::write(at("data/public.snmprec"), record).expect("a record");
            let mut agent = python_program("snmpsim-command-responder");
            agent.arg(format!("--data-dir={}", at("data").display()));
            agent.arg(format!("--cache-dir={}", at("cache").display()));
            agent.arg(format!("--agent-udpv4-endpoint=127.0.0.1:{port}"));
            agent.args(["--process-user=root", "--process-group=root", "--v3-user=sim"]);
            agent.args(["--v3-auth-key=authpass123", "--v3-priv-key=privpass123"]);
            agent.arg(format!("--v3-auth-proto={auth}")).arg(format!("--v3-priv-proto={privacy}"));
            let mut process = Process::spawn_in("snmpsim", folder, agent);
            // It says that it listens before it does.
            let address = format!("127.0.0.1:{port}");
            let asks =
                ["-v2c", "-c", "public", "-t", "0.3", "-r", "0", &address, "1.3.6.1.2.1.1.3.0"];
            process.ready(async |_| snmp("snmpget", &asks).await.code == Some(0)).await?;
            Ok(Self { _process: process, port })
        })
        .await
    }

    pub(crate) fn uri(&self) -> String {
        format!("snmp://public@127.0.0.1:{}", self.port)
    }
}
