//! The operations of a client's session.

use crate::client::Link;
use crate::endpoint::seconds;
use crate::identification;
use crate::parameters::{
    Identified, Identify, MaskWrite, Raw, RawAnswer, ReadBits, ReadValues, ReadWrite, Values,
    WriteCoil, WriteCoils, WriteRegister, WriteRegisters,
};
use crate::pdu::{self, MAX_PDU, function};
use crate::values::{self, Order, Type};
use bytes::Bytes;
use jackfield_plugin_api::{Error, ErrorKind, NoParams, Operation, Result, params};
use serde_json::{Value, json};

/// Their names.
const NAMES: [&str; 12] = [
    "read_coils",
    "read_discrete_inputs",
    "read_holding_registers",
    "read_input_registers",
    "write_coil",
    "write_register",
    "write_coils",
    "write_registers",
    "mask_write_register",
    "read_write_registers",
    "device_identification",
    "request",
];

/// All of them.
pub(crate) fn all() -> Vec<Operation> {
    let [
        coils,
        inputs,
        holding,
        input,
        coil,
        register,
        many_coils,
        registers,
        mask,
        both,
        identify,
        raw,
    ] = NAMES;
    vec![
        Operation::new::<ReadBits, Values>(coils, "Reads coils (function 1)"),
        Operation::new::<ReadBits, Values>(inputs, "Reads discrete inputs (function 2)"),
        Operation::new::<ReadValues, Values>(holding, "Reads holding registers (function 3)"),
        Operation::new::<ReadValues, Values>(input, "Reads input registers (function 4)"),
        Operation::new::<WriteCoil, NoParams>(coil, "Writes one coil (function 5)"),
        Operation::new::<WriteRegister, NoParams>(register, "Writes one register (function 6)"),
        Operation::new::<WriteCoils, NoParams>(many_coils, "Writes coils (function 15)"),
        Operation::new::<WriteRegisters, NoParams>(registers, "Writes registers (function 16)"),
        Operation::new::<MaskWrite, NoParams>(mask, "Changes bits of a register (function 22)"),
        Operation::new::<ReadWrite, Values>(both, "Writes registers and reads some (function 23)"),
        Operation::new::<Identify, Identified>(identify, "Asks who the device is (function 43)"),
        Operation::new::<Raw, RawAnswer>(raw, "Asks by any function"),
    ]
}

/// Runs one.
///
/// # Errors
/// What it says, or that there is none such.
pub(crate) async fn call(link: &Link, operation: &str, given: Value) -> Result<Value> {
    match operation {
        "read_coils" => read_bits(link, function::READ_COILS, params(given)?).await,
        "read_discrete_inputs" => {
            read_bits(link, function::READ_DISCRETE_INPUTS, params(given)?).await
        }
        "read_holding_registers" => {
            read_values(link, function::READ_HOLDING_REGISTERS, params(given)?).await
        }
        "read_input_registers" => {
            read_values(link, function::READ_INPUT_REGISTERS, params(given)?).await
        }
        "write_coil" => {
            let WriteCoil { unit, address, value, timeout } = params(given)?;
            done(link, unit, Ok(pdu::write_coil(address, value)), timeout).await
        }
        "write_register" => write_register(link, params(given)?).await,
        "write_coils" => {
            let WriteCoils { unit, address, values, timeout } = params(given)?;
            done(link, unit, pdu::write_coils(address, &values), timeout).await
        }
        "write_registers" => {
            let it: WriteRegisters = params(given)?;
            let data = registers(link, it.r#type, it.order, &it.values)?;
            done(link, it.unit, pdu::write_registers(it.address, &data), it.timeout).await
        }
        "mask_write_register" => {
            let MaskWrite { unit, address, and, or, timeout } = params(given)?;
            done(link, unit, Ok(pdu::mask_write(address, and, or)), timeout).await
        }
        "read_write_registers" => read_write(link, params(given)?).await,
        "device_identification" => identification::read(link, params(given)?).await,
        "request" => raw(link, params(given)?).await,
        _ => {
            let names = NAMES.join(" ");
            Err(Error::unsupported(&format!("operation {operation:?}; there are: {names}")))
        }
    }
}

pub(crate) fn wrong(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::Config, text)
}

/// Asks a unit, and gives an answer that is no exception.
pub(crate) async fn ask(
    link: &Link,
    unit: Option<u8>,
    request: Result<Bytes, String>,
    timeout: Option<f64>,
) -> Result<Bytes> {
    let timeout = timeout.map(|timeout| seconds("timeout", timeout)).transpose()?;
    link.answer(unit.unwrap_or(link.endpoint.unit), request.map_err(wrong)?, timeout).await
}

