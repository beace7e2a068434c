//! Values in registers.

use super::*;
use crate::values::{Order, Type, read, write};

#[test]
fn a_float_has_four_orders() {
    let bytes = 123.456_f32.to_be_bytes();
    let [a, b, c, d] = bytes;
    for (order, on_wire) in [
        (Order::Abcd, [a, b, c, d]),
        (Order::Cdab, [c, d, a, b]),
        (Order::Badc, [b, a, d, c]),
        (Order::Dcba, [d, c, b, a]),
    ] {
        assert_eq!(write(Type::F32, order, &[json!(123.456)]).unwrap(), on_wire);
        assert_eq!(read(Type::F32, order, &on_wire).unwrap(), [json!(123.456)]);
    }
}

#[test]
fn eight_bytes_turn_by_registers_and_by_bytes() {
    let plain = [1, 2, 3, 4, 5, 6, 7, 8];
    let turned = |order| write(Type::U64, order, &[json!(u64::from_be_bytes(plain))]).unwrap();
    assert_eq!(turned(Order::Cdab), [7, 8, 5, 6, 3, 4, 1, 2]);
    assert_eq!(turned(Order::Badc), [2, 1, 4, 3, 6, 5, 8, 7]);
    assert_eq!(turned(Order::Dcba), [8, 7, 6, 5, 4, 3, 2, 1]);
}

#[test]
fn the_ends_of_each_type_stay_what_they_are() {
    for (kind, values) in [
        (Type::U16, vec![json!(0), json!(u16::MAX)]),
        (Type::I16, vec![json!(i16::MIN), json!(i16::MAX)]),
        (Type::U32, vec![json!(0), json!(u32::MAX)]),
        (Type::I32, vec![json!(i32::MIN), json!(i32::MAX)]),
        (Type::U64, vec![json!(0), json!(u64::MAX)]),
        (Type::I64, vec![json!(i64::MIN), json!(i64::MAX)]),
        (Type::F64, vec![json!(f64::MIN), json!(0.1)]),
    ] {
        let bytes = write(kind, Order::Dcba, &values).unwrap();
        assert_eq!(read(kind, Order::Dcba, &bytes).unwrap(), values, "{kind:?}");
    }
}

#[test]
fn what_does_not_fit_is_refused_with_what_was_expected() {
    let error = write(Type::U16, Order::Abcd, &[json!(65_536)]).unwrap_err();
    assert_eq!(error, "expected a number from 0 to 65535, not 65536");
    write(Type::I16, Order::Abcd, &[json!(1.5)]).unwrap_err();
    write(Type::String, Order::Abcd, &[json!(1)]).unwrap_err();
}

#[test]
fn floats_that_json_has_not_are_text() {
    let bytes = write(Type::F32, Order::Abcd, &[json!("NaN"), json!("-inf")]).unwrap();
    assert_eq!(read(Type::F32, Order::Abcd, &bytes).unwrap(), [json!("NaN"), json!("-inf")]);
}

#[test]
fn text_fills_registers_and_ends_before_its_zeros() {
    let bytes = write(Type::String, Order::Abcd, &[json!("pump7")]).unwrap();
    assert_eq!(bytes, *b"pump7\0");
    assert_eq!(read(Type::String, Order::Abcd, &bytes).unwrap(), [json!("pump7")]);
    assert_eq!(write(Type::String, Order::Badc, &[json!("ab")]).unwrap(), *b"ba");
}
