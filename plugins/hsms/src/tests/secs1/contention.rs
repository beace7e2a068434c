//! Both ask at once (E4 §7.4).

use super::*;

#[test]
fn a_host_gives_way_takes_the_block_and_then_sends_its_own() {
    testing::paused(async {
        let (session, mut far) = line(json!({})).await;
        let (sent, ()) = tokio::join!(says(&session, "S6F1 ."), async {
            far.hears(ENQ).await;
            far.says(&[ENQ]).await;
            far.hears(EOT).await;
            let block = far.head(data(11, false, 1), 1, true);
            far.says(&block.write(b"")).await;
            far.hears(ACK).await;
            assert_eq!(far.takes().await.0.title(), "S6F1");
        });
        sent.unwrap();
        assert_eq!(event(&session, "message").await["function"], 11);
        // To give way is no failure.
        assert_eq!(session.info().facts["blocks_retried"], 0);
    });
}

#[test]
fn equipment_does_not_give_way_and_takes_the_block_afterwards() {
    testing::paused(async {
        let (session, mut far) = line(json!({ "equipment": true })).await;
        let (sent, ()) = tokio::join!(says(&session, "S6F1 ."), async {
            far.hears(ENQ).await;
            far.says(&[ENQ]).await;
            // The host gives way.
            far.says(&[EOT]).await;
            assert_eq!(far.block().await.0.message().title(), "S6F1");
            far.says(&[ACK]).await;
            far.sends(data(11, false, 1), b"").await;
        });
        sent.unwrap();
        assert_eq!(event(&session, "message").await["function"], 11);
    });
}

#[test]
fn a_host_gives_way_as_often_as_it_must() {
    testing::paused(async {
        let (session, mut far) = line(json!({ "rty": 0 })).await;
        let (sent, ()) = tokio::join!(says(&session, "S6F1 ."), async {
            for number in 0..20 {
                far.hears(ENQ).await;
                far.sends(data(11, false, number), b"").await;
            }
            far.takes().await;
        });
        sent.unwrap();
    });
}

#[test]
fn two_of_ours_that_ask_at_once_both_have_their_answers() {
    testing::paused(async {
        // Both ends are ours: each asks many times while the other does.
        let (near, far) = testing::carriers(64 * 1024);
        let host = TestHost::new();
        let driver = Secs1Driver::new(host.host()).unwrap();
        let answers = json!({ "S1F1": "S1F2 <A \"here\"> ." });
        let mut ends = Vec::new();
        for (carrier, equipment) in [(near, false), (far, true)] {
            let given = json!({ "equipment": equipment, "answers": answers });
            let endpoint = driver.configure(options(given), Role::Client).unwrap();
            let request =
                Request::new(Address::new("tool", 5000), testing::DEADLINE).with_carrier(carrier);
            ends.push(driver.open(&endpoint, request).await.unwrap());
        }
        let asking = ends.iter().flat_map(|end| {
            (0..50).map(move |_| async move {
                assert_eq!(says(end, "S1F1 W .").await.unwrap()["item"], json!({ "A": "here" }));
            })
        });
        futures_util::future::join_all(asking).await;
        for end in &ends {
            let facts = end.info().facts;
            assert_eq!(
                (&facts["blocks_sent"], &facts["blocks_received"]),
                (&json!(100), &json!(100))
            );
            assert_eq!(facts["blocks_refused"], 0);
        }
    });
}
