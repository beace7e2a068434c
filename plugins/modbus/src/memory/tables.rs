//! What a device holds, and the options that say so.

use crate::units::Units;
use jackfield_plugin_api::{Error, Result, options};
use std::collections::BTreeMap;

/// Addresses of each table.
const SIZE: usize = 1 << 16;

options! {
    /// Options of `modbus_memory`.
    pub struct MemoryOptions {
        /// The units that it is; empty: all. They have the same memory.
        pub units: Units,
        /// Addresses that each table has, from 0 on; others are refused (exception 2).
        #[schemars(range(min = 1, max = 65536))]
        pub size: u32 = 65536,
        /// Refuse functions that write (exception 1).
        pub read_only: bool = false,
        /// First values of coils, by their first address: `{ "0" = [true, false] }`. The others are off.
        pub coils: BTreeMap<String, Vec<bool>>,
        /// First values of discrete inputs, likewise.
        pub discrete_inputs: BTreeMap<String, Vec<bool>>,
        /// First values of holding registers, likewise: `{ "100" = [1, 2, 3] }`. The others are 0.
        pub holding_registers: BTreeMap<String, Vec<u16>>,
        /// First values of input registers, likewise.
        pub input_registers: BTreeMap<String, Vec<u16>>,
        /// What it says of itself (function 43).
        pub identity: IdentityOptions,
    }

    /// What a device says of itself.
    pub struct IdentityOptions {
        /// Its vendor.
        pub vendor_name: String = "Jackfield".to_owned(),
        /// What it is.
        pub product_code: String = "memory".to_owned(),
        /// Its version.
        pub revision: String = env!("CARGO_PKG_VERSION").to_owned(),
    }
}

/// Tables of a device.
pub(super) struct Tables {
    units: Units,
    pub(super) read_only: bool,
    size: usize,
    pub(super) coils: Vec<bool>,
    pub(super) discrete_inputs: Vec<bool>,
    pub(super) holding_registers: Vec<u16>,
    pub(super) input_registers: Vec<u16>,
    pub(super) identity: [String; 3],
}

impl Tables {
    pub(super) fn new(options: MemoryOptions) -> Result<Self> {
        let size = usize::try_from(options.size).unwrap_or(SIZE).min(SIZE);
        let IdentityOptions { vendor_name, product_code, revision } = options.identity;
        let identity = [vendor_name, product_code, revision];
        // One answer has room for all of them.
        if identity.iter().map(String::len).sum::<usize>() > 200 {
            return Err(Error::option("identity", "expected at most 200 bytes together"));
        }
        Ok(Tables {
            units: options.units,
            read_only: options.read_only,
            size,
            coils: table("coils", size, &options.coils)?,
            discrete_inputs: table("discrete_inputs", size, &options.discrete_inputs)?,
            holding_registers: table("holding_registers", size, &options.holding_registers)?,
            input_registers: table("input_registers", size, &options.input_registers)?,
            identity,
        })
    }

    pub(super) fn is_unit(&self, unit: u8) -> bool {
        self.units.is_empty() || self.units.has(unit)
    }

    /// Whether there are `count` addresses from `address` on.
    pub(super) fn has(&self, address: u16, count: u16) -> bool {
        usize::from(address) + usize::from(count) <= self.size
    }
}

/// A table with its first values.
fn table<T: Copy + Default>(
    name: &str,
    size: usize,
    given: &BTreeMap<String, Vec<T>>,
) -> Result<Vec<T>> {
    let mut table = vec![T::default(); size];
    for (address, values) in given {
        let wrong = || {
            let text = format!(
                "expected an address below {size} and no more values than fit, at {address:?}"
            );
            Error::option(name, text)
        };
        let first: usize = address.parse().map_err(|_| wrong())?;
        let end = first.checked_add(values.len()).ok_or_else(wrong)?;
        table.get_mut(first..end).ok_or_else(wrong)?.copy_from_slice(values);
    }
    Ok(table)
}
