//! SECS-I (SEMI E4): messages in blocks, over a line that carries one block at a time.
//!
//! [`block`] and [`Assembly`] take bytes and give values, without a clock. `run` is the line itself: who speaks
//! and when. What is above the blocks is that of HSMS.

mod assembly;
pub mod block;
mod driver;
mod line;
mod options;
mod receiving;
mod sending;

pub use assembly::{Assembly, Got, Taken};
pub use block::BlockHeader;
pub use driver::Secs1Driver;
pub use options::Secs1Options;

pub(crate) use line::run;
pub(crate) use options::LineTimes;