/// The same, for an answer that says nothing more.
async fn done(
    link: &Link,
    unit: Option<u8>,
    request: Result<Bytes, String>,
    timeout: Option<f64>,
) -> Result<Value> {
    ask(link, unit, request, timeout).await.map(|_| json!({}))
}

async fn read_bits(link: &Link, function: u8, given: ReadBits) -> Result<Value> {
    let count = usize::from(given.count.unwrap_or(1));
    let request = pdu::read(function, given.address, count);
    let answer = ask(link, given.unit, request, given.timeout).await?;
    let bits = answer.get(2..).and_then(|bytes| pdu::unpack(bytes, count));
    let bits = bits.ok_or_else(|| Error::new(ErrorKind::Protocol, "the answer is too short"))?;
    Ok(json!({ "values": bits }))
}

/// How many registers `count` values are.
fn span(kind: Type, count: Option<u16>) -> usize {
    usize::from(count.unwrap_or(1)) * kind.registers()
}

/// What the registers of an answer hold.
fn held(link: &Link, kind: Type, order: Option<Order>, answer: &[u8]) -> Result<Value> {
    let data = answer.get(2..).unwrap_or_default();
    let order = order.unwrap_or(link.endpoint.order);
    let wrong = |text| Error::new(ErrorKind::Protocol, text);
    Ok(json!({ "values": values::read(kind, order, data).map_err(wrong)? }))
}

/// The bytes of the registers that hold `values`.
fn registers(
    link: &Link,
    kind: Option<Type>,
    order: Option<Order>,
    values: &[Value],
) -> Result<Vec<u8>> {
    let order = order.unwrap_or(link.endpoint.order);
    values::write(kind.unwrap_or(Type::U16), order, values).map_err(wrong)
}

async fn read_values(link: &Link, function: u8, given: ReadValues) -> Result<Value> {
    let kind = given.r#type.unwrap_or(Type::U16);
    let request = pdu::read(function, given.address, span(kind, given.count));
    let answer = ask(link, given.unit, request, given.timeout).await?;
    held(link, kind, given.order, &answer)
}

async fn write_register(link: &Link, given: WriteRegister) -> Result<Value> {
    let kind = given.r#type.unwrap_or(Type::U16);
    if !matches!(kind, Type::U16 | Type::I16) {
        return Err(wrong(
            "type: one register holds u16 or i16; expected `write_registers` for others",
        ));
    }
    let data = values::write(kind, Order::Abcd, &[given.value]).map_err(wrong)?;
    let value = pdu::word(&data, 0).unwrap_or(0);
    done(link, given.unit, Ok(pdu::write_register(given.address, value)), given.timeout).await
}

async fn read_write(link: &Link, given: ReadWrite) -> Result<Value> {
    let kind = given.r#type.unwrap_or(Type::U16);
    let data = registers(link, given.r#type, given.order, &given.values)?;
    let count = span(kind, given.count);
    let request = pdu::read_write(given.address, count, given.write_address, &data);
    let answer = ask(link, given.unit, request, given.timeout).await?;
    held(link, kind, given.order, &answer)
}

async fn raw(link: &Link, given: Raw) -> Result<Value> {
    let data = given.data.unwrap_or_default();
    let data = digits(&data).ok_or_else(|| wrong("data: expected pairs of hexadecimal digits"))?;
    if !(1..=127).contains(&given.function) {
        return Err(wrong(format!("function: expected 1 to 127, not {}", given.function)));
    }
    if data.len() + 1 > MAX_PDU {
        return Err(wrong(format!("data: expected at most {} bytes", MAX_PDU - 1)));
    }
    let request = [&[given.function], &data[..]].concat();
    let answer = ask(link, given.unit, Ok(request.into()), given.timeout).await?;
    let data: String =
        answer.iter().skip(1).flat_map(|byte| [byte >> 4, byte & 15]).filter_map(digit).collect();
    Ok(json!({ "data": data }))
}

fn digit(value: u8) -> Option<char> {
    char::from_digit(u32::from(value), 16)
}

/// The bytes of hexadecimal digits, with spaces between pairs or without.
fn digits(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u32> =
        text.chars().filter(|it| *it != ' ').map(|it| it.to_digit(16)).collect::<Option<_>>()?;
    let pair = |pair: &[u32]| match pair {
        [high, low] => u8::try_from(high << 4 | low).ok(),
        _ => None,
    };
    digits.chunks(2).map(pair).collect()
}
