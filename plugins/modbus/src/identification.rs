//! Who a device is (Application Protocol §6.21): objects, in as many answers as they need.

use crate::client::Link;
use crate::operations::{ask, wrong};
use crate::parameters::Identify;
use crate::pdu;
use jackfield_plugin_api::{Error, ErrorKind, Result};
use serde_json::{Map, Value, json};

/// Objects that have names.
pub(crate) const NAMES: [&str; 7] = [
    "vendor_name",
    "product_code",
    "revision",
    "vendor_url",
    "product_name",
    "model_name",
    "user_application_name",
];
/// The most answers that are asked for: a device that says that more follows without end is not believed.
const MOST: usize = 64;

/// One answer.
struct Part {
    conformity: u8,
    /// The object to ask for next, if more follow.
    next: Option<u8>,
    objects: Vec<(u8, String)>,
}

/// Asks for all objects.
///
/// # Errors
/// The device refuses, does not answer, or answers something else.
pub(crate) async fn read(link: &Link, given: Identify) -> Result<Value> {
    let code = given.code.unwrap_or(1);
    if !(1..=4).contains(&code) {
        return Err(wrong(format!("code: expected 1 to 4, not {code}")));
    }
    let mut object = given.object.unwrap_or(0);
    let mut objects = Map::new();
    for _ in 0..MOST {
        let request = Ok(pdu::identification(code, object));
        let answer = ask(link, given.unit, request, given.timeout).await?;
        let broken = || Error::new(ErrorKind::Protocol, "the identification ends within an object");
        let part = part(&answer).ok_or_else(broken)?;
        for (number, text) in part.objects {
            let name =
                NAMES.get(usize::from(number)).map_or(number.to_string(), ToString::to_string);
            objects.insert(name, text.into());
        }
        match part.next.filter(|_| code != 4) {
            Some(next) => object = next,
            None => return Ok(json!({ "objects": objects, "conformity": part.conformity })),
        }
    }
    let text = format!("the device says that more follows, after {MOST} answers");
    Err(Error::new(ErrorKind::Protocol, text))
}

fn part(answer: &[u8]) -> Option<Part> {
    let (head, mut rest) = answer.split_first_chunk::<7>()?;
    let [_, _, _, conformity, more, next, count] = *head;
    let mut objects = Vec::new();
    for _ in 0..count {
        let (start, data) = rest.split_first_chunk::<2>()?;
        let (text, after) = data.split_at_checked(usize::from(start[1]))?;
        objects.push((start[0], String::from_utf8_lossy(text).into_owned()));
        rest = after;
    }
    Some(Part { conformity, next: (more == 0xff).then_some(next), objects })
}
