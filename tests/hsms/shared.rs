//! One connection to equipment that takes no more, and several users behind a route.

use super::*;

async fn front(equipment: &Secsgem, peers: &str) -> TestHost {
    TestHost::start(&format!(
        "[[routes]]\nlisten = \"hsms://127.0.0.1:0\"\nto = \"upstreams.tool\"\n\
         options = {{ {peers} }}\n[upstreams.tool]\ntargets = [\"{}\"]\n\
         pool = {{ max_size = 1, share = 8 }}\n",
        equipment.uri()
    ))
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hosts_share_equipment_that_takes_one_connection() {
    let equipment = Secsgem::passive(EQUIPMENT).await;
    let front = front(&equipment, "").await;
    let mut hosts = [0; 2].map(|_| Secsgem::active(HOST, front.address(0).port()));
    for host in &mut hosts {
        assert_eq!(host.says("communicating ").await, "True");
        assert_eq!(host.says("values ").await, "[123]");
        host.says("done").await;
    }
    let upstreams = front.manager().snapshot().upstreams;
    let pool = upstreams[0].targets[0].pool.clone().expect("a pool");
    assert_eq!((pool.opened, pool.users), (1, 2), "{pool:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_of_one_address_are_told_apart_by_the_session_they_select() {
    let equipment = Secsgem::passive(EQUIPMENT).await;
    let peers = "mode = \"generic\", peers = [{ name = \"mes\", session_id = 1 }, \
                 { name = \"collector\", session_id = 2, receives = [\"S6\"], answers = false }]";
    let front = front(&equipment, peers).await;
    let uri = format!("hsms://{}", front.address(0));
    let options = |session: u16| json!({ "mode": "generic", "session_id": session, "t5": 0 });
    let _mes = front.open(&uri, options(1)).await.unwrap();
    let _collector = front.open(&uri, options(2)).await.unwrap();
    for (session, status) in [(3, 4), (2, 5)] {
        let opened = front.open(&uri, options(session)).await;
        let refused = opened.map(|it| it.info()).expect_err("refused");
        assert_eq!(
            (refused.kind(), refused.code()),
            (ErrorKind::Refused, Some(status)),
            "{refused}"
        );
    }
}
