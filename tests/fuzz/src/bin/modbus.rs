//! Modbus from a peer, to both roles and in each framing: answers while a call waits, requests to a device inside the host.
#![no_main]

use fuzz_targets::{carrier_answering, carrier_saying, host, run};
use jackfield_modbus::{
    MemoryOptions, ModbusAsciiDriver, ModbusDriver, ModbusMemory, ModbusRtuDriver,
};
use jackfield_plugin_api::{
    Address, Driver, Handler, Request, Result, Role, Session, testing,
};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

fuzz_target!(|bytes: &[u8]| {
    let Some((&way, bytes)) = bytes.split_first() else { return };
    run(async {
        // Whatever it is that is wrong, it is an error.
        let _ = match way % 3 {
            0 => meet::<ModbusDriver>(way, bytes).await,
            1 => meet::<ModbusRtuDriver>(way, bytes).await,
            _ => meet::<ModbusAsciiDriver>(way, bytes).await,
        };
    });
});

async fn meet<D: Driver>(way: u8, bytes: &[u8]) -> Result<()>
where
    D::Options: serde::de::DeserializeOwned,
{
    let role = if way & 4 == 0 { Role::Client } else { Role::Server };
    let driver = D::new(host())?;
    let given = json!({ "timeout": 0.5, "late": 0.1, "max_pending": 4, "unit": 1 });
    let endpoint = driver.configure(serde_json::from_value(given).expect("options"), role)?;
    let carrier = match role {
        Role::Client => carrier_answering(bytes.to_vec()),
        Role::Server => carrier_saying(bytes),
    };
    let request = Request::new(Address::new("a.test", 502), testing::DEADLINE).with_carrier(carrier);
    match role {
        Role::Client => ask(way, &driver.open(&endpoint, request).await?).await,
        Role::Server => serve(way, driver.accept(&endpoint, request).await?).await,
    }
}

/// Each kind of question; the first one is what the bytes answer.
const QUESTIONS: [(&str, &str); 6] = [
    ("read_holding_registers", r#"{"address":1,"count":2,"type":"f32"}"#),
    ("read_coils", r#"{"address":1,"count":9}"#),
    ("write_registers", r#"{"address":1,"values":[1,2]}"#),
    ("device_identification", "{}"),
    ("request", r#"{"function":100,"data":"00"}"#),
    ("read_write_registers", r#"{"address":1,"write_address":2,"values":[7]}"#),
];

async fn ask(way: u8, session: &Session) -> Result<()> {
    let first = usize::from(way >> 3);
    for number in 0..3 {
        let (operation, given) = QUESTIONS[(first + number) % QUESTIONS.len()];
        let given: Value = serde_json::from_str(given).expect("parameters");
        session.call(operation, &given).await?;
    }
    Ok(())
}

async fn serve(way: u8, session: Session) -> Result<()> {
    let options = MemoryOptions { size: 300, read_only: way & 8 == 0, ..MemoryOptions::default() };
    ModbusMemory::new(host(), options)?.serve(session).await
}
