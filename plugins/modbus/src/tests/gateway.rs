//! Many masters before lines that are scripted.

use super::*;
use crate::ModbusGateway;
use jackfield_plugin_api::{ErrorKind, Handler, Op};
use std::collections::VecDeque;
use std::sync::Mutex;

/// A gateway whose lines are carriers of the test's, and masters before it.
struct World {
    host: TestHost,
    gateway: Arc<ModbusGateway>,
    lines: Arc<Mutex<VecDeque<(String, Peer)>>>,
    serving: Vec<Op<()>>,
}

impl World {
    fn new(framing: Framing, given: Value) -> Self {
        let lines: Arc<Mutex<VecDeque<(String, Peer)>>> = Arc::default();
        let opened = Arc::clone(&lines);
        let host = TestHost::new().opens(move |uri, options| {
            if uri.contains("nowhere") {
                return Err(Error::new(ErrorKind::Unreachable, "nobody is there"));
            }
            let (near, far) = testing::carriers(64 * 1024);
            let endpoint = endpoint(framing, Role::Client, options.clone());
            let carrier = (near.take_stream().expect("a stream"), Info::new().peer("line"));
            let peer = Peer::over(framing, Reading::Requests, &far);
            opened.lock().unwrap().push_back((uri.to_owned(), peer));
            Ok(client::session(testing::host(), &endpoint, carrier))
        });
        let options = serde_json::from_value(given).expect("options");
        let gateway = Arc::new(ModbusGateway::new(host.host(), options).expect("a gateway"));
        World { host, gateway, lines, serving: Vec::new() }
    }

    /// One line with all units.
    fn of_one(framing: Framing, mut given: Value) -> Self {
        given["lines"] =
            json!({ "bus": { "uri": "modbus-rtu:///dev/a", "options": { "retries": 0 } } });
        World::new(framing, given)
    }

    /// The next line that the gateway has opened.
    async fn line(&self) -> (String, Peer) {
        loop {
            if let Some(line) = self.lines.lock().unwrap().pop_front() {
                return line;
            }
            tokio::time::sleep(ms(1)).await;
        }
    }

    /// A client of the gateway that comes from `address`.
    fn master(&mut self, address: &str) -> Session {
        let (near, far) = testing::carriers(64 * 1024);
        let stream = |session: &Session| session.take_stream().expect("a stream");
        let listener = endpoint(Framing::Tcp, Role::Server, json!({}));
        let info = Info::new().peer(address).local("127.0.0.1:1502");
        let host = self.host.host();
        let served = server::session(host, &listener, (stream(&far), info));
        let gateway = Arc::clone(&self.gateway);
        self.serving.push(host.spawn(async move {
            let _ = gateway.serve(served).await;
        }));
        let options = json!({ "retries": 0, "timeout": 60.0, "in_flight": 16 });
        let client_end = endpoint(Framing::Tcp, Role::Client, options);
        client::session(host, &client_end, (stream(&near), Info::new()))
    }
}

/// Answers one request of a line with its address and gives it.
async fn serve_one(line: &mut Peer) -> Frame {
    let request = line.frame().await;
    let answer = [request.pdu[0], 2, request.pdu[1], request.pdu[2]];
    line.answers(&request, &answer).await;
    request
}

#[test]
fn each_master_has_its_own_answer_and_the_line_one_request_at_a_time() {
    testing::paused(async {
        let mut world = World::of_one(Framing::Rtu, json!({}));
        let masters: Vec<_> = (0..8).map(|n| world.master(&format!("10.0.0.{n}:500"))).collect();
        let (_, mut line) = world.line().await;
        let asking = futures_util::future::join_all(masters.iter().zip(100..).map(
            |(master, address): (_, u16)| async move {
                registers(master, json!({ "address": address, "unit": 3 })).await.unwrap()
            },
        ));
        let (answers, ()) = tokio::join!(asking, async {
            for _ in 0..8 {
                let request = line.frame().await;
                assert!(line.hears_nothing_for(ms(100)).await);
                line.answers(&request, &[3, 2, request.pdu[1], request.pdu[2]]).await;
            }
        });
        let values: Vec<_> = answers.iter().map(|answer| answer["values"][0].clone()).collect();
        assert_eq!(values, (100..108).map(Value::from).collect::<Vec<_>>());
    });
}

