//! Who does what: the Q method of RFC 1143, which cannot loop.

use crate::wire::{DO, DONT, WILL, WONT};

pub(crate) const BINARY: u8 = 0;
pub(crate) const ECHO: u8 = 1;
pub(crate) const SUPPRESS_GO_AHEAD: u8 = 3;
pub(crate) const TIMING_MARK: u8 = 6;
pub(crate) const TERMINAL_TYPE: u8 = 24;
pub(crate) const END_OF_RECORD: u8 = 25;
pub(crate) const WINDOW_SIZE: u8 = 31;
pub(crate) const NEW_ENVIRON: u8 = 39;
pub(crate) const CHARSET: u8 = 42;
pub(crate) const COM_PORT: u8 = 44;

const NAMES: [(u8, &str); 10] = [
    (BINARY, "binary"),
    (ECHO, "echo"),
    (SUPPRESS_GO_AHEAD, "suppress_go_ahead"),
    (TIMING_MARK, "timing_mark"),
    (TERMINAL_TYPE, "terminal_type"),
    (END_OF_RECORD, "end_of_record"),
    (WINDOW_SIZE, "window_size"),
    (NEW_ENVIRON, "new_environ"),
    (CHARSET, "charset"),
    (COM_PORT, "com_port"),
];

/// The name of an option that this driver can do.
pub(crate) fn name(option: u8) -> &'static str {
    NAMES.iter().find(|(known, _)| *known == option).map_or("other", |(_, name)| *name)
}

/// Which of the two ends does what an option is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Ours: WILL and WONT from us, DO and DONT from the peer.
    Local,
    /// The peer's.
    Remote,
}

impl End {
    pub(crate) fn name(self) -> &'static str {
        match self {
            End::Local => "local",
            End::Remote => "remote",
        }
    }

    fn yes(self) -> u8 {
        match self {
            End::Local => WILL,
            End::Remote => DO,
        }
    }

    fn no(self) -> u8 {
        match self {
            End::Local => WONT,
            End::Remote => DONT,
        }
    }
}

/// The state of one option at one end, with RFC 1143's queue of one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Q {
    #[default]
    No,
    Yes,
    /// We have asked for an end; then, whether we want it back afterwards.
    WantNo(bool),
    /// We have asked for it; then, whether we want it to end afterwards.
    WantYes(bool),
}

/// Options at one end.
#[derive(Debug)]
struct Side {
    end: End,
    states: [Q; 256],
    agreed: [bool; 256],
}

/// What came of a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Step {
    /// A verb to send.
    pub(crate) send: Option<u8>,
    /// The option is on or off from now on.
    pub(crate) now: Option<bool>,
}

impl Side {
    fn new(end: End, agreed: &[u8]) -> Self {
        let mut side = Side { end, states: [Q::No; 256], agreed: [false; 256] };
        for option in agreed {
            side.agreed[usize::from(*option)] = true;
        }
        side
    }

    /// The peer says yes (WILL or DO) or no.
    fn heard(&mut self, option: u8, yes: bool) -> Step {
        let agreed = self.agreed[usize::from(option)];
        let state = &mut self.states[usize::from(option)];
        let (say_yes, say_no) = (Some(self.end.yes()), Some(self.end.no()));
        let (next, send) = match (*state, yes) {
            (Q::No, true) if agreed => (Q::Yes, say_yes),
            (Q::No, true) => (Q::No, say_no),
            (Q::No, false) => (Q::No, None),
            (Q::Yes, true) => (Q::Yes, None),
            (Q::Yes, false) => (Q::No, say_no),
            // Our no was answered by a yes, which is an error of the peer's.
            (Q::WantNo(false), true) => (Q::No, None),
            (Q::WantNo(true), true) => (Q::Yes, None),
            (Q::WantNo(false), false) => (Q::No, None),
            (Q::WantNo(true), false) => (Q::WantYes(false), say_yes),
            (Q::WantYes(false), true) => (Q::Yes, None),
            (Q::WantYes(true), true) => (Q::WantNo(false), say_no),
            (Q::WantYes(_), false) => (Q::No, None),
        };
        let (was, is) = (*state == Q::Yes, next == Q::Yes);
        *state = next;
        Step { send, now: (was != is).then_some(is) }
    }

    /// We want it on, or off.
    fn want(&mut self, option: u8, on: bool) -> Step {
        let state = &mut self.states[usize::from(option)];
        let (next, send) = match (*state, on) {
            (Q::No, true) => (Q::WantYes(false), Some(self.end.yes())),
            (Q::Yes, false) => (Q::WantNo(false), Some(self.end.no())),
            (Q::WantNo(_), _) => (Q::WantNo(on), None),
            (Q::WantYes(_), _) => (Q::WantYes(!on), None),
            (state, _) => (state, None),
        };
        *state = next;
        Step { send, now: None }
    }

    fn is_on(&self, option: u8) -> bool {
        self.states[usize::from(option)] == Q::Yes
    }
}

/// All options at both ends.
#[derive(Debug)]
pub(crate) struct Negotiation {
    local: Side,
    remote: Side,
}

impl Negotiation {
    /// One that agrees to `local` options of ours and to `remote` options of the peer's.
    pub(crate) fn new(local: &[u8], remote: &[u8]) -> Self {
        Negotiation { local: Side::new(End::Local, local), remote: Side::new(End::Remote, remote) }
    }

