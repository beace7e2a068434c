//! A pool of connections: callers in order, a dead one replaced, nothing returned twice.
//!
//! `cargo run -p jackfield --example pool`
//!
//! In a configuration the same is `pool = { … }` of an upstream, for the sessions of its drivers.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::io;

use jackfield::pool::{Connect, Pool, PoolOptions};
use jackfield_plugin_api::{Error, ErrorKind, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How a member is opened, and how it is seen that it is still open.
struct TcpDial(std::net::SocketAddr);

impl Connect for TcpDial {
    type Member = Mutex<TcpStream>;

    async fn open(&self, _: Instant) -> Result<Self::Member> {
        let stream = TcpStream::connect(self.0).await;
        stream
            .map(Mutex::new)
            .map_err(|error| Error::new(ErrorKind::Unreachable, error.to_string()))
    }

    fn is_open(&self, member: &Self::Member) -> bool {
        let idle = |stream: &TcpStream| match stream.try_read(&mut [0]) {
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
            Ok(_) => false,
        };
        // Somebody uses it where it is locked.
        member.try_lock().map_or(true, |stream| idle(&stream))
    }
}

#[tokio::main]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(serve(listener));

    let options = PoolOptions { max_size: 2, ..PoolOptions::default() };
    let pool = Pool::new(TcpDial(address), &options)?;
    let callers = (0..6).map(|number| {
        let pool = pool.clone();
        tokio::spawn(async move {
            let member = pool.get().await?;
            let mut stream = member.lock().await;
            stream.write_all(&[number]).await.map_err(Error::from)?;
            let connection = stream.read_u8().await.map_err(Error::from)?;
            println!("caller {number} was served on connection {connection}");
            Ok::<_, Error>(())
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await??;
    }
    let stats = pool.stats();
    println!("{} callers, {} connections", 6, stats.totals.opened);

    pool.get().await?.discard();
    println!("one was discarded: {} left", pool.stats().idle);
    let drained = pool.drain_within(std::time::Duration::from_secs(1)).await;
    println!("drained, {} closed under their users", drained.abandoned);
    Ok(())
}

/// Answers each byte with the number of the connection.
async fn serve(listener: TcpListener) -> io::Result<()> {
    for number in 1.. {
        let (mut stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            while stream.read_u8().await.is_ok() {
                stream.write_u8(number).await?;
            }
            Ok::<_, io::Error>(())
        });
    }
    Ok(())
}
