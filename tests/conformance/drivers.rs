//! How the suite reaches each driver. One function for each; nothing else names them.

mod asking;
mod modbus;
mod mqtt;
mod quic;
mod secs1;
mod snmp;

pub(super) use asking::{dns, netconf, restconf, sntp};
pub(super) use modbus::{modbus, modbus_ascii, modbus_rtu};
pub(super) use mqtt::mqtt;
pub(super) use quic::{quic, webtransport};
pub(super) use secs1::secs1;
pub(super) use snmp::snmp;

use futures_util::FutureExt;
use serde_json::json;

use super::{
    far::Wrapping,
    mangler::{Hostile, Victim},
    subject::{OnDatagrams, Subject, World, no_form},
};
use crate::support::{
    certs::Certs,
    peers::{
        echo::Refusing,
        proxies::Microsocks,
        socat::Socat,
        sshd::{Sshd, USER},
    },
    process::tempdir,
};

/// More than any head may have, and no end of it.
const ENDLESS: usize = 4 << 20;

fn endless(victim: Victim, start: &str) -> Hostile {
    let bytes = [start.as_bytes(), &vec![b'a'; ENDLESS]].concat();
    Hostile { victim, after_head: false, bytes }
}

/// What refuses TCP connections, for a stack of `scheme`. The port stays taken until the test ends.
fn refused(scheme: &str) -> String {
    let refusing = Box::leak(Box::new(Refusing::new()));
    format!("{scheme}://{}", refusing.address())
}

pub(super) fn tcp() -> Subject {
    Subject {
        name: "tcp",
        world: |behaviour| {
            async move {
                World::of_both_roles(behaviour, "tcp://127.0.0.1:0", "", Wrapping::Bytes)
                    .await
                    .with_uri(|local| format!("tcp://{local}"))
            }
            .boxed_local()
        },
        at: None,
        on_datagrams: OnDatagrams::No,
        nowhere: Some(|| (refused("tcp"), json!({}))),
        oversized: no_form,
        except: &[],
    }
}

pub(super) fn tls() -> Subject {
    /// A record that says it is longer than one may be (RFC 8446 §5.1).
    fn oversized() -> Vec<Hostile> {
        let bytes = [&[22, 3, 3, 0xff, 0xff][..], &[0; 0xffff]].concat();
        [Victim::Client, Victim::Server]
            .map(|victim| Hostile { victim, after_head: false, bytes: bytes.clone() })
            .into()
    }
    Subject {
        name: "tls",
        world: |behaviour| {
            async move {
                let certs = Certs::new();
                let options = format!(
                    "certificate_file = {:?}, key_file = {:?}",
                    certs.server.certificate, certs.server.key
                );
                World::of_both_roles(behaviour, "tls+tcp://127.0.0.1:0", &options, Wrapping::Bytes)
                    .await
                    .with_uri(|local| format!("tls+tcp://{local}"))
                    .with_options(json!({ "ca_file": certs.ca }))
                    .keeping(certs)
            }
            .boxed_local()
        },
        at: Some(|_, address| format!("tls+tcp://{address}")),
        on_datagrams: OnDatagrams::No,
        nowhere: Some(|| (refused("tls+tcp"), json!({}))),
        oversized,
        except: &[],
    }
}

pub(super) fn ws() -> Subject {
    /// A frame that says it has 2^63 − 1 bytes; and heads without an end.
    fn oversized() -> Vec<Hostile> {
        let frame = |mask: u8| [&[0x82, mask | 127, 0x7f][..], &[0xff; 7], &[0; 64]].concat();
        vec![
            Hostile { victim: Victim::Client, after_head: true, bytes: frame(0) },
            Hostile { victim: Victim::Server, after_head: true, bytes: frame(0x80) },
            endless(Victim::Client, "HTTP/1.1 101 Switching Protocols\r\nX-Long: "),
            endless(Victim::Server, "GET / HTTP/1.1\r\nX-Long: "),
        ]
    }
    Subject {
        name: "ws",
        world: |behaviour| {
            async move {
                World::of_both_roles(behaviour, "ws://127.0.0.1:0", "", Wrapping::Bytes)
                    .await
                    .with_uri(|local| format!("ws://{local}"))
            }
            .boxed_local()
        },
        at: Some(|_, address| format!("ws://{address}")),
        on_datagrams: OnDatagrams::No,
        nowhere: Some(|| (refused("ws"), json!({}))),
        oversized,
        except: &[],
    }
}