    fn side(&mut self, end: End) -> &mut Side {
        match end {
            End::Local => &mut self.local,
            End::Remote => &mut self.remote,
        }
    }

    /// The peer's WILL, WONT, DO or DONT.
    pub(crate) fn heard(&mut self, verb: u8, option: u8) -> (End, Step) {
        let end = if matches!(verb, DO | DONT) { End::Local } else { End::Remote };
        (end, self.side(end).heard(option, matches!(verb, DO | WILL)))
    }

    /// Asks for an option to be on or off; gives the verb to send.
    pub(crate) fn want(&mut self, end: End, option: u8, on: bool) -> Option<u8> {
        self.side(end).want(option, on).send
    }

    pub(crate) fn is_on(&self, end: End, option: u8) -> bool {
        match end {
            End::Local => self.local.is_on(option),
            End::Remote => self.remote.is_on(option),
        }
    }

    /// Whether it is on or off; `None` while the peer has not answered.
    pub(crate) fn settled(&self, end: End, option: u8) -> Option<bool> {
        let side = if end == End::Local { &self.local } else { &self.remote };
        match side.states[usize::from(option)] {
            Q::Yes => Some(true),
            Q::No => Some(false),
            Q::WantNo(_) | Q::WantYes(_) => None,
        }
    }

    /// Names of what is on at one end.
    pub(crate) fn names(&self, end: End) -> Vec<&'static str> {
        NAMES.iter().filter(|(option, _)| self.is_on(end, *option)).map(|(_, name)| *name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    #[test]
    fn what_is_agreed_is_answered_once_and_the_rest_refused() {
        let mut ours = Negotiation::new(&[BINARY], &[ECHO]);
        assert_eq!(ours.heard(DO, BINARY).1, Step { send: Some(WILL), now: Some(true) });
        assert_eq!(ours.heard(DO, BINARY).1, Step::default());
        assert_eq!(ours.heard(DO, ECHO).1, Step { send: Some(WONT), now: None });
        assert_eq!(ours.heard(WILL, ECHO).1, Step { send: Some(DO), now: Some(true) });
        assert_eq!(ours.heard(WONT, ECHO).1, Step { send: Some(DONT), now: Some(false) });
        assert_eq!(ours.heard(WONT, ECHO).1, Step::default());
        assert_eq!(ours.names(End::Local), ["binary"]);
    }

    #[test]
    fn our_own_questions_are_answered_or_not() {
        let mut ours = Negotiation::new(&[], &[]);
        assert_eq!(ours.want(End::Remote, COM_PORT, true), Some(DO));
        assert_eq!(ours.want(End::Remote, COM_PORT, true), None);
        assert_eq!(ours.settled(End::Remote, COM_PORT), None);
        assert_eq!(ours.heard(WONT, COM_PORT).1, Step::default());
        assert_eq!(ours.settled(End::Remote, COM_PORT), Some(false));
        assert_eq!(ours.want(End::Local, COM_PORT, true), Some(WILL));
        assert_eq!(ours.want(End::Local, COM_PORT, false), None);
        assert_eq!(ours.heard(DO, COM_PORT).1.send, Some(WONT));
        assert_eq!(ours.heard(DONT, COM_PORT).1, Step::default());
    }

    proptest! {
        /// Two of us, whatever each agrees to and asks for, come to rest, and to the same view.
        #[test]
        fn two_of_us_come_to_rest(
            agreed in prop::collection::vec(0_u8..4, 0..6),
            wishes in prop::collection::vec((any::<bool>(), any::<bool>(), 0_u8..4, any::<bool>(), 0_usize..4), 0..20),
        ) {
            let mut sides = [Negotiation::new(&agreed, &agreed), Negotiation::new(&agreed, &[0, 1])];
            let mut wires: [VecDeque<(u8, u8)>; 2] = Default::default();
            let mut sent = 0;
            let mut deliver = |to: usize, wires: &mut [VecDeque<(u8, u8)>; 2], sides: &mut [Negotiation; 2]| {
                let Some((verb, option)) = wires[to].pop_front() else { return false };
                if let Some(send) = sides[to].heard(verb, option).1.send {
                    wires[1 - to].push_back((send, option));
                    sent += 1;
                }
                true
            };
            for (who, local, option, on, deliveries) in &wishes {
                let who = usize::from(*who);
                let end = if *local { End::Local } else { End::Remote };
                if let Some(verb) = sides[who].want(end, *option, *on) {
                    wires[1 - who].push_back((verb, *option));
                }
                for _ in 0..*deliveries {
                    deliver(who, &mut wires, &mut sides);
                }
            }
            let mut rest = 1000;
            while deliver(0, &mut wires, &mut sides) | deliver(1, &mut wires, &mut sides) {
                rest -= 1;
                prop_assert!(rest > 0, "a loop");
            }
            for option in 0..4 {
                let same = |a: End, b: End| sides[0].is_on(a, option) == sides[1].is_on(b, option);
                prop_assert!(same(End::Local, End::Remote) && same(End::Remote, End::Local));
            }
            prop_assert!(sent <= 4 * wishes.len());
        }
    }
}
