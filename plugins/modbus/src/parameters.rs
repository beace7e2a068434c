//! What operations are given, and what they give.

use crate::values::{Order, Type};
use jackfield_plugin_api::params;
use serde_json::{Map, Value};

params! {
    /// Parameters of `read_coils` and `read_discrete_inputs`.
    pub(crate) struct ReadBits {
        /// The device, 0 to 255; without it the option `unit`.
        pub(crate) unit: Option<u8>,
        /// The first one, from 0 on: what manuals number from 1, 10001, 30001 or 40001 on is one less here.
        pub(crate) address: u16,
        /// How many; without it one.
        pub(crate) count: Option<u16>,
        /// Seconds that the answer may take; without it the option `timeout`.
        pub(crate) timeout: Option<f64>,
    }

    /// Parameters of `read_holding_registers` and `read_input_registers`.
    pub(crate) struct ReadValues {
        /// The device, 0 to 255; without it the option `unit`.
        pub(crate) unit: Option<u8>,
        /// The first register, from 0 on: what manuals number from 40001 or 30001 on is one less here.
        pub(crate) address: u16,
        /// How many values, of a string how many registers; without it one.
        pub(crate) count: Option<u16>,
        /// What they are; without it `u16`.
        pub(crate) r#type: Option<Type>,
        /// The order of their bytes; without it the option `order`.
        pub(crate) order: Option<Order>,
        /// Seconds that the answer may take; without it the option `timeout`.
        pub(crate) timeout: Option<f64>,
    }

    /// What was read.
    pub(crate) struct Values {
        /// One for each that was asked for; a string is one.
        pub(crate) values: Vec<Value>,
    }

    /// Parameters of `write_coil`.
    pub(crate) struct WriteCoil {
        /// The device, 0 to 255, of which 0 are all of a serial line; without it the option `unit`.
        pub(crate) unit: Option<u8>,
        /// Which, from 0 on.
        pub(crate) address: u16,
        /// On or off.
        pub(crate) value: bool,
        /// Seconds that the answer may take; without it the option `timeout`.
        pub(crate) timeout: Option<f64>,
    }

    /// Parameters of `write_coils`.
    pub(crate) struct WriteCoils {
        /// The device, 0 to 255, of which 0 are all of a serial line; without it the option `unit`.
        pub(crate) unit: Option<u8>,
        /// The first one, from 0 on.
        pub(crate) address: u16,
        /// On or off, for each.
        pub(crate) values: Vec<bool>,
        /// Seconds that the answer may take; without it the option `timeout`.
        pub(crate) timeout: Option<f64>,
    }

    /// Parameters of `write_register`: one register, by function 6.
    pub(crate) struct WriteRegister {
        /// The device, 0 to 255, of which 0 are all of a serial line; without it the option `unit`.
        pub(crate) unit: Option<u8>,
        /// Which, from 0 on.
        pub(crate) address: u16,
        /// Its value.
        pub(crate) value: Value,
        /// `u16` or `i16`; without it `u16`.
        pub(crate) r#type: Option<Type>,
        /// Seconds that the answer may take; without it the option `timeout`.
        pub(crate) timeout: Option<f64>,
    }

    /// Parameters of `write_registers`.
    pub(crate) struct WriteRegisters {
        /// The device, 0 to 255, of which 0 are all of a serial line; without it the option `unit`.
        pub(crate) unit: Option<u8>,
        /// The first register, from 0 on.
        pub(crate) address: u16,
        /// The values, one behind the other.
        pub(crate) values: Vec<Value>,
        /// What they are; without it `u16`.
        pub(crate) r#type: Option<Type>,
        /// The order of their bytes; without it the option `order`.
        pub(crate) order: Option<Order>,
        /// Seconds that the answer may take; without it the option `timeout`.
        pub(crate) timeout: Option<f64>,
    }

    /// Parameters of `mask_write_register`: bits that `and` has stay, those of `or` that it has not are set.
    pub(crate) struct MaskWrite {
        /// The device, 0 to 255, of which 0 are all of a serial line; without it the option `unit`.
        pub(crate) unit: Option<u8>,
        /// Which, from 0 on.
        pub(crate) address: u16,
        /// The bits that stay.
        pub(crate) and: u16,
        /// The bits that are set of the others.
        pub(crate) or: u16,
        /// Seconds that the answer may take; without it the option `timeout`.
        pub(crate) timeout: Option<f64>,
    }

    /// Parameters of `read_write_registers`: the device writes first, then it reads.
    pub(crate) struct ReadWrite {
        /// The device, 0 to 255; without it the option `unit`.
        pub(crate) unit: Option<u8>,
        /// The first register that is read, from 0 on.
        pub(crate) address: u16,
        /// How many values are read, of a string how many registers; without it one.
        pub(crate) count: Option<u16>,
        /// The first register that is written.
        pub(crate) write_address: u16,
        /// The values that are written.
        pub(crate) values: Vec<Value>,
        /// What all of them are; without it `u16`.
        pub(crate) r#type: Option<Type>,
        /// The order of their bytes; without it the option `order`.
        pub(crate) order: Option<Order>,
        /// Seconds that the answer may take; without it the option `timeout`.
        pub(crate) timeout: Option<f64>,
    }

    /// Parameters of `device_identification`.
    pub(crate) struct Identify {
        /// The device, 0 to 255; without it the option `unit`.
        pub(crate) unit: Option<u8>,
        /// 1: basic, 2: regular, 3: extended, 4: one object; without it 1.
        pub(crate) code: Option<u8>,
        /// The first object, or the only one; without it 0.
        pub(crate) object: Option<u8>,
        /// Seconds that each answer may take; without it the option `timeout`.
        pub(crate) timeout: Option<f64>,
    }

    /// What `device_identification` gives.
    pub(crate) struct Identified {
        /// The objects by their names, or by their numbers from 7 on.
        pub(crate) objects: Map<String, Value>,
        /// The conformity level that the device tells.
        pub(crate) conformity: u8,
    }

    /// Parameters of `request`: any function.
    pub(crate) struct Raw {
        /// The device, 0 to 255, of which 0 are all of a serial line; without it the option `unit`.
        pub(crate) unit: Option<u8>,
        /// The function, 1 to 127.
        #[schemars(range(min = 1, max = 127))]
        pub(crate) function: u8,
        /// Its data, as hexadecimal digits; without it none.
        pub(crate) data: Option<String>,
        /// Seconds that the answer may take; without it the option `timeout`.
        pub(crate) timeout: Option<f64>,
    }

    /// What `request` gives.
    pub(crate) struct RawAnswer {
        /// The data of the answer behind its function, as hexadecimal digits.
        pub(crate) data: String,
    }
}
