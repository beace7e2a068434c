//! Notifications: traps and informs of all versions as one thing, in JSON and on the wire (RFC 3584 §3).

use crate::json::{self, Given};
use crate::mib::Names;
use crate::oid::Oid;
use crate::pdu::{Kind, Pdu, TrapV1, VarBind};
use crate::request::SYS_UPTIME;
use crate::value::Value;
use jackfield_plugin_api::{Error, ErrorKind, Result, params};
use serde_json::{Map, Value as Json};
use std::net::Ipv4Addr;

/// `snmpTrapOID.0`.
const TRAP_OID: [u32; 11] = [1, 3, 6, 1, 6, 3, 1, 1, 4, 1, 0];
/// `snmpTrapAddress.0` and `snmpTrapEnterprise.0`, by which a trap of version 1 passes through another version.
const TRAP_ADDRESS: [u32; 11] = [1, 3, 6, 1, 6, 3, 18, 1, 3, 0, 0];
const TRAP_ENTERPRISE: [u32; 11] = [1, 3, 6, 1, 6, 3, 1, 1, 4, 3, 0];
/// `snmpTraps`, under which are the six that all agents know.
const TRAPS: [u32; 9] = [1, 3, 6, 1, 6, 3, 1, 1, 5];
/// The generic trap of version 1 that says nothing.
const ENTERPRISE_SPECIFIC: i32 = 6;

params! {
    /// A notification.
    pub struct Notice {
        /// What has happened: numbers joined by dots, or a name of `mib_files`.
        pub trap: String,
        /// Hundredths of a second since its sender began; without it those of this connection.
        pub uptime: Option<u32>,
        /// Names with values that belong to it.
        pub values: Option<Vec<Given>>,
        /// Version 1: what kind of object it is about; without it what `trap` says.
        pub enterprise: Option<String>,
        /// Version 1: whom it is from; without it 0.0.0.0.
        pub agent: Option<String>,
    }
}

/// A notification, of whatever version.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Notification {
    pub(crate) trap: Oid,
    pub(crate) uptime: u32,
    pub(crate) values: Vec<VarBind>,
    pub(crate) enterprise: Option<Oid>,
    pub(crate) agent: Option<Ipv4Addr>,
}

impl Notification {
    /// As somebody gives it.
    ///
    /// # Errors
    /// Naming what was expected.
    pub(crate) fn given(notice: &Notice, uptime: u32, names: &Names) -> Result<Self> {
        let wrong = |fault: String| Error::new(ErrorKind::Config, fault);
        let values = notice.values.iter().flatten();
        let values =
            values.map(|it| json::read(it, names)).collect::<Result<_, _>>().map_err(wrong)?;
        let agent = notice.agent.as_deref().map(|text| {
            text.parse()
                .map_err(|_| wrong(format!("agent: expected an IPv4 address, not {text:?}")))
        });
        Ok(Notification {
            trap: names.oid(&notice.trap).map_err(|fault| wrong(format!("trap: {fault}")))?,
            uptime: notice.uptime.unwrap_or(uptime),
            values,
            enterprise: notice
                .enterprise
                .as_deref()
                .map(|text| names.oid(text))
                .transpose()
                .map_err(wrong)?,
            agent: agent.transpose()?,
        })
    }

    /// Of a PDU of version 2 or 3.
    ///
    /// # Errors
    /// It does not begin with its uptime and its name.
    pub(crate) fn of_pdu(pdu: &Pdu) -> Result<Self, String> {
        let [uptime, trap, values @ ..] = &pdu.values[..] else {
            return Err("a notification has no uptime and no name".to_owned());
        };
        let (Value::TimeTicks(uptime), Value::Oid(trap)) = (&uptime.value, &trap.value) else {
            return Err("a notification does not begin with sysUpTime and snmpTrapOID".to_owned());
        };
        let enterprise = values.iter().find_map(|it| match &it.value {
            Value::Oid(oid) if it.oid.numbers() == TRAP_ENTERPRISE => Some(oid.clone()),
            _ => None,
        });
        let agent = values.iter().find_map(|it| match &it.value {
            Value::Ip(address) if it.oid.numbers() == TRAP_ADDRESS => Some(*address),
            _ => None,
        });
        Ok(Notification {
            trap: trap.clone(),
            uptime: *uptime,
            values: values.to_vec(),
            enterprise,
            agent,
        })
    }

