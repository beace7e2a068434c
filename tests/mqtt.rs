//! The mqtt driver in both roles, its broker, and routes between: against mosquitto, paho-mqtt, amqtt, and peers
//! that write their bytes by hand.

mod broker;
mod client;
mod hostile;
mod listener;
mod raw;
