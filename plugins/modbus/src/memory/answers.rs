//! What a device answers (Application Protocol §6): a request is checked whole before anything is written.

use super::tables::Tables;
use crate::pdu::{
    self, IDENTIFICATION, MOST_WRITTEN, exception, function, function_of, loopback_data, most,
    pack, refusal, unpack, word,
};
use bytes::{BufMut, Bytes, BytesMut};

/// The answer to a request, exceptions among them.
pub(super) fn answer(tables: &mut Tables, request: &Bytes) -> Bytes {
    let done = match function_of(request) {
        function::READ_COILS..=function::READ_INPUT_REGISTERS => read(tables, request),
        function::DIAGNOSTICS if loopback_data(request).is_some() => Ok(request.clone()),
        function::INTERFACE if request.get(1) == Some(&IDENTIFICATION) => identify(tables, request),
        function::READ_WRITE_REGISTERS if !tables.read_only => read_write(tables, request),
        _ if tables.read_only => Err(exception::ILLEGAL_FUNCTION),
        function::WRITE_COIL => write_coil(tables, request),
        function::WRITE_REGISTER => write_register(tables, request),
        function::WRITE_COILS => write_coils(tables, request),
        function::WRITE_REGISTERS => write_registers(tables, request),
        function::MASK_WRITE_REGISTER => mask(tables, request),
        _ => Err(exception::ILLEGAL_FUNCTION),
    };
    done.unwrap_or_else(|code| refusal(function_of(request), code))
}

/// A request's word, where it has one.
fn given(request: &[u8], at: usize) -> Result<u16, u8> {
    word(request, at).ok_or(exception::ILLEGAL_VALUE)
}

/// A range that a function may name, and that is there.
fn range(
    tables: &Tables,
    address: u16,
    count: u16,
    most: u16,
) -> Result<std::ops::Range<usize>, u8> {
    if !(1..=most).contains(&count) {
        return Err(exception::ILLEGAL_VALUE);
    }
    if !tables.has(address, count) {
        return Err(exception::ILLEGAL_ADDRESS);
    }
    let first = usize::from(address);
    Ok(first..first + usize::from(count))
}

fn exactly(request: &[u8], len: usize) -> Result<(), u8> {
    if request.len() == len { Ok(()) } else { Err(exception::ILLEGAL_VALUE) }
}

fn read(tables: &Tables, request: &[u8]) -> Result<Bytes, u8> {
    exactly(request, 5)?;
    let function = function_of(request);
    let range = range(tables, given(request, 1)?, given(request, 3)?, most(function))?;
    Ok(match function {
        function::READ_COILS => counted(function, &pack(&tables.coils[range])),
        function::READ_DISCRETE_INPUTS => counted(function, &pack(&tables.discrete_inputs[range])),
        function::READ_HOLDING_REGISTERS => {
            counted(function, &bytes(&tables.holding_registers[range]))
        }
        _ => counted(function, &bytes(&tables.input_registers[range])),
    })
}

fn bytes(registers: &[u16]) -> Vec<u8> {
    registers.iter().flat_map(|register| register.to_be_bytes()).collect()
}

fn counted(function: u8, data: &[u8]) -> Bytes {
    let mut answer = BytesMut::with_capacity(2 + data.len());
    answer.put_u8(function);
    // At most 250.
    answer.put_u8(u8::try_from(data.len()).unwrap_or(u8::MAX));
    answer.put_slice(data);
    answer.freeze()
}

fn write_coil(tables: &mut Tables, request: &Bytes) -> Result<Bytes, u8> {
    exactly(request, 5)?;
    let (address, value) = (given(request, 1)?, given(request, 3)?);
    let on = match value {
        0xff00 => true,
        0 => false,
        _ => return Err(exception::ILLEGAL_VALUE),
    };
    let range = range(tables, address, 1, 1)?;
    tables.coils[range].fill(on);
    Ok(request.clone())
}

fn write_register(tables: &mut Tables, request: &Bytes) -> Result<Bytes, u8> {
    exactly(request, 5)?;
    let (address, value) = (given(request, 1)?, given(request, 3)?);
    let range = range(tables, address, 1, 1)?;
    tables.holding_registers[range].fill(value);
    Ok(request.clone())
}