#[test]
fn masters_with_a_higher_priority_go_first_and_others_in_their_order() {
    testing::paused(async {
        let given = json!({ "masters": [{ "addresses": ["10.9.0.0/16"], "priority": 5 }] });
        let mut world = World::of_one(Framing::Rtu, given);
        let (usual, first) = (world.master("10.0.0.1:1"), world.master("10.9.1.1:1"));
        let (_, mut line) = world.line().await;
        let ask = |master, address: u16| async move {
            tokio::time::sleep(ms(u64::from(address))).await;
            registers(master, json!({ "address": address })).await.unwrap();
        };
        let (.., order) =
            tokio::join!(ask(&usual, 1), ask(&usual, 2), ask(&usual, 3), ask(&first, 4), async {
                tokio::time::sleep(ms(50)).await;
                let mut order = Vec::new();
                for _ in 0..4 {
                    order.push(serve_one(&mut line).await.pdu[2]);
                }
                order
            });
        // The first was on the line already.
        assert_eq!(order, [1, 4, 2, 3]);
    });
}

#[test]
fn units_go_to_their_lines_and_those_of_no_line_are_refused() {
    testing::paused(async {
        let given = json!({ "lines": {
            "a": { "uri": "modbus-rtu:///dev/a", "units": ["1-9"] },
            "b": { "uri": "modbus-rtu:///dev/b", "units": [10, 12] },
        } });
        let mut world = World::new(Framing::Rtu, given);
        let master = world.master("10.0.0.1:1");
        let mut lines = [world.line().await, world.line().await];
        lines.sort_by(|(one, _), (other, _)| one.cmp(other));
        let [(_, mut a), (_, mut b)] = lines;
        let ask = |unit| registers(&master, json!({ "address": 1, "unit": unit }));
        let (one, twelve, eleven, ..) =
            tokio::join!(ask(9), ask(12), ask(11), serve_one(&mut a), serve_one(&mut b));
        one.unwrap();
        twelve.unwrap();
        assert_eq!(eleven.unwrap_err().code(), Some(10));
    });
}

#[test]
fn a_line_that_is_not_there_is_no_path_and_a_silent_unit_does_not_answer() {
    testing::paused(async {
        let given = json!({ "lines": { "a": { "uri": "modbus://nowhere" } } });
        let mut world = World::new(Framing::Rtu, given);
        let master = world.master("10.0.0.1:1");
        let error = registers(&master, json!({ "address": 1 })).await.unwrap_err();
        assert_eq!(error.code(), Some(10), "{error}");
        assert!(world.host.lines().iter().any(|line| line.message.contains("nobody is there")));
        let mut world = World::of_one(Framing::Rtu, json!({}));
        let master = world.master("10.0.0.1:1");
        let error = registers(&master, json!({ "address": 1 })).await.unwrap_err();
        assert_eq!(error.code(), Some(11), "{error}");
    });
}

#[test]
fn a_line_that_ends_is_opened_again_and_who_waits_is_told() {
    testing::paused(async {
        let mut world = World::of_one(Framing::Rtu, json!({}));
        let master = world.master("10.0.0.1:1");
        let (_, mut line) = world.line().await;
        let (error, ()) = tokio::join!(registers(&master, json!({ "address": 1 })), async {
            line.frame().await;
            drop(line);
        });
        assert_eq!(error.unwrap_err().code(), Some(10));
        let (_, mut line) = world.line().await;
        let (again, _) =
            tokio::join!(registers(&master, json!({ "address": 1 })), serve_one(&mut line));
        again.unwrap();
    });
}

#[test]
fn equal_reads_are_asked_once_within_the_window_and_after_a_write_anew() {
    testing::paused(async {
        let mut world = World::of_one(Framing::Rtu, json!({ "coalesce": 1.0 }));
        let (one, two) = (world.master("10.0.0.1:1"), world.master("10.0.0.2:1"));
        let (_, mut line) = world.line().await;
        let ask = |master| registers(master, json!({ "address": 7 }));
        let (first, second, ()) = tokio::join!(ask(&one), ask(&two), async {
            let request = line.frame().await;
            tokio::time::sleep(ms(100)).await;
            line.answers(&request, &[3, 2, 0, 7]).await;
            assert!(line.hears_nothing_for(ms(500)).await);
        });
        assert_eq!(first.unwrap(), second.unwrap());
        // Still within the window.
        assert_eq!(ask(&one).await.unwrap(), json!({ "values": [7] }));
        let write = json!({ "address": 7, "value": 8 });
        let (written, ()) = tokio::join!(one.call("write_register", &write), async {
            let request = line.frame().await;
            line.answers(&request, &request.pdu.clone()).await;
        });
        written.unwrap();
        let (fresh, ()) = tokio::join!(ask(&two), async {
            let request = line.frame().await;
            line.answers(&request, &[3, 2, 0, 8]).await;
        });
        assert_eq!(fresh.unwrap(), json!({ "values": [8] }));
    });
}

