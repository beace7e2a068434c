//! The devices of a lab and of a factory that the README asks: equipment, registers, an agent, servers of configuration,
//! names and the time.

use std::{fs, path::Path};

use tokio::net::UdpSocket;

use super::world::stands_for;
use crate::support::{
    host::TestHost,
    peers::{http::RestconfServer, names::NamePeer, netconfd::Netconfd, snmp::Snmpd},
};

/// What is there by this host itself: equipment by HSMS, registers by Modbus, and the time.
const DEVICES: &str = r#"
[handlers.echo]
[handlers.memory]
handler = "modbus_memory"
options = { holding_registers = { "100" = [16968, 0, 7, 8] } }
[handlers.clock]
handler = "sntp_server"
[[routes]]
listen = "hsms://10.0.0.5:5000"
to = "handlers.echo"
options = { answers = { S1F1 = "S1F2 <L <A \"etch\"> <A \"1.0\">> .", S1F13 = "S1F14 <L <B 0> <L>> ." } }
[[routes]]
listen = "modbus://10.0.0.7:502"
to = "handlers.memory"
[[routes]]
listen = "udp://10.0.0.2:123"
to = "handlers.clock"
"#;

/// All of it; `known` are the known hosts of the user.
pub(super) async fn peers(known: &Path) -> Vec<Box<dyn Send>> {
    let devices = TestHost::start(DEVICES).await;
    let names = NamePeer::start(|asked| vec![asked.addresses(60, &[[192, 0, 2, 1]])]).await;
    datagrams_stand_for("10.0.0.2:53", names.address.port()).await;
    let agent = Snmpd::start().await;
    datagrams_stand_for("10.0.0.8:161", agent.port).await;
    let netconf = Netconfd::start().await;
    stands_for("10.0.0.9:830", netconf.sshd.port()).await;
    let key = known.with_file_name("netconf");
    fs::copy(netconf.sshd.key(), key).expect("a key");
    let server = fs::read_to_string(netconf.sshd.known_hosts()).expect("a key of the host");
    let server = server.replace(&format!("[127.0.0.1]:{}", netconf.sshd.port()), "[10.0.0.9]:830");
    let all = fs::read_to_string(known).expect("known hosts");
    fs::write(known, format!("{all}\n{server}")).expect("known hosts");
    let restconf = RestconfServer::start().await;
    stands_for("10.0.0.9:8080", restconf.port()).await;
    vec![Box::new(devices), Box::new(names), Box::new(agent), Box::new(netconf), Box::new(restconf)]
}

/// As [`stands_for`], for datagrams of one client after the other.
async fn datagrams_stand_for(address: &str, port: u16) {
    let here = UdpSocket::bind(address).await.expect("an address of this world");
    let there = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    there.connect(("127.0.0.1", port)).await.expect("the peer");
    tokio::spawn(async move {
        let (mut asked, mut answer) = ([0; 65_535], [0; 65_535]);
        let mut client = None;
        loop {
            tokio::select! {
                got = here.recv_from(&mut asked) => {
                    let Ok((length, from)) = got else { return };
                    client = Some(from);
                    // Who asks in vain asks again.
                    let _ = there.send(&asked[..length]).await;
                }
                got = there.recv(&mut answer) => {
                    if let (Ok(length), Some(client)) = (got, client) {
                        let _ = here.send_to(&answer[..length], client).await;
                    }
                }
            }
        }
    });
}