    /// Of a trap of version 1 (RFC 3584 §3.1).
    ///
    /// # Errors
    /// Its numbers are none that can be.
    pub(crate) fn of_v1(trap: TrapV1) -> Result<Self, String> {
        let number = |number: i32| {
            u32::try_from(number).map_err(|_| "a trap has a negative number".to_owned())
        };
        let name = match trap.generic {
            ENTERPRISE_SPECIFIC => trap.enterprise.with(&[0, number(trap.specific)?])?,
            0..ENTERPRISE_SPECIFIC => Oid::known(&TRAPS).with(&[number(trap.generic)? + 1])?,
            other => return Err(format!("there is no generic trap {other}")),
        };
        Ok(Notification {
            trap: name,
            uptime: trap.uptime,
            values: trap.values,
            enterprise: Some(trap.enterprise),
            agent: Some(trap.agent),
        })
    }

    /// As a PDU of version 2 or 3.
    pub(crate) fn pdu(self, kind: Kind) -> Pdu {
        let mut values = vec![
            VarBind { oid: Oid::known(&SYS_UPTIME), value: Value::TimeTicks(self.uptime) },
            VarBind { oid: Oid::known(&TRAP_OID), value: Value::Oid(self.trap) },
        ];
        values.extend(self.values);
        // What only version 1 has a place for stands behind (RFC 3584 §3.1 step 4).
        let mut add = |name: &[u32], value: Value| {
            if !values.iter().any(|it| it.oid.numbers() == name) {
                values.push(VarBind { oid: Oid::known(name), value });
            }
        };
        if let Some(agent) = self.agent {
            add(&TRAP_ADDRESS, Value::Ip(agent));
        }
        if let Some(enterprise) = self.enterprise {
            add(&TRAP_ENTERPRISE, Value::Oid(enterprise));
        }
        Pdu::new(kind, values)
    }

    /// As a trap of version 1 (RFC 3584 §3.2).
    ///
    /// # Errors
    /// It has a value that version 1 does not know.
    pub(crate) fn v1(self) -> Result<TrapV1> {
        if let Some(pair) = self.values.iter().find(|it| matches!(it.value, Value::Counter64(_))) {
            let text = format!("{}: version v1 has no counter64", pair.oid);
            return Err(Error::new(ErrorKind::Config, text));
        }
        let numbers = self.trap.numbers();
        let generic = match numbers.strip_prefix(&TRAPS) {
            Some([number @ 1..=6]) => {
                i32::try_from(*number).map_or(ENTERPRISE_SPECIFIC, |it| it - 1)
            }
            _ => ENTERPRISE_SPECIFIC,
        };
        let wrong = |fault: String| Error::new(ErrorKind::Config, format!("trap: {fault}"));
        let (enterprise, specific) = match numbers {
            _ if generic != ENTERPRISE_SPECIFIC => (Oid::known(&TRAPS), 0),
            [enterprise @ .., 0, specific] | [enterprise @ .., specific] => {
                (Oid::new(enterprise.to_vec()).map_err(wrong)?, *specific)
            }
            [] => return Err(wrong("expected a name".to_owned())),
        };
        let specific = i32::try_from(specific).map_err(|_| {
            wrong("its last number does not fit into a trap of version v1".to_owned())
        })?;
        let is_ours = |it: &VarBind| {
            ![&TRAP_ADDRESS, &TRAP_ENTERPRISE].iter().any(|name| it.oid.numbers() == **name)
        };
        Ok(TrapV1 {
            enterprise: self.enterprise.unwrap_or(enterprise),
            agent: self.agent.unwrap_or(Ipv4Addr::UNSPECIFIED),
            generic,
            specific,
            uptime: self.uptime,
            values: self.values.into_iter().filter(is_ours).collect(),
        })
    }

    /// As JSON: what [`Notice`] takes, with names.
    pub(crate) fn shown(&self, names: &Names) -> Map<String, Json> {
        let mut shown = Map::new();
        shown.insert("trap".to_owned(), self.trap.to_string().into());
        if let Some(name) = names.name(&self.trap) {
            shown.insert("name".to_owned(), name.into());
        }
        shown.insert("uptime".to_owned(), self.uptime.into());
        if let Some(enterprise) = &self.enterprise {
            shown.insert("enterprise".to_owned(), enterprise.to_string().into());
        }
        if let Some(agent) = &self.agent {
            shown.insert("agent".to_owned(), agent.to_string().into());
        }
        shown.insert("values".to_owned(), json::all_shown(&self.values, names));
        shown
    }
}
