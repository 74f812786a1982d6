//! The handles that programs hold, and the builders that make them.

pub mod batch;
pub mod builder;
mod common;
pub mod consumer;
pub mod message;
pub mod producer;
pub mod receiver;
pub mod sender;
pub mod typed_consumer;
pub mod typed_producer;
pub mod typed_receiver;
pub mod typed_sender;
