//! What people are shown of an MPMC ring. Changes nothing, and needs only the right to read.

use crate::error::{Participant, Result};
use crate::inspect::Traffic;
use crate::layout::Geometry;
use crate::layout::mpmc::{
    DROPPED_OFFSET, FULL_WAITS_OFFSET, HIGH_WATER_OFFSET, LOST_OFFSET, Parts, RECEIVED_OFFSET, SENT_OFFSET,
};
use crate::mpmc::exchange::totals;
use crate::mpmc::reclaim;
use crate::mpmc::seat::{Roster, seat_offset};
use crate::mpmc::slot::SlotFormat;
use shm_core::{Object, Region};

/// What went through the ring, and who is there.
pub(crate) fn traffic(object: &Object, region: &Region, geometry: &Geometry) -> Result<Traffic> {
    let parts = Parts::of(region, geometry)?;
    let format = SlotFormat::new(geometry);
    let roster = Roster::of(&parts, geometry.participants);
    let (sent, received) = totals(&parts.slots, format)?;
    let mut traffic = Traffic { sent, received, ..Traffic::default() };
    for seat in roster.seats() {
        let counter = |offset| parts.seats.read_value::<u64>(seat_offset(seat) + offset);
        traffic.full_waits = traffic.full_waits.saturating_add(counter(FULL_WAITS_OFFSET)?);
        traffic.dropped = traffic.dropped.saturating_add(counter(DROPPED_OFFSET)?);
        traffic.lost = traffic.lost.saturating_add(counter(LOST_OFFSET)?);
        traffic.high_water = traffic.high_water.max(counter(HIGH_WATER_OFFSET)?);
        let tenure = roster.tenure(seat)?;
        let hand = reclaim::read(&parts, format, seat)?;
        if !tenure.is_sitting() {
            // What a dead receiver held waits to be handed out again, or is still to be counted as lost.
            let uncounted = hand.unread && !geometry.redelivery;
            traffic.limbo += u64::from(hand.expected.is_some() || uncounted);
            continue;
        }
        let alive = !roster.is_dead(object, seat, tenure)?;
        traffic.limbo += u64::from(!alive);
        traffic.participants.push(Participant {
            role: tenure.role(),
            tenure: tenure.number,
            pid: roster.pid(seat)?,
            alive,
            sent: counter(SENT_OFFSET)?,
            received: counter(RECEIVED_OFFSET)?,
            holding: u64::from(hand.unread && hand.expected.is_none()),
        });
    }
    Ok(traffic)
}
