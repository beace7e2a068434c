//! A peer that writes its packets by hand.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use crate::support::process::DEADLINE;

/// One end of a connection.
pub(crate) struct Raw(TcpStream);

impl Raw {
    /// Connects to a listener of ours.
    pub(crate) async fn connect(port: u16) -> Self {
        Raw(TcpStream::connect(("127.0.0.1", port)).await.expect("a listener"))
    }

    /// Waits for a client of ours.
    pub(crate) async fn accept(listener: &TcpListener) -> Self {
        Raw(listener.accept().await.expect("a client").0)
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.expect("a peer that reads");
    }

    /// The next packet: its first byte and what follows its length.
    pub(crate) async fn packet(&mut self) -> (u8, Vec<u8>) {
        timeout(DEADLINE, self.read()).await.expect("a packet in time").expect("a packet")
    }

    /// The next packet, or the end.
    pub(crate) async fn packet_or_end(&mut self) -> Option<(u8, Vec<u8>)> {
        timeout(DEADLINE, self.read()).await.expect("an end in time")
    }

    async fn read(&mut self) -> Option<(u8, Vec<u8>)> {
        let kind = self.0.read_u8().await.ok()?;
        let (mut length, mut shift) = (0_usize, 0);
        loop {
            let byte = self.0.read_u8().await.ok()?;
            length |= usize::from(byte & 127) << shift;
            shift += 7;
            if byte & 128 == 0 {
                break;
            }
        }
        let mut content = vec![0; length];
        self.0.read_exact(&mut content).await.ok()?;
        Some((kind, content))
    }
}

/// A packet with a short length.
pub(crate) fn packet(kind: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).expect("a short packet");
    assert!(length < 128);
    [&[kind, length][..], content].concat()
}

/// A text with its length before it.
pub(crate) fn text(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).expect("a short text");
    [&length.to_be_bytes()[..], text.as_bytes()].concat()
}

/// CONNECT of version 5 with a clean start.
pub(crate) fn connect_5(client_id: &str) -> Vec<u8> {
    let head = [&text("MQTT")[..], &[5, 2, 0, 60, 0]].concat();
    packet(0x10, &[head, text(client_id)].concat())
}

/// CONNECT of version 3.1.1 with a clean session.
pub(crate) fn connect_3(client_id: &str) -> Vec<u8> {
    let head = [&text("MQTT")[..], &[4, 2, 0, 60]].concat();
    packet(0x10, &[head, text(client_id)].concat())
}

/// CONNACK of version 5.
pub(crate) fn connack_5() -> Vec<u8> {
    packet(0x20, &[0, 0, 0])
}

/// PUBLISH of version 5 with QoS `qos`.
pub(crate) fn publish_5(topic: &str, qos: u8, id: u16, content: &[u8]) -> Vec<u8> {
    let id = if qos > 0 { id.to_be_bytes().to_vec() } else { Vec::new() };
    packet(0x30 | qos << 1, &[text(topic), id, vec![0], content.to_vec()].concat())
}

/// SUBSCRIBE of version 5.
pub(crate) fn subscribe_5(id: u16, filter: &str, qos: u8) -> Vec<u8> {
    packet(0x82, &[id.to_be_bytes().to_vec(), vec![0], text(filter), vec![qos]].concat())
}
