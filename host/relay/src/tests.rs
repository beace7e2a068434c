//! The relay over real sockets of this process, foreign streams and scripted messages.

mod cuts;
mod datagrams;
mod ends;
mod kernel;
mod limits;
mod messages;
mod streams;
