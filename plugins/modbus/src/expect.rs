//! Whether an answer fits its request: a device that mixes up its answers must not be believed.

use crate::pdu::{
    EXCEPTION, IDENTIFICATION, exception_of, function, function_of, loopback_data, word,
};
use bytes::Bytes;

/// Whether `answer` can be the one to `request`.
///
/// # Errors
/// What was expected.
pub(crate) fn fits(request: &Bytes, answer: &Bytes) -> Result<(), String> {
    let asked = function_of(request);
    if answer.first().is_none_or(|function| function & !EXCEPTION != asked) {
        let said = answer.first().map_or("none".to_owned(), ToString::to_string);
        return Err(format!("expected an answer to function {asked}, not one with {said}"));
    }
    if exception_of(answer).is_some() {
        return match answer.len() {
            2 => Ok(()),
            len => Err(format!("expected an exception of 2 bytes, not {len}")),
        };
    }
    let echo = |len: usize| match answer.get(..len) == request.get(..len) && answer.len() == len {
        true => Ok(()),
        false => Err("expected what was written to be said again".to_owned()),
    };
    match asked {
        function::READ_COILS | function::READ_DISCRETE_INPUTS => {
            counted(answer, asked_count(request).div_ceil(8))
        }
        function::READ_HOLDING_REGISTERS
        | function::READ_INPUT_REGISTERS
        | function::READ_WRITE_REGISTERS => counted(answer, asked_count(request) * 2),
        function::WRITE_COIL
        | function::WRITE_REGISTER
        | function::WRITE_COILS
        | function::WRITE_REGISTERS => echo(5),
        function::MASK_WRITE_REGISTER => echo(7),
        function::DIAGNOSTICS if loopback_data(request).is_some() => match answer == request {
            true => Ok(()),
            false => Err("expected the data of the loopback again".to_owned()),
        },
        function::INTERFACE if request.get(1) == Some(&IDENTIFICATION) => {
            match answer.get(1..3) == request.get(1..3) {
                true => Ok(()),
                false => Err("expected an identification by the same code".to_owned()),
            }
        }
        _ => Ok(()),
    }
}

/// How many bits or registers are asked for.
fn asked_count(request: &[u8]) -> usize {
    word(request, 3).map_or(0, usize::from)
}

fn counted(answer: &[u8], bytes: usize) -> Result<(), String> {
    let said = answer.get(1).map_or(0, |count| usize::from(*count));
    if said == bytes && answer.len() == 2 + bytes {
        return Ok(());
    }
    let there = answer.len().saturating_sub(2);
    Err(format!("expected {bytes} bytes of data; the answer says {said} and has {there}"))
}
