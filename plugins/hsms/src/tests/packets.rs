//! Each message as an event.

use super::*;

#[test]
fn each_message_of_both_sides_is_told_without_its_content_where_that_is_wanted() {
    testing::paused(async {
        for wanted in [true, false] {
            let (session, mut peer) = active(json!({ "packets": wanted })).await;
            let (answer, ()) = tokio::join!(says(&session, "S7F5 W <A \"secret\"> ."), async {
                let (asked, _) = peer.data().await;
                peer.sends(asked.answer(6), b"\x41\x06secret").await;
            });
            answer.unwrap();
            peer.is_served().await;
            peer.asks(Kind::SeparateReq, ALL_SESSIONS).await;
            let mut told = Vec::new();
            while let Some(event) = session.next_event().await.unwrap() {
                if event.name != "packet" {
                    continue;
                }
                let text = |name: &str| event.data[name].as_str().unwrap().to_owned();
                assert_eq!(text("header").len(), 20);
                told.push((text("by"), text("packet"), event.data["bytes"].as_u64().unwrap()));
            }
            let expected = [
                ("us", "Select.req", 0),
                ("peer", "Select.rsp", 0),
                ("us", "S7F5 W", 8),
                ("peer", "S7F6", 8),
                ("peer", "Linktest.req", 0),
                ("us", "Linktest.rsp", 0),
                ("peer", "Separate.req", 0),
            ];
            let expected =
                expected.map(|(by, packet, bytes)| (by.to_owned(), packet.to_owned(), bytes));
            assert_eq!(told, if wanted { &expected[..] } else { &[] });
        }
    });
}
