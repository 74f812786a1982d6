//! Rings with one producer and one consumer.
//!
//! The algorithms stand in [`bytes`] (messages of any length, published by their own headers) and
//! [`typed`] (slots of one type, published by an index). Neither knows how it is waited for, who sits
//! where, or what memory it runs on; the [`channel`](crate::channel) adds that.

pub(crate) mod bytes;
pub(crate) mod typed;
