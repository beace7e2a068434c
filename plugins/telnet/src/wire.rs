//! The bytes of Telnet (RFC 854): data with commands in between. No input or output happens here.

use bytes::BytesMut;

/// Interpret as command.
pub(crate) const IAC: u8 = 255;
pub(crate) const DONT: u8 = 254;
pub(crate) const DO: u8 = 253;
pub(crate) const WONT: u8 = 252;
pub(crate) const WILL: u8 = 251;
/// Begins a subnegotiation.
pub(crate) const SB: u8 = 250;
/// Ends a subnegotiation.
pub(crate) const SE: u8 = 240;
/// Are you there?
pub(crate) const AYT: u8 = 246;
/// Break.
pub(crate) const BRK: u8 = 243;

const CR: u8 = b'\r';
const LF: u8 = b'\n';
const NUL: u8 = 0;

/// Commands without an option, by the names that events and operations have.
const COMMANDS: [(u8, &str); 14] = [
    (236, "eof"),
    (237, "suspend"),
    (238, "abort"),
    (239, "end_of_record"),
    (SE, "se"),
    (241, "nop"),
    (242, "data_mark"),
    (BRK, "break"),
    (244, "interrupt"),
    (245, "abort_output"),
    (AYT, "are_you_there"),
    (247, "erase_character"),
    (248, "erase_line"),
    (249, "go_ahead"),
];

/// The name of a command that has no option.
pub(crate) fn command_name(code: u8) -> Option<&'static str> {
    COMMANDS.iter().find(|(known, _)| *known == code).map(|(_, name)| *name)
}

/// The command of that name, if one may send it by itself.
pub(crate) fn command_code(name: &str) -> Option<u8> {
    let found = COMMANDS.iter().find(|(code, known)| *known == name && *code != SE);
    found.map(|(code, _)| *code)
}

/// Names of the commands that one may send.
pub(crate) fn command_names() -> Vec<&'static str> {
    COMMANDS.iter().filter(|(code, _)| *code != SE).map(|(_, name)| *name).collect()
}

/// What stands between data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// A command without an option.
    Command(u8),
    /// WILL, WONT, DO or DONT, and the option.
    Negotiation(u8, u8),
    /// An option and what was said about it.
    Subnegotiation(u8, Vec<u8>),
    /// A subnegotiation longer than allowed; what follows of it is not kept.
    TooLong(u8),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Data,
    Command,
    Negotiation(u8),
    /// After SB.
    Option,
    Inside(u8),
    /// After IAC in a subnegotiation.
    InsideCommand(u8),
}

/// Takes commands out of what is received.
#[derive(Debug)]
pub(crate) struct Decoder {
    state: State,
    /// Whether the peer sends eight bits as they are (RFC 856): then CR means nothing.
    pub(crate) binary: bool,
    after_cr: bool,
    inside: Vec<u8>,
    max_inside: usize,
    too_long: bool,
}

impl Decoder {
    /// One that takes subnegotiations of at most so many bytes.
    pub(crate) fn new(max_inside: usize) -> Self {
        let state = State::Data;
        let (inside, binary) = (Vec::new(), false);
        Decoder { state, binary, after_cr: false, inside, max_inside, too_long: false }
    }

    /// Takes from the front of `input`: data goes to `data`, up to the first piece that is whole.
    /// `None` when all has been taken.
    pub(crate) fn next(&mut self, input: &mut &[u8], data: &mut BytesMut) -> Option<Piece> {
        while let Some((&byte, rest)) = input.split_first() {
            if self.state == State::Data {
                let count = self.plain(input);
                if count > 0 {
                    data.extend_from_slice(&input[..count]);
                    *input = &input[count..];
                    continue;
                }
            }
            *input = rest;
            if let Some(piece) = self.step(byte, data) {
                return Some(piece);
            }
        }
        None
    }

    /// How many bytes at the front mean nothing but themselves.
    fn plain(&self, input: &[u8]) -> usize {
        if self.after_cr {
            return 0;
        }
        let special =
            if self.binary { memchr::memchr(IAC, input) } else { memchr::memchr2(IAC, CR, input) };
        special.unwrap_or(input.len())
    }

