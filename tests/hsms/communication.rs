//! Communications by GEM with secsgem, in both roles.

use jackfield_plugin_api::Session;
use serde_json::json;
use tokio::time::timeout;

use super::{EQUIPMENT, says};
use crate::support::{host::TestHost, peers::secsgem::Secsgem, process::DEADLINE};

/// Waits until communications are in that state.
async fn becomes(session: &Session, state: &str) {
    let told = async {
        while let Some(event) = session.next_event().await.expect("no error") {
            if event.name == "communication" && event.data["state"] == state {
                return;
            }
        }
        panic!("no more events, and never {state}");
    };
    timeout(DEADLINE, told).await.unwrap_or_else(|_| panic!("not {state} in time"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_communicates_with_secsgem_until_the_link_is_lost() {
    for initiate in [true, false] {
        let equipment = Secsgem::passive(EQUIPMENT).await;
        let host = TestHost::start("").await;
        let options = json!({
            "establish": true, "establish_wait": false, "establish_initiate": initiate,
            "establish_delay": 1,
        });
        let session = host.open(&equipment.uri(), options).await.unwrap();
        becomes(&session, "communicating").await;
        assert_eq!(session.info().facts["communication"], "communicating");
        assert_eq!(says(&session, "S1F3 W <L <U1 10>> .").await["sml"], "S1F4 <L <U4 123>> .");
        drop(equipment);
        becomes(&session, "not_communicating").await;
        assert_eq!(session.info().facts["communication"], "not_communicating");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn equipment_communicates_with_secsgem_whoever_asks() {
    for (scheme, initiate) in [("hsms", true), ("hsms", false), ("secs1", false)] {
        let toml = format!(
            "[handlers.echo]\n[[routes]]\nlisten = \"{scheme}://127.0.0.1:0\"\nto = \"handlers.echo\"\n\
             options = {{ equipment = true, known = [], establish = true, establish_initiate = {initiate}, \
             answers = {{ S1F13 = 'S1F14 <L <B 0> <L <A \"tool\"> <A \"1\">>> .' }} }}\n"
        );
        let host = TestHost::start(&toml).await;
        let mut asking = Secsgem::asking_wrong(scheme, host.address(0).port());
        assert_eq!(asking.says("communicating ").await, "True");
        // What it asks behind that is heard, and no abort.
        assert!(asking.says("told S9F3 ").await.starts_with("210a"));
    }
}
