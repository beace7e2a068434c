//! Upgrades of a running host: another process takes over, and no peer sees it.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::{PermissionsExt, symlink},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use rustix::process::{Pid, Signal};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixStream},
    task::JoinSet,
};

use super::Place;
use crate::support::{jackfield::binary, ports::free, process::Process};

fn address() -> SocketAddr {
    ([127, 0, 0, 1], free()).into()
}

fn route(address: SocketAddr) -> String {
    format!("[[routes]]\nlisten = \"tcp://{address}\"\nto = \"handlers.echo\"\n")
}

const ECHO: &str = "[handlers.echo]\n";

async fn echoes(stream: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin)) {
    stream.write_all(b"x").await.unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), b'x');
}

/// Has another process take over; answers its number.
pub(super) async fn upgraded(place: &Place) -> i32 {
    let ran = place.ask(&["upgrade", "--json"]).await.ok();
    let answer: Value = serde_json::from_slice(&ran.stdout).unwrap();
    i32::try_from(answer["pid"].as_i64().unwrap()).unwrap()
}

/// A name for the program of this build, which can lead to another one later.
fn program(place: &Place) -> PathBuf {
    let program = place.path("jackfield");
    symlink(binary(), &program).unwrap();
    program
}

pub(super) fn end(pid: i32) {
    rustix::process::kill_process(Pid::from_raw(pid).unwrap(), Signal::TERM).unwrap();
}

#[tokio::test]
async fn twenty_upgrades_under_load_refuse_no_connection_and_cut_no_session() {
    let address = address();
    let place = Place::new(&format!("reload.drain.within = \"5m\"\n{ECHO}{}", route(address)));
    let mut host = place.run(&binary(), &[]).await;
    let (done, short) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut load = JoinSet::new();
    for _ in 0..8 {
        let (done, short) = (Arc::clone(&done), Arc::clone(&short));
        load.spawn(async move {
            while !done.load(Ordering::Relaxed) {
                let mut stream = TcpStream::connect(address).await.expect("not refused");
                echoes(&mut stream).await;
                short.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let (mut long, mut last) = (Vec::new(), 0);
    for _ in 0..20 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        echoes(&mut stream).await;
        long.push(stream);
        last = upgraded(&place).await;
        // All that were accepted by the processes before go on.
        for stream in &mut long {
            echoes(stream).await;
        }
    }
    done.store(true, Ordering::Relaxed);
    while let Some(client) = load.join_next().await {
        client.unwrap();
    }
    assert!(short.load(Ordering::Relaxed) > 20);
    drop(long);
    // The first process ends with its last session.
    assert_eq!(host.ended().await.code(), Some(0), "{}", host.log());
    end(last);
}

#[tokio::test]
async fn sigusr2_and_the_command_start_what_the_name_of_the_program_leads_to_and_files_stay_in_place()
 {
    let address = address();
    let place = Place::new("");
    let (socket, state) = (place.path("echo.sock"), place.path("state"));
    let toml = |routes: &str| {
        format!(
            "host.state_dir = {state:?}\n{ECHO}{routes}[[routes]]\nlisten = \"unix://{}\"\nto = \"handlers.echo\"\n",
            socket.display()
        )
    };
    place.write(&toml(&route(address)));
    let mut host = place.run(&program(&place), &[]).await;
    let before = fs::metadata(&socket).unwrap();
    host.signal(Signal::USR2);
    host.logged("a new process has taken over").await.unwrap();
    assert_eq!(host.ended().await.code(), Some(0), "{}", host.log());
    echoes(&mut TcpStream::connect(address).await.unwrap()).await;
    echoes(&mut UnixStream::connect(&socket).await.unwrap()).await;
    use std::os::unix::fs::MetadataExt;
    assert_eq!(fs::metadata(&socket).unwrap().ino(), before.ino());
    let status = place.ask(&["status"]).await.ok().text();
    assert!(status.contains("ready"), "{status}");
    // What nothing names any more is closed.
    place.write(&toml(""));
    let last = upgraded(&place).await;
    echoes(&mut UnixStream::connect(&socket).await.unwrap()).await;
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(host.log().contains(&format!("name=\"tcp://{address}\"")), "{}", host.log());
    end(last);
    while socket.exists() || PathBuf::from(place.admin()).exists() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn if_the_new_process_cannot_begin_the_old_one_goes_on_and_says_why() {
    let address = address();
    let toml =
        |more: &str| format!("host.timeouts.upgrade = \"10s\"\n{more}{ECHO}{}", route(address));
    let place = Place::new(&toml(""));
    let program = program(&place);
    let mut host = place.run(&program, &[]).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    echoes(&mut stream).await;
    let refused = async |host: &mut Process, why: &str| {
        let ran = place.ask(&["upgrade"]).await;
        assert_eq!(ran.code, Some(1), "{}", ran.text());
        assert!(ran.stderr.contains(why), "{}", ran.stderr);
        let told = host.logged(why).await.unwrap();
        assert!(host.log().contains("no new process has taken over: this one goes on"), "{told}");
    };
    // A mistake in its configuration.
    place.write(&toml("host.nonsense = 1\n"));
    refused(&mut host, "nonsense").await;
    place.write(&toml(""));
    // A file that is none of ours: it ends, or says nothing.
    let instead = |text: &str| {
        fs::remove_file(&program).unwrap();
        fs::write(&program, text).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    };
    instead("#!/bin/sh\nexit 7\n");
    refused(&mut host, "ended before it was ready: exit status: 7").await;
    instead("no program\n");
    refused(&mut host, "Exec format error").await;
    fs::remove_file(&program).unwrap();
    refused(&mut host, "No such file or directory").await;
    echoes(&mut stream).await;
    echoes(&mut TcpStream::connect(address).await.unwrap()).await;
    symlink(binary(), &program).unwrap();
    let last = upgraded(&place).await;
    drop(stream);
    assert_eq!(host.ended().await.code(), Some(0), "{}", host.log());
    end(last);
}

#[tokio::test]
async fn a_new_process_that_hangs_is_ended_and_changes_are_refused_meanwhile() {
    let address = address();
    let limits = "host.timeouts.upgrade = \"3s\"\n";
    let place = Place::new(&format!("{limits}{ECHO}{}", route(address)));
    let program = program(&place);
    let mut host = place.run(&program, &[]).await;
    let number = place.path("number");
    fs::remove_file(&program).unwrap();
    // It holds its end of the way between the two, and says nothing.
    fs::write(&program, format!("#!/bin/sh\necho $$ > {}\nexec sleep 600\n", number.display()))
        .unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    host.signal(Signal::USR2);
    host.logged("a new process is started").await.unwrap();
    let again = place.ask(&["upgrade"]).await;
    assert_eq!(again.code, Some(2));
    assert!(again.stderr.contains("a new process is taking over"), "{}", again.stderr);
    host.logged("was not ready within host.timeouts.upgrade, 3s").await.unwrap();
    echoes(&mut TcpStream::connect(address).await.unwrap()).await;
    let pid: i32 = fs::read_to_string(number).unwrap().trim().parse().unwrap();
    let gone = || !PathBuf::from(format!("/proc/{pid}")).exists();
    while !gone() {
        tokio::task::yield_now().await;
    }
    host.signal(Signal::TERM);
    assert_eq!(host.ended().await.code(), Some(0), "{}", host.log());
}