    fn step(&mut self, byte: u8, data: &mut BytesMut) -> Option<Piece> {
        match self.state {
            State::Data => {
                if byte == IAC {
                    self.state = State::Command;
                } else {
                    self.data(byte, data);
                }
                None
            }
            State::Command => self.command(byte, data),
            State::Negotiation(verb) => {
                self.state = State::Data;
                Some(Piece::Negotiation(verb, byte))
            }
            State::Option => {
                self.inside.clear();
                self.too_long = false;
                self.state = State::Inside(byte);
                None
            }
            State::Inside(option) => {
                if byte == IAC {
                    self.state = State::InsideCommand(option);
                    return None;
                }
                self.keep(option, byte)
            }
            State::InsideCommand(option) => match byte {
                IAC => {
                    self.state = State::Inside(option);
                    self.keep(option, byte)
                }
                SE => {
                    self.state = State::Data;
                    let inside = std::mem::take(&mut self.inside);
                    (!self.too_long).then_some(Piece::Subnegotiation(option, inside))
                }
                // It was broken off; the command counts.
                _ => self.command(byte, data),
            },
        }
    }

    fn data(&mut self, byte: u8, data: &mut BytesMut) {
        let padding = self.after_cr && byte == NUL;
        self.after_cr = byte == CR && !self.binary;
        if !padding {
            data.extend_from_slice(&[byte]);
        }
    }

    fn command(&mut self, byte: u8, data: &mut BytesMut) -> Option<Piece> {
        self.state = State::Data;
        match byte {
            IAC => {
                self.data(IAC, data);
                None
            }
            SB => {
                self.state = State::Option;
                None
            }
            WILL | WONT | DO | DONT => {
                self.state = State::Negotiation(byte);
                None
            }
            _ => Some(Piece::Command(byte)),
        }
    }

    fn keep(&mut self, option: u8, byte: u8) -> Option<Piece> {
        if self.too_long {
            return None;
        }
        if self.inside.len() >= self.max_inside {
            self.too_long = true;
            return Some(Piece::TooLong(option));
        }
        self.inside.push(byte);
        None
    }
}

/// Writes what is sent.
#[derive(Debug, Default)]
pub(crate) struct Encoder {
    /// Whether we send eight bits as they are.
    pub(crate) binary: bool,
    /// Whether a line feed by itself goes out as an end of line, CR LF.
    line_ends: bool,
    /// A CR was sent, and what has to follow it was not.
    owes: bool,
}

impl Encoder {
    /// One that sends a line feed by itself as an end of line, or as it is.
    pub(crate) fn new(line_ends: bool) -> Self {
        Encoder { line_ends, ..Encoder::default() }
    }

    /// Adds data to `out`.
    pub(crate) fn data(&mut self, mut bytes: &[u8], out: &mut BytesMut) {
        while let Some(&first) = bytes.first() {
            if self.owes && first != LF {
                self.settle(out);
            }
            let special = |byte: &u8| match *byte {
                IAC => true,
                CR => !self.binary,
                LF => self.line_ends && !self.binary,
                _ => false,
            };
            let count = bytes.iter().position(special).unwrap_or(bytes.len());
            if count > 0 {
                out.extend_from_slice(&bytes[..count]);
                self.owes = false;
            }
            let Some(&byte) = bytes.get(count) else { return };
            match byte {
                IAC => out.extend_from_slice(&[IAC, IAC]),
                LF if !self.owes => out.extend_from_slice(&[CR, LF]),
                byte => out.extend_from_slice(&[byte]),
            }
            self.owes = byte == CR;
            bytes = &bytes[count + 1..];
        }
    }

    /// A CR by itself is followed by NUL (RFC 854); called before anything that is not data, and when
    /// no more data is there.
    pub(crate) fn settle(&mut self, out: &mut BytesMut) {
        if std::mem::take(&mut self.owes) {
            out.extend_from_slice(&[NUL]);
        }
    }
}

