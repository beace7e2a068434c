//! Sockets that a service manager has opened, by their names; `systemd-socket-activate` is the service manager.

use std::process::Command;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::Place;
use crate::support::{
    jackfield::binary,
    need::need,
    ports::{free, with_free_port},
    process::{Process, command, run},
};

/// `systemd-socket-activate` with sockets at these places, by these names, that starts the host at the first peer.
fn activated(place: &Place, sockets: &[(String, &str)]) -> Command {
    let plain = place.command(&binary(), &[]);
    let mut activate = command(need("systemd-socket-activate", "systemd"));
    let names: Vec<&str> = sockets.iter().map(|(_, name)| *name).collect();
    activate.arg(format!("--fdname={}", names.join(":")));
    for (socket, _) in sockets {
        activate.arg(format!("--listen={socket}"));
    }
    let program = plain.get_args().skip_while(|argument| *argument != "--").skip(1);
    for variable in ["XDG_RUNTIME_DIR", "JACKFIELD_ADMIN"] {
        activate.arg(format!("--setenv={variable}=/dev/null/none"));
    }
    activate.args(program);
    activate
}

fn route(name: &str) -> String {
    format!(
        "[handlers.echo]\n[[routes]]\nlisten = \"tcp://127.0.0.1:0\"\nsocket = \"{name}\"\nto = \"handlers.echo\"\n"
    )
}

#[tokio::test]
async fn listeners_and_the_admin_api_take_the_sockets_of_their_names() {
    let place = Place::new("");
    let admin = place.path("activated.sock").display().to_string();
    let text = format!(
        "host.cache = {:?}\nadmin.listen = [\"socket:admin\"]\n{}",
        place.path("cache"),
        route("echo")
    );
    std::fs::write(place.path("jackfield.toml"), text).unwrap();
    let (mut host, port) = with_free_port(async |port| {
        let sockets = [(admin.clone(), "admin"), (format!("127.0.0.1:{port}"), "echo")];
        let mut host = Process::spawn("activation", activated(&place, &sockets));
        host.logged("Listening on 127.0.0.1").await?;
        Ok((host, port))
    })
    .await;
    // The first peer waits for the host, which is started for it.
    let mut peer = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    peer.write_all(b"x").await.unwrap();
    assert_eq!(peer.read_u8().await.unwrap(), b'x', "{}", host.log());
    host.logged("ready listeners=1").await.unwrap();
    let status = crate::support::jackfield::ran(&["status", "--admin", &admin], "").await.ok();
    assert!(status.text().contains("ready"), "{}", status.text());
}

#[tokio::test]
async fn a_socket_that_nobody_names_and_a_name_without_a_socket_are_errors_with_the_nearest_name() {
    let place = Place::new(&route("http"));
    let port = free();
    let sockets = [(format!("127.0.0.1:{port}"), "https")];
    let mut host = Process::spawn("activation", activated(&place, &sockets));
    host.logged("Listening on 127.0.0.1").await.unwrap_or_else(|log| panic!("{log}"));
    let _peer = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    assert_eq!(host.ended().await.code(), Some(2), "{}", host.log());
    let told = host.log();
    assert!(told.contains("has opened a socket \"https\", which no key `socket`"), "{told}");
    assert!(told.contains("did you mean \"http\"?"), "{told}");
    let alone = run(place.command(&binary(), &[]), "").await;
    assert_eq!(alone.code, Some(1), "{}", alone.stderr);
    let expected = "routes.0.listen: ";
    assert!(alone.stderr.contains(expected), "{}", alone.stderr);
    assert!(
        alone.stderr.contains("expected a socket \"http\" of the service manager"),
        "{}",
        alone.stderr
    );
}
