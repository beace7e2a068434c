//! What stands in a frame, whichever it is: a function and its data (Modbus Application Protocol 1.1b3 §4.1, §6).
//! Requests are made here with the limits that the specification gives them.

use bytes::{BufMut, Bytes, BytesMut};

/// The most bytes of a function with its data (§4.1).
pub const MAX_PDU: usize = 253;
/// Set in the function of an answer that is an exception (§7).
pub const EXCEPTION: u8 = 0x80;
/// The unit to which every device of a line listens, and none answers (Serial Line 1.02 §2.1).
pub const BROADCAST: u8 = 0;
/// The most data that a loopback takes: its function and its sub-function stand before.
pub const MAX_LOOPBACK: usize = MAX_PDU - 3;

/// Functions (§6).
pub mod function {
    /// Read coils.
    pub const READ_COILS: u8 = 1;
    /// Read discrete inputs.
    pub const READ_DISCRETE_INPUTS: u8 = 2;
    /// Read holding registers.
    pub const READ_HOLDING_REGISTERS: u8 = 3;
    /// Read input registers.
    pub const READ_INPUT_REGISTERS: u8 = 4;
    /// Write one coil.
    pub const WRITE_COIL: u8 = 5;
    /// Write one register.
    pub const WRITE_REGISTER: u8 = 6;
    /// Read exception status.
    pub const READ_STATUS: u8 = 7;
    /// Diagnostics; sub-function 0 gives back what it was given.
    pub const DIAGNOSTICS: u8 = 8;
    /// Get communication event counter.
    pub const EVENT_COUNTER: u8 = 11;
    /// Get communication event log.
    pub const EVENT_LOG: u8 = 12;
    /// Write coils.
    pub const WRITE_COILS: u8 = 15;
    /// Write registers.
    pub const WRITE_REGISTERS: u8 = 16;
    /// Report server id.
    pub const SERVER_ID: u8 = 17;
    /// Read file record.
    pub const READ_FILE: u8 = 20;
    /// Write file record.
    pub const WRITE_FILE: u8 = 21;
    /// Change bits of a register.
    pub const MASK_WRITE_REGISTER: u8 = 22;
    /// Write registers, and read some.
    pub const READ_WRITE_REGISTERS: u8 = 23;
    /// Read a queue of registers.
    pub const READ_FIFO: u8 = 24;
    /// Encapsulated interface, of which type 14 is the identification of the device.
    pub const INTERFACE: u8 = 43;
}

/// The type of [`function::INTERFACE`] that reads the identification of a device (§6.21).
pub const IDENTIFICATION: u8 = 14;

/// Exceptions (§7), by code, with their names.
const EXCEPTIONS: &[(u8, &str)] = &[
    (1, "illegal function"),
    (2, "illegal data address"),
    (3, "illegal data value"),
    (4, "server device failure"),
    (5, "acknowledge"),
    (6, "server device busy"),
    (7, "negative acknowledge"),
    (8, "memory parity error"),
    (10, "gateway path unavailable"),
    (11, "gateway target device failed to respond"),
];

/// Codes of exceptions that are made here.
pub mod exception {
    /// The function is not known, or not allowed.
    pub const ILLEGAL_FUNCTION: u8 = 1;
    /// There is no such address.
    pub const ILLEGAL_ADDRESS: u8 = 2;
    /// The request makes no sense.
    pub const ILLEGAL_VALUE: u8 = 3;
    /// Too much waits already.
    pub const BUSY: u8 = 6;
    /// There is no way to the device.
    pub const NO_PATH: u8 = 10;
    /// The device does not answer.
    pub const NO_ANSWER: u8 = 11;
}

/// The name of an exception.
pub fn exception_name(code: u8) -> &'static str {
    EXCEPTIONS
        .iter()
        .find(|(known, _)| *known == code)
        .map_or("unknown exception", |(_, name)| name)
}

/// The answer that refuses `function`.
pub fn refusal(function: u8, code: u8) -> Bytes {
    Bytes::copy_from_slice(&[function | EXCEPTION, code])
}

/// The function of a request or an answer, without the mark of exceptions; 0 of an empty one.
pub fn function_of(pdu: &[u8]) -> u8 {
    pdu.first().map_or(0, |function| function & !EXCEPTION)
}

/// The code of an answer that is an exception.
pub fn exception_of(pdu: &[u8]) -> Option<u8> {
    let refused = pdu.first().is_some_and(|function| function & EXCEPTION != 0);
    refused.then(|| pdu.get(1).copied().unwrap_or(0))
}

/// Whether a request only reads coils, inputs or registers.
pub fn is_read(pdu: &[u8]) -> bool {
    (function::READ_COILS..=function::READ_INPUT_REGISTERS).contains(&function_of(pdu))
}

/// The most that one request may ask for or bring, by function (§6).
pub fn most(function: u8) -> u16 {
    match function {
        function::READ_COILS | function::READ_DISCRETE_INPUTS => 2000,
        function::WRITE_COILS => 1968,
        function::WRITE_REGISTERS => 123,
        function::WRITE_COIL | function::WRITE_REGISTER => 1,
        _ => 125,
    }
}

/// The most registers that a request which also reads may write (§6.17).
pub const MOST_WRITTEN: u16 = 121;