/// Adds a subnegotiation to `out`.
pub(crate) fn subnegotiation(option: u8, inside: &[u8], out: &mut BytesMut) {
    out.extend_from_slice(&[IAC, SB, option]);
    for part in inside.split_inclusive(|byte| *byte == IAC) {
        out.extend_from_slice(part);
        if part.last() == Some(&IAC) {
            out.extend_from_slice(&[IAC]);
        }
    }
    out.extend_from_slice(&[IAC, SE]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(decoder: &mut Decoder, chunks: &[&[u8]]) -> (Vec<u8>, Vec<Piece>) {
        let (mut data, mut pieces) = (BytesMut::new(), Vec::new());
        for chunk in chunks {
            let mut input = *chunk;
            while let Some(piece) = decoder.next(&mut input, &mut data) {
                pieces.push(piece);
            }
            assert!(input.is_empty());
        }
        (data.to_vec(), pieces)
    }

    fn whole(bytes: &[u8]) -> (Vec<u8>, Vec<Piece>) {
        decode(&mut Decoder::new(16), &[bytes])
    }

    #[test]
    fn commands_are_taken_out_of_data() {
        let (data, pieces) =
            whole(b"a\xff\xffb\xff\xf6\xff\xfd\x18\xff\xfa\x18\x01\xff\xff\xff\xf0c");
        assert_eq!(data, b"a\xffbc");
        let wanted = [
            Piece::Command(AYT),
            Piece::Negotiation(DO, 24),
            Piece::Subnegotiation(24, vec![1, 255]),
        ];
        assert_eq!(pieces, wanted);
    }

    #[test]
    fn the_padding_of_a_carriage_return_is_dropped() {
        assert_eq!(whole(b"a\r\0b\r\nc\r\r\0\0d").0, b"a\rb\r\nc\r\r\0d");
        assert_eq!(whole(b"a\r\xff\xf1\0b").0, b"a\rb");
        let mut decoder = Decoder { binary: true, ..Decoder::new(16) };
        assert_eq!(decode(&mut decoder, &[b"a\r\0b"]).0, b"a\r\0b");
    }

    #[test]
    fn a_subnegotiation_is_bounded_and_can_be_broken_off() {
        let mut long = b"\xff\xfa\x18".to_vec();
        long.extend([b'x'; 40]);
        long.extend(b"\xff\xf0after");
        assert_eq!(whole(&long), (b"after".to_vec(), vec![Piece::TooLong(24)]));
        let broken = whole(b"\xff\xfa\x18ab\xff\xfb\x01c");
        assert_eq!(broken, (b"c".to_vec(), vec![Piece::Negotiation(WILL, 1)]));
    }

    #[test]
    fn a_line_feed_ends_a_line_where_that_is_wanted() {
        let mut encoder = Encoder { line_ends: true, ..Encoder::default() };
        let mut out = BytesMut::new();
        encoder.data(b"a\nb\r\nc\r", &mut out);
        encoder.data(b"\nd\r", &mut out);
        encoder.settle(&mut out);
        assert_eq!(&out[..], b"a\r\nb\r\nc\r\nd\r\0");
    }

    #[test]
    fn every_command_has_one_name() {
        for name in command_names() {
            assert_eq!(command_code(name).and_then(command_name), Some(name));
        }
        assert_eq!((command_code("se"), command_name(1)), (None, None));
    }

    proptest! {
        #[test]
        fn what_is_encoded_comes_back(
            chunks in prop::collection::vec(prop::collection::vec(
                prop_oneof![Just(IAC), Just(CR), Just(LF), Just(NUL), any::<u8>()], 0..40), 0..8),
            binary: bool,
            settled: bool,
            cut in 1_usize..7,
        ) {
            let mut encoder = Encoder { binary, ..Encoder::default() };
            let mut out = BytesMut::new();
            for chunk in &chunks {
                encoder.data(chunk, &mut out);
                if settled {
                    encoder.settle(&mut out);
                }
            }
            encoder.settle(&mut out);
            let mut decoder = Decoder { binary, ..Decoder::new(16) };
            let pieces: Vec<&[u8]> = out.chunks(cut).collect();
            prop_assert_eq!(decode(&mut decoder, &pieces), (chunks.concat(), Vec::new()));
        }

        #[test]
        fn what_is_said_of_an_option_comes_back(
            option: u8,
            inside in prop::collection::vec(prop_oneof![Just(IAC), Just(SE), any::<u8>()], 0..16),
        ) {
            let mut out = BytesMut::new();
            subnegotiation(option, &inside, &mut out);
            let wanted = (Vec::new(), vec![Piece::Subnegotiation(option, inside)]);
            prop_assert_eq!(whole(&out), wanted);
        }

        #[test]
        fn random_bytes_mean_the_same_in_any_pieces(
            bytes in prop::collection::vec(
                prop_oneof![3 => 236_u8..=255, 1 => any::<u8>(), 1 => Just(CR)], 0..200),
            cut in 1_usize..9,
        ) {
            let chunks: Vec<&[u8]> = bytes.chunks(cut).collect();
            let pieces = decode(&mut Decoder::new(16), &chunks);
            prop_assert!(pieces.0.len() <= bytes.len());
            prop_assert_eq!(pieces, whole(&bytes));
        }
    }
}