pub(super) fn ssh() -> Subject {
    /// A greeting without an end, and a packet that says it has 4 GiB (RFC 4253 §6.1).
    fn oversized() -> Vec<Hostile> {
        let packet = [b"SSH-2.0-peer\r\n".as_slice(), &[0xff; 512]].concat();
        vec![
            endless(Victim::Client, "SSH-2.0-"),
            Hostile { victim: Victim::Client, after_head: false, bytes: packet },
        ]
    }
    Subject {
        name: "ssh",
        world: |behaviour| {
            async move {
                let sshd = Sshd::start().await;
                let world = World::of_client(behaviour).await;
                let exec = world.joining().join(" ");
                let options = json!({
                    "key_file": sshd.key(), "known_hosts": sshd.known_hosts(), "exec": exec,
                    "host_keys": "accept_new",
                });
                world
                    .with_uri(|_| format!("ssh://{USER}@127.0.0.1:{}", sshd.port()))
                    .with_options(options)
                    .with_server(([127, 0, 0, 1], sshd.port()).into())
                    .keeping(sshd)
            }
            .boxed_local()
        },
        at: Some(|_, address| format!("ssh://{USER}@{address}")),
        on_datagrams: OnDatagrams::No,
        nowhere: Some(|| (refused("ssh"), json!({}))),
        oversized,
        except: &[(
            "peer's end first",
            "OpenSSH's server tells that a program has closed its output only when the program ends",
        )],
    }
}

pub(super) fn unix() -> Subject {
    Subject {
        name: "unix",
        world: |behaviour| {
            async move {
                let folder = tempdir();
                let listen = format!("unix://{}/s", folder.path().display());
                World::of_both_roles(behaviour, &listen, "", Wrapping::Bytes)
                    .await
                    .with_uri(|_| listen)
                    .keeping(folder)
            }
            .boxed_local()
        },
        at: None,
        on_datagrams: OnDatagrams::No,
        nowhere: Some(|| ("unix:///nowhere/at/all".to_owned(), json!({}))),
        oversized: no_form,
        except: &[],
    }
}

pub(super) fn unixgram() -> Subject {
    Subject {
        name: "unixgram",
        world: |behaviour| {
            async move {
                let folder = tempdir();
                let listen = format!("unixgram://{}/s", folder.path().display());
                World::of_both_roles(behaviour, &listen, "", Wrapping::Bytes)
                    .await
                    .with_uri(|_| listen)
                    .without_ends()
                    .keeping(folder)
            }
            .boxed_local()
        },
        at: None,
        on_datagrams: OnDatagrams::Unix,
        nowhere: Some(|| ("unixgram:///nowhere/at/all".to_owned(), json!({}))),
        oversized: no_form,
        except: &[],
    }
}

pub(super) fn udp() -> Subject {
    Subject {
        name: "udp",
        world: |behaviour| {
            async move {
                World::of_both_roles(behaviour, "udp://127.0.0.1:0", "", Wrapping::Bytes)
                    .await
                    .with_uri(|local| format!("udp://{local}"))
                    .without_ends()
            }
            .boxed_local()
        },
        at: None,
        on_datagrams: OnDatagrams::Plain(|address| format!("udp://{address}")),
        nowhere: None,
        oversized: no_form,
        except: &[],
    }
}

pub(super) fn process() -> Subject {
    Subject {
        name: "process",
        world: |behaviour| {
            async move {
                let world = World::of_client(behaviour).await;
                let command = world.joining();
                world
                    .with_uri(|_| "process:".to_owned())
                    .with_options(json!({ "command": command }))
            }
            .boxed_local()
        },
        at: None,
        on_datagrams: OnDatagrams::No,
        nowhere: Some(|| ("process:".to_owned(), json!({ "command": ["/nowhere/at/all"] }))),
        oversized: no_form,
        except: &[],
    }
}

pub(super) fn telnet() -> Subject {
    /// A subnegotiation without an end.
    fn oversized() -> Vec<Hostile> {
        let bytes = [&[255, 250, 39][..], &[b'x'; 0xffff]].concat();
        [Victim::Client, Victim::Server]
            .map(|victim| Hostile { victim, after_head: false, bytes: bytes.clone() })
            .into()
    }
    Subject {
        name: "telnet",
        world: |behaviour| {
            async move {
                World::of_both_roles(behaviour, "telnet://127.0.0.1:0", "", Wrapping::Bytes)
                    .await
                    .with_uri(|local| format!("telnet://{local}"))
                    .with_options(json!({ "ping": true }))
            }
            .boxed_local()
        },
        at: Some(|_, address| format!("telnet://{address}")),
        on_datagrams: OnDatagrams::No,
        nowhere: Some(|| (refused("telnet"), json!({}))),
        oversized,
        except: &[
            ("silent peer", "a server need not say anything: it may be a bare console"),
            ("our end first", "a client ends as a whole, as servers and consoles take it"),
        ],
    }
}

