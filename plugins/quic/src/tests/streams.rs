//! Streams and datagrams.

use super::{META, pair, soon, waits};
use jackfield_plugin_api::{Address, ErrorKind};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn the_own_stream_carries_bytes_both_ways_and_half_closes() {
    let pair = pair(|_| ()).await;
    let mut near = pair.near.take_stream().expect("a stream");
    let mut far = pair.far.take_stream().expect("a stream");
    near.write_all(b"question").await.expect("written");
    // The peer acknowledges the end only while somebody polls both.
    let (ended, all) = tokio::join!(soon(near.shutdown()), async {
        let mut all = Vec::new();
        soon(far.read_to_end(&mut all)).await.expect("read");
        all
    });
    ended.expect("ended");
    assert_eq!(all, b"question");
    far.write_all(b"answer").await.expect("the other direction is open");
    let mut all = Vec::new();
    let (ended, read) = tokio::join!(soon(far.shutdown()), soon(near.read_to_end(&mut all)));
    ended.expect("ended");
    read.expect("read");
    assert_eq!(all, b"answer");
}

#[tokio::test]
async fn a_server_may_speak_first_on_the_own_stream() {
    let pair = pair(|_| ()).await;
    let mut near = pair.near.take_stream().expect("a stream");
    let mut far = pair.far.take_stream().expect("a stream");
    let mut banner = [0; 5];
    let (read, written) = tokio::join!(soon(near.read_exact(&mut banner)), far.write_all(b"hello"));
    written.expect("written");
    read.expect("read");
    assert_eq!(&banner, b"hello");
}

#[tokio::test]
async fn streams_are_opened_from_both_sides_of_both_kinds() {
    let pair = pair(|_| ()).await;
    for (from, to) in [(&pair.near, &pair.far), (&pair.far, &pair.near)] {
        for (params, kind) in [(Value::Null, "bidi"), (json!({ "uni": true }), "uni")] {
            let ours = from.open_stream(&params).await.expect("a stream");
            let theirs = soon(to.accept_stream()).await.expect("no error").expect("a stream");
            assert_eq!(ours.info().facts["stream_kind"], kind);
            assert_eq!(theirs.info().facts["opened_by"], "peer");
            assert_eq!(ours.info().facts["stream_id"], theirs.info().facts["stream_id"]);
            let mut write = ours.take_stream().expect("bytes");
            let mut read = theirs.take_stream().expect("bytes");
            write.write_all(kind.as_bytes()).await.expect("written");
            let mut all = Vec::new();
            let (ended, got) = tokio::join!(write.shutdown(), soon(read.read_to_end(&mut all)));
            ended.expect("ended");
            got.expect("read");
            assert_eq!(all, kind.as_bytes());
            if kind == "uni" {
                let error = read.write(b"x").await.expect_err("not ours to write");
                assert_eq!(jackfield_plugin_api::Error::from(error).kind(), ErrorKind::Unsupported);
                assert_eq!(soon(write.read(&mut [0; 1])).await.expect("nothing"), 0);
            }
        }
    }
}

#[tokio::test]
async fn dial_gives_a_new_stream() {
    let pair = pair(|_| ()).await;
    let dialled = pair.near.dial(&Address::new("anywhere", 1)).await.expect("a stream");
    let mut near = dialled.take_stream().expect("bytes");
    let theirs = soon(pair.far.accept_stream()).await.expect("no error").expect("a stream");
    let mut far = theirs.take_stream().expect("bytes");
    far.write_all(b"first").await.expect("written");
    let mut text = [0; 5];
    soon(near.read_exact(&mut text)).await.expect("read");
    assert_eq!(&text, b"first");
}

#[tokio::test]
async fn a_dropped_stream_never_looks_whole() {
    let pair = pair(|_| ()).await;
    let ours = pair.near.open_stream(&Value::Null).await.expect("a stream");
    let theirs = soon(pair.far.accept_stream()).await.expect("no error").expect("a stream");
    let mut near = ours.take_stream().expect("bytes");
    near.write_all(b"half").await.expect("written");
    drop(near);
    let mut far = theirs.take_stream().expect("bytes");
    let error = soon(far.read_to_end(&mut Vec::new())).await.expect_err("cut");
    assert!(error.to_string().contains("reset the stream with code 0"), "{error}");
}

#[tokio::test]
async fn a_streams_code_is_seen_where_it_is_read_and_written() {
    let pair = pair(|_| ()).await;
    let ours = pair.near.open_stream(&Value::Null).await.expect("a stream");
    let theirs = soon(pair.far.accept_stream()).await.expect("no error").expect("a stream");
    let mut far = theirs.take_stream().expect("bytes");
    ours.close(42, "").await.expect("closed");
    let error = soon(far.read(&mut [0; 1])).await.expect_err("given up");
    assert!(error.to_string().contains("code 42"), "{error}");
    let error = soon(async {
        loop {
            if let Err(error) = far.write(b"x").await {
                return error;
            }
            tokio::task::yield_now().await;
        }
    });
    let error = error.await.to_string();
    assert!(error.contains("stopped reading with code 42"), "{error}");
}