#[test]
fn what_a_master_has_asked_that_is_gone_is_not_asked() {
    testing::paused(async {
        let mut world = World::of_one(Framing::Rtu, json!({}));
        let (one, two) = (world.master("10.0.0.1:1"), world.master("10.0.0.2:1"));
        let (_, mut line) = world.line().await;
        let (result, ()) = tokio::join!(registers(&two, json!({ "address": 2 })), async {
            let request = line.frame().await;
            {
                let asking = registers(&one, json!({ "address": 1 }));
                tokio::time::timeout(ms(100), asking).await.unwrap_err();
            }
            drop(one);
            tokio::time::sleep(ms(100)).await;
            line.answers(&request, &[3, 2, 0, 2]).await;
        });
        result.unwrap();
        assert!(line.hears_nothing_for(ms(5000)).await);
    });
}

#[test]
fn more_than_all_may_have_waiting_is_refused_as_busy() {
    testing::paused(async {
        let mut world = World::of_one(Framing::Rtu, json!({ "max_queue": 2 }));
        let master = world.master("10.0.0.1:1");
        let (_, mut line) = world.line().await;
        let ask = |address: u16| {
            let master = &master;
            async move {
                tokio::time::sleep(ms(u64::from(address))).await;
                registers(master, json!({ "address": address })).await
            }
        };
        let (one, two, three, ()) = tokio::join!(ask(1), ask(2), ask(3), async {
            tokio::time::sleep(ms(50)).await;
            serve_one(&mut line).await;
            serve_one(&mut line).await;
        });
        one.unwrap();
        two.unwrap();
        assert_eq!(three.unwrap_err().code(), Some(6));
    });
}

#[test]
fn a_master_that_may_only_read_does_not_write() {
    testing::paused(async {
        let given = json!({ "masters": [{ "read_only": true, "units": [1] }] });
        let mut world = World::of_one(Framing::Rtu, given);
        let master = world.master("10.0.0.1:1");
        let write = json!({ "address": 7, "value": 8 });
        let error = master.call("write_register", &write).await.unwrap_err();
        assert_eq!(error.code(), Some(1));
        let error = registers(&master, json!({ "address": 1, "unit": 2 })).await.unwrap_err();
        assert_eq!(error.code(), Some(10));
    });
}

#[test]
fn a_write_to_all_units_goes_to_all_lines() {
    testing::paused(async {
        let given = json!({ "lines": {
            "a": { "uri": "modbus-rtu:///dev/a", "units": ["1-9"] },
            "b": { "uri": "modbus-rtu:///dev/b" },
        } });
        let mut world = World::new(Framing::Rtu, given);
        let master = world.master("10.0.0.1:1");
        let ((_, mut a), (_, mut b)) = (world.line().await, world.line().await);
        tokio::time::sleep(ms(10)).await;
        let write = json!({ "unit": 0, "address": 7, "value": 8, "timeout": 0.5 });
        let (answer, one, two) =
            tokio::join!(master.call("write_register", &write), a.frame(), b.frame());
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!((one.unit, two.unit, &one.pdu), (0, 0, &two.pdu));
    });
}

#[test]
fn lines_that_cannot_stand_together_are_refused() {
    for lines in [
        json!({}),
        json!({ "a": { "uri": "" } }),
        json!({ "a": { "uri": "modbus://a" }, "b": { "uri": "modbus://b" } }),
        json!({ "a": { "uri": "modbus://a", "units": ["1-5"] }, "b": { "uri": "modbus://b", "units": [5] } }),
    ] {
        testing::run(async {
            let options = serde_json::from_value(json!({ "lines": lines })).unwrap();
            let error = ModbusGateway::new(testing::host(), options).err().expect("an error");
            assert_eq!(error.kind(), ErrorKind::Config, "{lines}");
        });
    }
}
