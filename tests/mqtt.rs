//! The mqtt driver in both roles, its broker, and routes between: against mosquitto, paho-mqtt, aedes, amqtt, and peers
//! that write their bytes by hand.

mod broker;
mod client;
mod hostile;
mod listener;
mod others;
mod packets;
mod raw;
mod state;
mod users;
