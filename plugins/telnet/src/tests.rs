//! Both roles of the driver against each other, and against scripted peers, over memory.

use crate::{TelnetDriver, TelnetOptions};
use jackfield_plugin_api::{
    Address, Driver, Error, ErrorKind, Request, Result, Role, Session, Stream, testing,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

fn options(options: Value) -> TelnetOptions {
    serde_json::from_value(options).expect("options")
}

pub(crate) async fn one(
    role: Role,
    given: Value,
    carrier: Session,
    user: Option<&str>,
) -> Result<Session> {
    let driver = TelnetDriver::new(testing::host())?;
    let endpoint = driver.configure(options(given), role)?;
    let mut address = Address::new("memory", 23);
    address.user = user.map(str::to_owned);
    let request = Request::new(address, testing::DEADLINE).with_carrier(carrier);
    match role {
        Role::Client => driver.open(&endpoint, request).await,
        Role::Server => driver.accept(&endpoint, request).await,
    }
}

/// A client and a server of ours that are joined.
async fn pair(client: Value, server: Value) -> (Session, Session) {
    let (near, far) = testing::carriers(64 * 1024);
    let (client, server) = tokio::join!(
        one(Role::Client, client, near, Some("lab")),
        one(Role::Server, server, far, None)
    );
    (client.expect("a client"), server.expect("a server"))
}

/// One of ours, and the bytes at the other end.
async fn scripted(role: Role, given: Value) -> (Session, Stream) {
    let (near, far) = testing::carriers(64 * 1024);
    let session = one(role, given, near, None).await.expect("a session");
    (session, far.take_stream().expect("a stream"))
}

async fn reads(stream: &mut Stream, want: &[u8]) {
    let mut got = vec![0; want.len()];
    let read = timeout(testing::DEADLINE, stream.read_exact(&mut got)).await;
    read.expect("in time").expect("bytes");
    assert_eq!(got, want);
}

async fn fails(stream: &mut Stream) -> Error {
    let mut rest = Vec::new();
    let end = timeout(testing::DEADLINE, stream.read_to_end(&mut rest)).await.expect("in time");
    Error::from(end.expect_err("an error"))
}

pub(crate) async fn event(session: &Session, name: &str) -> Value {
    loop {
        let event = timeout(testing::DEADLINE, session.next_event()).await.expect("in time");
        let event = event.expect("no error").expect("an event");
        if event.name == name {
            return event.data;
        }
    }
}

#[tokio::test]
async fn every_byte_passes_both_ways_in_lines_and_in_binary() {
    for binary in [false, true] {
        let given = json!({ "binary": binary });
        // Both wait for the other, and so both talk.
        let (client, server) = pair(given.clone(), given).await;
        let (mut near, mut far) = (client.take_stream().unwrap(), server.take_stream().unwrap());
        let sent: Vec<u8> =
            (0..=255).chain(*b"\r\n\r\r\0\xff\xff\n\r").cycle().take(300_000).collect();
        for _ in 0..2 {
            let send = async {
                near.write_all(&sent).await.unwrap();
                near.flush().await.unwrap();
            };
            let mut back = vec![0; sent.len()];
            let (_, read) = tokio::join!(send, far.read_exact(&mut back));
            read.unwrap();
            assert!(back == sent, "the bytes came changed");
            std::mem::swap(&mut near, &mut far);
        }
        far.shutdown().await.unwrap();
        assert_eq!(near.read(&mut [0; 10]).await.unwrap(), 0);
        // The other direction is still open, and a client ends as a whole.
        near.write_all(b"late").await.unwrap();
        let told = near.shutdown().await.expect_err("the end of one direction");
        assert_eq!(Error::from(told).kind(), ErrorKind::Unsupported);
        reads(&mut far, b"late").await;
        let on = |session: &Session| {
            let names = session.info().facts["local_options"].clone();
            names.as_array().unwrap().contains(&json!("binary"))
        };
        assert_eq!((on(&client), on(&server)), (binary, binary));
    }
}

#[tokio::test]
async fn a_server_learns_about_terminal_environment_and_charset() {
    let given = json!({ "term": "vt220", "columns": 132, "rows": 43, "env": { "TZ": "UTC" } });
    let (client, server) = pair(given, json!({})).await;
    let mut near = client.take_stream().unwrap();
    // Whoever reads does the talking.
    let reading = tokio::spawn(async move { near.read(&mut [0; 10]).await.map(drop) });
    let far = server.take_stream().unwrap();
    let (mut far, far_write) = tokio::io::split(far);
    let serving = tokio::spawn(async move { far.read(&mut [0; 10]).await.map(drop) });
    assert_eq!(event(&server, "terminal").await, json!({ "type": "vt220" }));
    let environment = event(&server, "environment").await;
    assert_eq!(environment["variables"], json!({ "USER": "lab", "TZ": "UTC" }));
    assert_eq!(event(&server, "charset").await, json!({ "name": "UTF-8" }));
    let facts = server.info().facts;
    assert_eq!((&facts["terminal"], &facts["columns"]), (&json!("vt220"), &json!(132)));
    assert_eq!(facts["charset"], "UTF-8");
    client.call("resize", &json!({ "columns": 100, "rows": 50 })).await.unwrap();
    assert_eq!(event(&server, "resize").await, json!({ "columns": 100, "rows": 50 }));
    let remote = client.info().facts["remote_options"].clone();
    assert_eq!(remote, json!(["echo", "suppress_go_ahead", "charset"]));
    drop((reading, serving, far_write));
}

#[tokio::test]
async fn linemode_and_what_else_nobody_knows_is_refused_once() {
    let (client, mut far) = scripted(Role::Client, json!({})).await;
    let mut near = client.take_stream().unwrap();
    // DO LINEMODE, WILL 99, DO ECHO, DO BINARY twice, data, DO TIMING-MARK.
    far.write_all(b"\xff\xfd\x22\xff\xfb\x63\xff\xfd\x01\xff\xfd\x00\xff\xfd\x00x\xff\xfd\x06")
        .await
        .unwrap();
    reads(&mut near, b"x").await;
    let reading = tokio::spawn(async move { near.read(&mut [0; 10]).await });
    reads(&mut far, b"\xff\xfc\x22\xff\xfe\x63\xff\xfc\x01\xff\xfb\x00\xff\xfb\x06").await;
    drop(far);
    assert_eq!(reading.await.unwrap().unwrap(), 0);
}

#[tokio::test]
async fn a_silent_peer_is_told_nothing_and_bytes_pass() {
    let (client, mut far) = scripted(Role::Client, json!({})).await;
    let mut near = client.take_stream().unwrap();
    near.write_all(b"show\r").await.unwrap();
    near.flush().await.unwrap();
    reads(&mut far, b"show\r\0").await;
    near.write_all(b"a\n").await.unwrap();
    reads(&mut far, b"a\n").await;
    // A command that is cut off by the end is no data and no error.
    far.write_all(b"end\xff").await.unwrap();
    drop(far);
    reads(&mut near, b"end").await;
    assert_eq!(near.read(&mut [0; 10]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_ping_is_a_timing_mark_whatever_the_answer() {
    let (client, server) = pair(json!({ "ping": true }), json!({})).await;
    let mut far = server.take_stream().unwrap();
    let serving = tokio::spawn(async move { far.read(&mut [0; 10]).await.map(drop) });
    timeout(testing::DEADLINE, client.ping()).await.expect("in time").expect("a round trip");
    // What came before is kept for whoever reads.
    let (client, mut far) = scripted(Role::Client, json!({ "ping": true })).await;
    far.write_all(b"before\xff\xfc\x06").await.unwrap();
    let refusing = async {
        reads(&mut far, b"\xff\xfd\x06").await;
        far.write_all(b"\xff\xfc\x06").await.unwrap();
    };
    let (ping, ()) = tokio::join!(timeout(testing::DEADLINE, client.ping()), refusing);
    ping.expect("in time").expect("a round trip");
    reads(&mut client.take_stream().unwrap(), b"before").await;
    let (client, _far) = scripted(Role::Client, json!({})).await;
    assert_eq!(client.ping().await.unwrap_err().kind(), ErrorKind::Unsupported);
    drop(serving);
}

#[tokio::test]
async fn a_peer_that_never_stops_to_negotiate_is_stopped() {
    for role in [Role::Client, Role::Server] {
        let (session, far) = scripted(role, json!({ "max_commands": 64 })).await;
        let mut near = session.take_stream().unwrap();
        let (mut read, mut write) = tokio::io::split(far);
        let sink =
            tokio::spawn(async move { tokio::io::copy(&mut read, &mut tokio::io::sink()).await });
        let flood = tokio::spawn(async move {
            while write.write_all(b"\xff\xfb\x63\xff\xfc\x63").await.is_ok() {}
        });
        let error = fails(&mut near).await;
        assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
        assert!(error.to_string().contains("option=max_commands"), "{error}");
        let error = Error::from(near.write_all(b"x").await.unwrap_err());
        assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
        drop((near, session));
        flood.await.unwrap();
        sink.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn an_endless_subnegotiation_is_no_memory() {
    let (session, mut far) = scripted(Role::Client, json!({ "max_subnegotiation": 64 })).await;
    let mut near = session.take_stream().unwrap();
    far.write_all(&[&b"\xff\xfa\x18"[..], &[b'x'; 100]].concat()).await.unwrap();
    let error = fails(&mut near).await;
    assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
    assert!(error.to_string().contains("telnet_option=24"), "{error}");
}

#[tokio::test]
async fn a_peer_that_takes_no_answers_is_not_read_for_ever() {
    let (near, far) = testing::carriers(64);
    let given = json!({ "max_commands": 10_000_000 });
    let session = one(Role::Client, given, near, None).await.unwrap();
    let mut near = session.take_stream().unwrap();
    let mut far = far.take_stream().unwrap();
    let reading = tokio::spawn(async move { near.read(&mut [0; 10]).await });
    let flood = b"\xff\xfb\x63".repeat(100_000);
    let stuck = timeout(std::time::Duration::from_millis(300), far.write_all(&flood)).await;
    assert!(stuck.is_err(), "{} bytes of questions were taken", flood.len());
    reading.abort();
}

#[tokio::test]
async fn a_slow_reader_stops_the_writer_and_gets_all() {
    let (near, far) = testing::carriers(256);
    let session = one(Role::Client, json!({}), near, None).await.unwrap();
    let mut near = session.take_stream().unwrap();
    let mut far = far.take_stream().unwrap();
    let writing = tokio::spawn(async move {
        near.write_all(&vec![0xff; 500_000]).await.unwrap();
        near.flush().await.unwrap();
    });
    tokio::task::yield_now().await;
    assert!(!writing.is_finished(), "nothing bounds what is held");
    let mut all = vec![0; 1_000_000];
    far.read_exact(&mut all).await.unwrap();
    assert!(all.iter().all(|byte| *byte == 0xff), "each is doubled, and none is lost");
    writing.await.unwrap();
}

#[tokio::test]
async fn two_ends_that_both_send_do_not_wait_for_each_other() {
    let (client, server) = pair(json!({}), json!({})).await;
    let sends = |session: &Session| {
        let (mut read, mut write) = tokio::io::split(session.take_stream().expect("a stream"));
        async move {
            let sent = vec![0xff; 1 << 20];
            let mut came = vec![0; sent.len()];
            let both = tokio::try_join!(
                async {
                    write.write_all(&sent).await?;
                    write.flush().await
                },
                read.read_exact(&mut came)
            );
            both.expect("both directions");
            assert!(came == sent);
        }
    };
    let both = async { tokio::join!(sends(&client), sends(&server)) };
    timeout(testing::DEADLINE, both).await.expect("they wait for each other");
}

#[tokio::test]
async fn a_line_is_set_through_a_server_that_asks_its_route() {
    let (near, far) = testing::carriers(64 * 1024);
    let server =
        one(Role::Server, json!({ "com_port": true, "terminal": false }), far, None).await.unwrap();
    let mut stream = server.take_stream().unwrap();
    let serving = tokio::spawn(async move { stream.read(&mut [0; 10]).await.map(drop) });
    let opening = one(Role::Client, json!({ "baud": 9600, "parity": "even" }), near, None);
    let route = async {
        let ask = event(&server, "call").await;
        assert_eq!((&ask["operation"], &ask["params"]), (&json!("set"), &json!({ "baud": 9600 })));
        let now = json!({ "id": ask["id"], "result": { "baud": 9600, "parity": "none" } });
        server.call("answer", &now).await.unwrap();
        let ask = event(&server, "call").await;
        assert_eq!(ask["params"], json!({ "parity": "even" }));
        let now = json!({ "id": ask["id"], "result": { "baud": 9600, "parity": "even" } });
        server.call("answer", &now).await.unwrap();
    };
    let (client, ()) = tokio::join!(opening, route);
    let client = client.unwrap();
    assert_eq!(
        (&client.info().facts["baud"], &client.info().facts["parity"]),
        (&json!(9600), &json!("even"))
    );
    let modem = json!({ "cts": true, "dsr": false, "cd": true, "ri": false });
    server.call("told", &json!({ "name": "modem", "data": modem })).await.unwrap();
    let mut near = client.take_stream().unwrap();
    let reading = tokio::spawn(async move { near.read(&mut [0; 10]).await.map(drop) });
    assert_eq!(event(&client, "modem").await, modem);
    assert_eq!(client.call("lines", &Value::Null).await.unwrap(), modem);
    drop((serving, reading));
}

#[tokio::test]
async fn errors_of_a_line_behind_a_server_are_events() {
    let (near, far) = testing::carriers(64 * 1024);
    let mut far = far.take_stream().unwrap();
    let opening = one(Role::Client, json!({ "com_port": true }), near, None);
    let server = async {
        // WILL and DO BINARY, WILL COM-PORT; all are agreed to.
        reads(&mut far, b"\xff\xfb\x00\xff\xfd\x00\xff\xfb\x2c").await;
        far.write_all(b"\xff\xfd\x00\xff\xfb\x00\xff\xfd\x2c").await.unwrap();
        // Which states it wants to hear of: break, framing, parity, overrun.
        reads(&mut far, b"\xff\xfa\x2c\x0a\x1e\xff\xf0").await;
        far.write_all(b"\xff\xfa\x2c\x6e\x1e\xff\xf0").await.unwrap();
        // That its buffer is empty is none of them; a parity error after it is, and a break.
        far.write_all(b"\xff\xfa\x2c\x6a\x60\xff\xf0\xff\xfa\x2c\x6a\x04\xff\xf0").await.unwrap();
        far.write_all(b"\xff\xfa\x2c\x6a\x10\xff\xf0").await.unwrap();
    };
    let (client, ()) = tokio::join!(opening, server);
    let client = client.unwrap();
    let mut stream = client.take_stream().unwrap();
    let reading = tokio::spawn(async move { stream.read(&mut [0; 10]).await.map(drop) });
    let none = json!({ "overrun": false, "parity": false, "framing": false, "break": false });
    for what in ["parity", "break"] {
        let mut wanted = none.clone();
        wanted[what] = json!(true);
        assert_eq!(event(&client, "line").await, wanted);
    }
    reading.abort();
}

#[tokio::test]
async fn errors_of_a_line_are_told_to_a_client_that_wants_to_hear_of_them() {
    let (near, far) = testing::carriers(64 * 1024);
    let options = json!({ "com_port": true, "terminal": false, "echo": false });
    let server = one(Role::Server, options, far, None).await.unwrap();
    let mut near = near.take_stream().unwrap();
    let mut stream = server.take_stream().unwrap();
    let serving = tokio::spawn(async move { stream.read(&mut [0; 10]).await.map(drop) });
    let told = async |state: Value| {
        server.call("told", &json!({ "name": "line", "data": state })).await.unwrap();
    };
    // WILL COM-PORT, and that parity, framing and an empty buffer are of interest.
    near.write_all(b"\xff\xfb\x2c\xff\xfa\x2c\x0a\x4c\xff\xf0").await.unwrap();
    let mut said = Vec::new();
    while !said.ends_with(b"\xff\xfa\x2c\x6e\x0c\xff\xf0") {
        said.push(near.read_u8().await.unwrap());
    }
    told(json!({ "overrun": true, "break": true })).await;
    told(json!({ "parity": true, "break": true })).await;
    told(json!({ "overrun": false, "parity": true, "framing": true, "break": false })).await;
    reads(&mut near, b"\xff\xfa\x2c\x6a\x04\xff\xf0\xff\xfa\x2c\x6a\x0c\xff\xf0").await;
    serving.abort();
}

#[tokio::test]
async fn a_server_without_a_line_says_so_at_once() {
    let (near, far) = testing::carriers(64 * 1024);
    let server = one(Role::Server, json!({}), far, None).await.unwrap();
    let mut stream = server.take_stream().unwrap();
    let serving = tokio::spawn(async move { stream.read(&mut [0; 10]).await.map(drop) });
    let error = one(Role::Client, json!({ "baud": 9600 }), near, None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(error.to_string().contains("RFC 2217"), "{error}");
    drop(serving);
}

#[tokio::test]
async fn mistakes_in_options_name_the_option() {
    let driver = TelnetDriver::new(testing::host()).unwrap();
    for (role, given, option) in [
        (Role::Server, json!({ "parity": "odd" }), "baud"),
        (Role::Client, json!({ "term": "a b" }), "term"),
        (Role::Client, json!({ "charsets": ["a;b"] }), "charsets"),
        (Role::Client, json!({ "env": { "A": "x".repeat(20_000) } }), "env"),
    ] {
        let error = driver.configure(options(given), role).map(drop).unwrap_err();
        assert!(error.context().any(|fact| fact == ("option", option)), "{error}");
    }
}

#[tokio::test]
async fn a_command_goes_out_by_name_and_comes_in_as_an_event() {
    let (client, server) = pair(json!({}), json!({})).await;
    let mut near = client.take_stream().unwrap();
    let far = server.take_stream().unwrap();
    let (mut read, _write) = tokio::io::split(far);
    let serving = tokio::spawn(async move { read.read(&mut [0; 10]).await.map(drop) });
    client.call("command", &json!({ "name": "interrupt" })).await.unwrap();
    assert_eq!(event(&server, "command").await, json!({ "name": "interrupt" }));
    let error = client.call("command", &json!({ "name": "stop" })).await.unwrap_err();
    assert!(error.to_string().contains("known: eof suspend"), "{error}");
    client.call("command", &json!({ "name": "are_you_there" })).await.unwrap();
    reads(&mut near, b"\r\n[Yes]\r\n").await;
    drop(serving);
}
