//! The other end of a link: does what it is ordered to.

use crate::control::{Answer, Control, Order, What};
use crate::link::{Link, Progress, step};
use crate::payload::{Payload, with_payload};
use crate::{BUFFER_BYTES_SPARE, Result};

/// The other end of a link, whatever it is.
pub trait Serve {
    /// Obeys orders until there are no more.
    ///
    /// # Errors
    /// When a message is wrong, or the other side is gone. It was told.
    fn serve(&mut self, control: &mut Control) -> Result<()>;
}

impl<L: Link> Serve for L {
    fn serve(&mut self, control: &mut Control) -> Result<()> {
        while let Some(order) = control.hear::<Order>()? {
            match obey(self, control, &order) {
                Ok(verified) => control.say(&Answer::Verified(verified))?,
                Err(error) => {
                    control.say(&Answer::Failed(error.to_string()))?;
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

fn obey<L: Link>(link: &mut L, control: &Control, order: &Order) -> Result<u64> {
    let mut buffer = vec![0; order.length + BUFFER_BYTES_SPARE];
    with_payload!(order.length, |payload| {
        control.say(&Answer::Ready)?;
        match order.what {
            What::RoundTrips => answer(link, payload, order.count, &mut buffer),
            What::Stream => drain(link, payload, order.count, &mut buffer),
        }
    })
}

#[inline(never)]
fn answer<L: Link, P: Payload>(
    link: &mut L,
    payload: &mut P,
    count: Option<u64>,
    buffer: &mut [u8],
) -> Result<u64> {
    let mut next = 0;
    while count != Some(next) {
        let length = link.receive(buffer)?;
        match step(payload, next, buffer.get(..length).unwrap_or_default())? {
            Progress::Next(number) => link.send(payload.make(next)).map(|()| next = number)?,
            Progress::Ended(_) => break,
        }
    }
    Ok(next)
}

#[inline(never)]
fn drain<L: Link, P: Payload>(
    link: &mut L,
    payload: &mut P,
    count: Option<u64>,
    buffer: &mut [u8],
) -> Result<u64> {
    let mut next = 0;
    while count.is_none_or(|count| next < count) {
        match link.receive_run(payload, next, buffer)? {
            Progress::Next(number) => next = number,
            Progress::Ended(number) => {
                next = number;
                break;
            }
        }
    }
    link.send(payload.make(next))?;
    Ok(next)
}