/// The data behind a byte that counts it, at `at`.
fn data(request: &[u8], at: usize, bytes: usize) -> Result<&[u8], u8> {
    let (count, data) =
        request.get(at..).and_then(<[u8]>::split_first).ok_or(exception::ILLEGAL_VALUE)?;
    if usize::from(*count) == bytes && data.len() == bytes {
        return Ok(data);
    }
    Err(exception::ILLEGAL_VALUE)
}

fn write_coils(tables: &mut Tables, request: &Bytes) -> Result<Bytes, u8> {
    let (address, count) = (given(request, 1)?, given(request, 3)?);
    let many = usize::from(count);
    let range = range(tables, address, count, most(function::WRITE_COILS))?;
    let data = data(request, 5, many.div_ceil(8))?;
    let bits = unpack(data, many).ok_or(exception::ILLEGAL_VALUE)?;
    tables.coils[range].copy_from_slice(&bits);
    Ok(request.slice(..5))
}

fn put(tables: &mut Tables, range: std::ops::Range<usize>, data: &[u8]) {
    let registers = tables.holding_registers[range].iter_mut();
    for (register, pair) in registers.zip(data.chunks_exact(2)) {
        *register = u16::from_be_bytes([pair[0], pair[1]]);
    }
}

fn write_registers(tables: &mut Tables, request: &Bytes) -> Result<Bytes, u8> {
    let (address, count) = (given(request, 1)?, given(request, 3)?);
    let range = range(tables, address, count, most(function::WRITE_REGISTERS))?;
    let data = data(request, 5, usize::from(count) * 2)?;
    put(tables, range, data);
    Ok(request.slice(..5))
}

fn mask(tables: &mut Tables, request: &Bytes) -> Result<Bytes, u8> {
    exactly(request, 7)?;
    let (and, or) = (given(request, 3)?, given(request, 5)?);
    let range = range(tables, given(request, 1)?, 1, 1)?;
    for register in &mut tables.holding_registers[range] {
        *register = *register & and | or & !and;
    }
    Ok(request.clone())
}

fn read_write(tables: &mut Tables, request: &Bytes) -> Result<Bytes, u8> {
    let (address, count) = (given(request, 1)?, given(request, 3)?);
    let read = range(tables, address, count, most(function::READ_WRITE_REGISTERS))?;
    let count = given(request, 7)?;
    let written = range(tables, given(request, 5)?, count, MOST_WRITTEN)?;
    let data = data(request, 9, usize::from(count) * 2)?;
    put(tables, written, data);
    Ok(counted(function::READ_WRITE_REGISTERS, &bytes(&tables.holding_registers[read])))
}

/// The basic identification, as a stream or by object.
fn identify(tables: &Tables, request: &[u8]) -> Result<Bytes, u8> {
    exactly(request, 4)?;
    let (code, object) = (request[2], usize::from(request[3]));
    if !(1..=4).contains(&code) {
        return Err(exception::ILLEGAL_VALUE);
    }
    let known = tables.identity.iter().enumerate();
    let wanted: Vec<_> = match code {
        4 => known.filter(|(number, _)| *number == object).collect(),
        // An object that is not there begins at the first one (§6.21).
        _ if object >= tables.identity.len() => known.collect(),
        _ => known.filter(|(number, _)| *number >= object).collect(),
    };
    if wanted.is_empty() {
        return Err(exception::ILLEGAL_ADDRESS);
    }
    let mut answer = BytesMut::new();
    // Basic, as a stream and by object; nothing follows.
    answer.put_slice(&[function::INTERFACE, IDENTIFICATION, code, 0x81, 0, 0]);
    answer.put_u8(u8::try_from(wanted.len()).unwrap_or(u8::MAX));
    for (number, text) in wanted {
        answer.put_u8(u8::try_from(number).unwrap_or(u8::MAX));
        // At most 200 together.
        answer.put_u8(u8::try_from(text.len()).unwrap_or(u8::MAX));
        answer.put_slice(text.as_bytes());
    }
    debug_assert!(answer.len() <= pdu::MAX_PDU);
    Ok(answer.freeze())
}