#[tokio::test]
async fn a_peers_limit_of_streams_is_kept() {
    let pair = pair(|options| options.max_bidi_streams = 2).await;
    let first = pair.near.open_stream(&Value::Null).await.expect("room for one");
    let _second = pair.near.open_stream(&Value::Null).await.expect("room for two");
    let third = pair.near.open_stream(&Value::Null);
    tokio::pin!(third);
    // A round trip later there is still no room.
    pair.near.ping().await.expect("an answer");
    assert!(waits(third.as_mut()), "more than the peer allows");
    drop(first);
    let theirs = soon(pair.far.accept_stream()).await.expect("no error").expect("a stream");
    drop(theirs);
    soon(third).await.expect("room again");
}

#[tokio::test]
async fn a_peer_has_room_for_all_streams_once_half_of_the_first_have_come() {
    let pair = pair(|options| options.max_bidi_streams = 20).await;
    let mut open = Vec::new();
    for _ in 0..8 {
        open.push(soon(pair.near.open_stream(&Value::Null)).await.expect("a stream"));
    }
    let mut theirs = Vec::new();
    for _ in 0..4 {
        let next = soon(pair.far.accept_stream()).await.expect("no error");
        theirs.push(next.expect("a stream"));
    }
    // None of them ends, and there is room for all the same.
    for _ in 8..20 {
        open.push(soon(pair.near.open_stream(&Value::Null)).await.expect("a stream"));
    }
    let over = pair.near.open_stream(&Value::Null);
    tokio::pin!(over);
    pair.near.ping().await.expect("an answer");
    assert!(waits(over.as_mut()), "more than the option allows");
}

#[tokio::test]
async fn memory_stays_in_bounds_while_nobody_reads_and_all_comes() {
    const ALL: usize = 64 << 20;
    let pair = pair(|_| ()).await;
    let mut near = pair.near.take_stream().expect("a stream");
    let mut far = pair.far.take_stream().expect("a stream");
    let chunk = vec![7; 64 * 1024];
    let mut taken = 0;
    // Until no more is taken: what lies between the two is bounded by their windows.
    while let Ok(written) =
        tokio::time::timeout(std::time::Duration::from_millis(300), near.write(&chunk)).await
    {
        taken += written.expect("written");
    }
    let most = (1 << 20) + (4 << 20);
    assert!(taken <= most, "{taken} bytes were taken for a reader that does not read");
    let writing = async {
        while taken < ALL {
            let rest = chunk.len().min(ALL - taken);
            taken += near.write(&chunk[..rest]).await.expect("written");
        }
        near.shutdown().await.expect("ended");
    };
    let reading = async {
        let (mut buffer, mut count) = (vec![0; 48 * 1024], 0);
        loop {
            match far.read(&mut buffer).await.expect("read") {
                0 => return count,
                more => count += more,
            }
            tokio::task::yield_now().await;
        }
    };
    let (count, ()) = soon(async { tokio::join!(reading, writing) }).await;
    assert_eq!(count, ALL);
}

#[tokio::test]
async fn datagrams_pass_whole_and_what_is_too_long_is_refused() {
    let pair = pair(|_| ()).await;
    let mut near = pair.near.take_datagrams().expect("datagrams");
    let mut far = pair.far.take_datagrams().expect("datagrams");
    let most = near.max_size();
    assert!(most > 1000, "{most}");
    let mut buffer = vec![0; 65_536];
    for size in [0, 1, most] {
        near.send(&vec![3; size], META).await.expect("room");
        let meta = soon(far.recv(&mut buffer)).await.expect("no error").expect("a datagram");
        assert_eq!(meta.len, size);
    }
    let most = near.max_size();
    let error = near.send(&vec![3; most + 1], META).await.expect_err("too long");
    assert_eq!(error.kind(), ErrorKind::Limit);
    far.send(b"back", META).await.expect("room");
    let meta = soon(near.recv(&mut buffer)).await.expect("no error").expect("a datagram");
    assert_eq!(&buffer[..meta.len], b"back");
}

#[tokio::test]
async fn without_a_queue_there_are_no_datagrams() {
    let pair = pair(|options| options.datagram_queue = 0).await;
    let mut near = pair.near.take_datagrams().expect("datagrams");
    assert_eq!(near.max_size(), 0);
    let error = near.send(b"x", META).await.expect_err("not taken");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn a_flood_of_datagrams_is_bounded() {
    let pair = pair(|options| options.datagram_queue = 10_000).await;
    let mut near = pair.near.take_datagrams().expect("datagrams");
    for number in 0..200_u8 {
        near.send(&[number; 1000], META).await.expect("room");
    }
    // All that was sent has arrived once this stream has.
    let ours = pair.near.open_stream(&Value::Null).await.expect("a stream");
    drop(ours);
    soon(pair.far.accept_stream()).await.expect("no error").expect("a stream");
    pair.near.ping().await.expect("an answer");
    pair.far.close(0, "").await.expect("closed");
    let mut far = pair.far.take_datagrams().expect("datagrams");
    let (mut buffer, mut count) = (vec![0; 2000], 0);
    while soon(far.recv(&mut buffer)).await.expect("no error").is_some() {
        count += 1;
    }
    assert!((1..=20).contains(&count), "{count} datagrams were kept");
}
