//! Marks of calls into plugins.

use crate::watch::{Operation, Owner, OwnerName, here, labelled, running, within};
use std::sync::mpsc;

fn owner(name: &str) -> Owner {
    Owner::new(OwnerName { plugin: "p".into(), kind: "driver", name: name.into() })
}

#[test]
fn a_call_that_does_not_come_back_is_named_with_its_work() {
    let stuck = owner("stuck");
    let (begun, has_begun) = mpsc::channel();
    let (end, may_end) = mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        labelled(7, || {
            within(stuck, Operation::Read, || {
                begun.send(()).unwrap();
                may_end.recv().unwrap();
            });
        });
    });
    has_begun.recv().unwrap();
    let mine = || running().into_iter().find(|mark| mark.owner == stuck);
    let (first, second) = (mine().expect("it runs"), mine().expect("it still runs"));
    assert_eq!(first, second, "it is the same call");
    assert_eq!((first.operation, first.label), (Operation::Read, 7));
    assert_eq!(first.owner.name().unwrap().name, "stuck");
    end.send(()).unwrap();
    thread.join().unwrap();
    assert!(mine().is_none());
}

#[test]
fn a_call_within_a_call_is_the_inner_ones_until_it_ends() {
    let (outer, inner) = (owner("outer"), owner("inner"));
    within(outer, Operation::Serve, || {
        let first = here().expect("a mark");
        within(inner, Operation::Read, || {
            let now = here().expect("a mark");
            assert_eq!((now.owner, now.call), (inner, first.call), "one call of the host's");
        });
        assert_eq!(here(), Some(first));
    });
    assert_eq!(here(), None);
    within(outer, Operation::Serve, || ());
    within(Owner::NOBODY, Operation::Serve, || assert_eq!(here(), None));
}

#[test]
fn two_calls_are_told_apart_and_one_stays_itself_while_it_makes_others() {
    let (outer, inner) = (owner("caller"), owner("callee"));
    let mine = || running().into_iter().find(|mark| [outer, inner].contains(&mark.owner));
    let mut calls = Vec::new();
    for _ in 0..2 {
        within(outer, Operation::Serve, || {
            let before = mine().expect("a mark").call;
            within(inner, Operation::Read, || assert_eq!(mine().expect("a mark").call, before));
            within(inner, Operation::Read, || ());
            assert_eq!(mine().expect("a mark").call, before);
            calls.push(before);
        });
    }
    assert_ne!(calls[0], calls[1]);
}
