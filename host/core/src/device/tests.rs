use super::{ObserverOptions, Observers, Seen};
use jackfield_plugin_api::ErrorKind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn an_observer_sees_what_comes_after_it_came() {
    let observers = Observers::new("devices.a.console", ObserverOptions { max: 2, buffer: 4096 });
    observers.show(b"before");
    let mut observer = observers.observe().unwrap();
    observers.show(b"now");
    assert_eq!(observer.next().await, Some(Seen::Bytes("now".into())));
    drop(observers);
    assert_eq!(observer.next().await, None);
}

#[tokio::test]
async fn a_slow_observer_costs_no_more_than_the_buffer_and_is_told_what_it_missed() {
    let observers = Observers::new("devices.a.console", ObserverOptions { max: 2, buffer: 4096 });
    let mut slow = observers.observe().unwrap();
    for number in 0..1000_u32 {
        let mut kilobyte = vec![b'x'; 1024];
        kilobyte[..4].copy_from_slice(&number.to_be_bytes());
        observers.show(&kilobyte);
    }
    assert_eq!(slow.next().await, Some(Seen::Missed(996 * 1024)));
    for number in 996..1000_u32 {
        let Some(Seen::Bytes(bytes)) = slow.next().await else { panic!("nothing seen") };
        assert_eq!(bytes[..4], number.to_be_bytes());
    }
    observers.show(b"more");
    assert_eq!(slow.next().await, Some(Seen::Bytes("more".into())));
}

#[tokio::test]
async fn no_more_observe_than_may() {
    let observers = Observers::new("devices.a.console", ObserverOptions { max: 2, buffer: 4096 });
    let (first, second) = (observers.observe().unwrap(), observers.observe().unwrap());
    assert_eq!(observers.len(), 2);
    let error = observers.observe().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    assert_eq!(error.message(), "devices.a.console has 2 observers, which is the limit");
    drop(first);
    observers.observe().unwrap();
    drop(second);
    assert!(observers.is_empty());
}

#[tokio::test]
async fn as_a_session_it_reads_with_gaps_marked_and_discards_what_is_written() {
    let observers = Observers::new("devices.a.console", ObserverOptions { max: 1, buffer: 4096 });
    let mut stream = observers.observe().unwrap().into_session().take_stream().unwrap();
    stream.write_all(b"typed in vain").await.unwrap();
    observers.show(b"one");
    observers.show(&[b'x'; 5 * 1024]);
    drop(observers);
    let mut all = String::new();
    stream.read_to_string(&mut all).await.unwrap();
    let expected = format!("\r\n[1027 bytes missed]\r\n{}", "x".repeat(4096));
    assert_eq!(all, expected);
}

#[tokio::test]
async fn a_session_whose_user_has_gone_makes_room() {
    let observers = Observers::new("devices.a.console", ObserverOptions { max: 1, buffer: 4096 });
    let stream = observers.observe().unwrap().into_session().take_stream().unwrap();
    let (mut read, mut write) = tokio::io::split(stream);
    let reading = tokio::spawn(async move { read.read(&mut [0]).await.unwrap() });
    tokio::task::yield_now().await;
    write.shutdown().await.unwrap();
    assert_eq!(reading.await.unwrap(), 0);
    drop(write);
    assert!(observers.is_empty());
}