pub(super) fn hsms() -> Subject {
    /// A message that says it has 4 GiB.
    fn oversized() -> Vec<Hostile> {
        let bytes = vec![0xff; 0xffff];
        [Victim::Client, Victim::Server]
            .map(|victim| Hostile { victim, after_head: false, bytes: bytes.clone() })
            .into()
    }
    Subject {
        name: "hsms",
        world: |behaviour| {
            async move {
                World::of_both_roles(behaviour, "hsms://127.0.0.1:0", "t7 = 6", Wrapping::Bytes)
                    .await
                    .with_uri(|local| format!("hsms://{local}"))
                    // A case opens again at once where another has ended.
                    .with_options(json!({ "t5": 0, "t6": 3 }))
            }
            .boxed_local()
        },
        at: Some(|_, address| format!("hsms://{address}")),
        on_datagrams: OnDatagrams::No,
        nowhere: Some(|| (refused("hsms"), json!({}))),
        oversized,
        except: &[],
    }
}

pub(super) fn serial() -> Subject {
    Subject {
        name: "serial",
        world: |behaviour| {
            async move {
                let folder = tempdir();
                let device = folder.path().join("line");
                let world = World::of_client(behaviour).await;
                let from = format!("PTY,link={},raw,echo=0", device.display());
                let to = format!("TCP:{}", world.far.address());
                let socat = Socat::start(&from, &to, "starting data transfer loop").await;
                world
                    .with_uri(|_| format!("serial://{}", device.display()))
                    .without_ends()
                    .keeping(socat)
                    .keeping(folder)
            }
            .boxed_local()
        },
        at: None,
        on_datagrams: OnDatagrams::No,
        nowhere: Some(|| ("serial:///nowhere/at/all".to_owned(), json!({}))),
        oversized: no_form,
        except: &[
            ("our end first", "a line knows no end"),
            ("peer's end first", "a line knows no end"),
        ],
    }
}

pub(super) fn http() -> Subject {
    fn oversized() -> Vec<Hostile> {
        vec![
            endless(Victim::Client, "HTTP/1.1 200 OK\r\nX-Long: "),
            endless(Victim::Server, "GET / HTTP/1.1\r\nX-Long: "),
        ]
    }
    Subject {
        name: "http",
        world: |behaviour| {
            async move {
                World::of_both_roles(behaviour, "http://127.0.0.1:0", "", Wrapping::Chunks)
                    .await
                    .with_uri(|local| format!("http://{local}"))
            }
            .boxed_local()
        },
        at: Some(|_, address| format!("http://{address}")),
        on_datagrams: OnDatagrams::No,
        nowhere: Some(|| (refused("http"), json!({}))),
        oversized,
        except: &[
            ("silent peer", "opening asks nothing: `response_timeout` bounds each request"),
            ("loss is told", "a kept connection that ends is no loss: the next request tells"),
        ],
    }
}

pub(super) fn proxy() -> Subject {
    Subject {
        name: "proxy",
        world: |behaviour| {
            async move {
                let listen = "proxy+tcp://127.0.0.1:0";
                let options = "trusted = [\"127.0.0.1\"]";
                World::of_both_roles(behaviour, listen, options, Wrapping::Bytes)
                    .await
                    .with_uri(|local| format!("proxy+tcp://{local}"))
            }
            .boxed_local()
        },
        // Behind its header every byte is data.
        at: None,
        on_datagrams: OnDatagrams::No,
        nowhere: Some(|| (refused("proxy+tcp"), json!({}))),
        oversized: no_form,
        except: &[],
    }
}

pub(super) fn socks5() -> Subject {
    /// An answer whose name is longer than what comes.
    fn oversized() -> Vec<Hostile> {
        let bytes = [&[5, 0, 5, 0, 0, 3, 255][..], &[b'a'; 16]].concat();
        vec![Hostile { victim: Victim::Client, after_head: false, bytes }]
    }
    Subject {
        name: "socks5",
        world: |behaviour| {
            async move {
                let socks = Microsocks::start().await;
                let world = World::of_client(behaviour).await;
                let far = world.far.address();
                world
                    .with_uri(|_| format!("socks5://127.0.0.1:{}/{far}", socks.port))
                    .with_server(([127, 0, 0, 1], socks.port).into())
                    .keeping(socks)
            }
            .boxed_local()
        },
        at: Some(|world, address| format!("socks5://{address}/{}", world.far.address())),
        on_datagrams: OnDatagrams::No,
        nowhere: Some(|| (format!("{}/127.0.0.1:1", refused("socks5")), json!({}))),
        oversized,
        except: &[
            ("16 MiB", "microsocks reads nothing of one direction while the other takes nothing"),
            ("our end first", "microsocks ends both directions with the first end"),
            ("peer's end first", "microsocks ends both directions with the first end"),
        ],
    }
}
