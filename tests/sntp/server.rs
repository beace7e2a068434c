//! The handler `sntp_server`, asked by chrony, by our own driver and by hand.

use serde_json::json;
use tokio::{net::UdpSocket, time::timeout};

use super::{is_near, time};
use crate::support::{host::TestHost, peers::time::Chrony, process::DEADLINE};

async fn server(options: &str) -> TestHost {
    TestHost::start(&format!(
        "[handlers.clock]\nhandler = \"sntp_server\"\noptions = {{ {options} }}\n\
         [[routes]]\nlisten = \"udp://127.0.0.1:0\"\nto = \"handlers.clock\"\n"
    ))
    .await
}

/// What comes back for each of `sent`, in order; `None` where the next one was answered first.
async fn answers(host: &TestHost, sent: &[&[u8]]) -> Vec<Vec<u8>> {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(host.address(0)).await.unwrap();
    for datagram in sent {
        socket.send(datagram).await.unwrap();
    }
    let mut heard = Vec::new();
    loop {
        let mut buffer = [0; 512];
        let len = timeout(DEADLINE, socket.recv(&mut buffer)).await.expect("in time").unwrap();
        heard.push(buffer[..len].to_vec());
        if buffer[24..32] == LAST {
            return heard;
        }
    }
}

/// The number of the last request, after whose answer there is none.
const LAST: [u8; 8] = [9; 8];

fn request(first: u8, number: [u8; 8]) -> Vec<u8> {
    [&[first, 0, 6][..], &[0; 37], &number].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn chrony_takes_its_time() {
    let host = server("stratum = 3, reference_id = \"10.0.0.1\"").await;
    let measured = Chrony::measures(host.address(0)).await;
    let said = format!("{}{}", measured.text(), measured.stderr);
    assert_eq!(measured.code, Some(0), "{said}");
    assert!(said.contains("System clock wrong by "), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_driver_takes_its_time_and_sees_its_options() {
    let host = server("stratum = 1, reference_id = \"GPS\", leap = \"insert\"").await;
    let session = host.open(&format!("sntp://{}", host.address(0)), json!({})).await.unwrap();
    let answer = time(&session, json!({})).await.unwrap();
    assert!(is_near(&answer, 0.0), "{answer}");
    let said = (&answer["stratum"], &answer["reference_id"], &answer["leap"]);
    assert_eq!(said, (&json!(1), &json!("GPS"), &json!("insert")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_not_synchronised_says_so() {
    let host = server("stratum = 16").await;
    let session = host.open(&format!("sntp://{}", host.address(0)), json!({})).await.unwrap();
    let error = time(&session, json!({})).await.unwrap_err();
    assert!(error.message().contains("not synchronised"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_requests_are_answered_and_in_their_version() {
    let host = server("rate = 0").await;
    let wrong = [request(0x24, [1; 8]), request(0x03, [2; 8]), request(0x2b, [3; 8])];
    let v1 = request(0x0b, [4; 8]);
    let last = request(0x23, LAST);
    let sent = [&[][..], &v1[..47], &wrong[0], &wrong[1], &wrong[2], &v1, &last];
    let heard = answers(&host, &sent).await;
    let firsts: Vec<_> = heard.iter().map(|answer| (answer.len(), answer[0], answer[2])).collect();
    assert_eq!(firsts, [(48, 0x0c, 6), (48, 0x24, 6)]);
    assert_eq!(heard[0][24..32], [4; 8]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_too_often_is_told_once_and_gets_no_more() {
    let host = server("rate = 0.001, burst = 2").await;
    let early = request(0x23, [1; 8]);
    let heard = answers(&host, &[&early, &early, &request(0x23, LAST)]).await;
    let strata: Vec<u8> = heard.iter().map(|answer| answer[1]).collect();
    assert_eq!(strata, [10, 10, 0]);
    let kiss = &heard[2];
    assert_eq!((kiss[0], &kiss[12..16]), (0xe4, b"RATE".as_slice()));
    // Another port of the same machine is the same client: our own driver is told so, too, or hears nothing.
    let options = json!({ "timeout": 0.2, "attempts": 1 });
    let session = host.open(&format!("sntp://{}", host.address(0)), options).await.unwrap();
    assert!(time(&session, json!({})).await.is_err());
}