/// Whether `count` things from `address` on are some, no more than `most`, and end where addresses do.
///
/// # Errors
/// What was expected.
pub fn check_range(address: u16, count: usize, most: u16, what: &str) -> Result<u16, String> {
    let fits = u16::try_from(count).ok().filter(|count| (1..=most).contains(count));
    let count = fits.ok_or_else(|| format!("expected 1 to {most} {what}, not {count}"))?;
    if u32::from(address) + u32::from(count) > 1 << 16 {
        let text =
            format!("{count} {what} from address {address} on end behind the last one, 65535");
        return Err(text);
    }
    Ok(count)
}

fn with_words(function: u8, words: &[u16]) -> BytesMut {
    let mut pdu = BytesMut::with_capacity(1 + 2 * words.len());
    pdu.put_u8(function);
    for word in words {
        pdu.put_u16(*word);
    }
    pdu
}

/// Reads by one of the functions 1 to 4.
///
/// # Errors
/// What was expected.
pub fn read(function: u8, address: u16, count: usize) -> Result<Bytes, String> {
    let what = if function <= function::READ_DISCRETE_INPUTS { "bits" } else { "registers" };
    let count = check_range(address, count, most(function), what)?;
    Ok(with_words(function, &[address, count]).freeze())
}

/// Writes one coil.
pub fn write_coil(address: u16, on: bool) -> Bytes {
    with_words(function::WRITE_COIL, &[address, if on { 0xff00 } else { 0 }]).freeze()
}

/// Writes one register.
pub fn write_register(address: u16, value: u16) -> Bytes {
    with_words(function::WRITE_REGISTER, &[address, value]).freeze()
}

/// Writes coils.
///
/// # Errors
/// What was expected.
pub fn write_coils(address: u16, bits: &[bool]) -> Result<Bytes, String> {
    let count = check_range(address, bits.len(), most(function::WRITE_COILS), "coils")?;
    let mut pdu = with_words(function::WRITE_COILS, &[address, count]);
    let packed = pack(bits);
    // At most 1968 bits, which are 246 bytes.
    pdu.put_u8(u8::try_from(packed.len()).unwrap_or(u8::MAX));
    pdu.put_slice(&packed);
    Ok(pdu.freeze())
}

/// Writes registers, whose bytes are `data`.
///
/// # Errors
/// What was expected.
pub fn write_registers(address: u16, data: &[u8]) -> Result<Bytes, String> {
    let most = most(function::WRITE_REGISTERS);
    let count = check_range(address, data.len() / 2, most, "registers")?;
    let mut pdu = with_words(function::WRITE_REGISTERS, &[address, count]);
    put_counted(&mut pdu, data);
    Ok(pdu.freeze())
}

/// Writes registers from `write_address` on, then reads `count` from `address` on.
///
/// # Errors
/// What was expected.
pub fn read_write(
    address: u16,
    count: usize,
    write_address: u16,
    data: &[u8],
) -> Result<Bytes, String> {
    let count = check_range(address, count, most(function::READ_WRITE_REGISTERS), "registers")?;
    let written = check_range(write_address, data.len() / 2, MOST_WRITTEN, "registers to write")?;
    let words = [address, count, write_address, written];
    let mut pdu = with_words(function::READ_WRITE_REGISTERS, &words);
    put_counted(&mut pdu, data);
    Ok(pdu.freeze())
}

/// Keeps the bits of a register that `and` has, and sets those of `or` that it has not (§6.16).
pub fn mask_write(address: u16, and: u16, or: u16) -> Bytes {
    with_words(function::MASK_WRITE_REGISTER, &[address, and, or]).freeze()
}

/// Asks for the identification of the device, from an object on (§6.21).
pub fn identification(code: u8, object: u8) -> Bytes {
    Bytes::copy_from_slice(&[function::INTERFACE, IDENTIFICATION, code, object])
}

/// Asks to have `data` back (§6.8, sub-function 0).
pub fn loopback(data: &[u8]) -> Bytes {
    let mut pdu = with_words(function::DIAGNOSTICS, &[0]);
    pdu.put_slice(data);
    pdu.freeze()
}

/// The data of a loopback, or of the answer to one.
pub fn loopback_data(pdu: &Bytes) -> Option<Bytes> {
    pdu.starts_with(&[function::DIAGNOSTICS, 0, 0]).then(|| pdu.slice(3..))
}

fn put_counted(pdu: &mut BytesMut, data: &[u8]) {
    // At most 123 registers, which are 246 bytes.
    pdu.put_u8(u8::try_from(data.len()).unwrap_or(u8::MAX));
    pdu.put_slice(data);
}

/// Bits, the first one lowest.
pub fn pack(bits: &[bool]) -> Vec<u8> {
    let byte = |bits: &[bool]| {
        bits.iter().enumerate().fold(0, |byte, (at, bit)| byte | u8::from(*bit) << at)
    };
    bits.chunks(8).map(byte).collect()
}

/// As many bits of `bytes` as there should be; `None` where there are less.
pub fn unpack(bytes: &[u8], count: usize) -> Option<Vec<bool>> {
    let bit = |at: usize| bytes.get(at / 8).map(|byte| byte >> (at % 8) & 1 == 1);
    (0..count).map(bit).collect()
}

/// The number at `at`.
pub fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}
