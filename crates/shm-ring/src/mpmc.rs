//! The exchange ring: many senders, many receivers, and no instruction at which a death could stop the rest.
//!
//! Rings that reserve a slot and then publish it need two stores, and whoever dies between them leaves an orphan
//! that everybody waits for. Here the message is finished first, in a block that only its sender has, and one
//! compare-and-exchange publishes it: the sender's block goes into the slot, and the slot's block comes into the
//! sender's hand. Receiving is the same exchange the other way round.
//!
//! | file | |
//! |---|---|
//! | [`slot`] | slot words and positions: pure |
//! | [`hand`] | the word that says which block a participant holds: pure |
//! | [`exchange`] | the two operations, and finding one's place |
//! | [`block`] | what lies in a block |
//! | [`seat`] | who takes part, as everybody sees it |
//! | [`claim`] | taking a seat, and cleaning up behind the dead |
//! | [`reclaim`] | which block a dead participant held |
//! | [`overview`] | what people are shown |
//! | [`place`] | one participant's place: joining, waiting, ends, leaving |
//! | [`operate`] | what it does there |
//! | [`waiting`] | the same until a deadline |

pub(crate) mod block;
pub(crate) mod claim;
pub(crate) mod exchange;
pub(crate) mod hand;
pub(crate) mod operate;
pub(crate) mod overview;
pub(crate) mod place;
pub(crate) mod reclaim;
pub(crate) mod seat;
pub(crate) mod slot;
pub(crate) mod waiting;
