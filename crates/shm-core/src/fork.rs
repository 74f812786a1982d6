//! What a fork does to shared memory, and how a child is kept from acting in its parent's name.
//!
//! A forked child gets a copy of everything: handles, and the descriptors whose locks say that the parent
//! lives. Two things keep that from doing harm:
//!
//! * A [`Guard`] tells a handle whether it is such a copy. What it looks at is a page that the kernel wipes in
//!   every child (`MADV_WIPEONFORK`), whatever made it: `fork`, `_Fork`, or the bare system call. A handle
//!   that the child makes itself has a guard of its own, and is none.
//! * A [`Descriptor`] does not follow into the child: a handler (`pthread_atfork`) puts another file in its
//!   place there, one that nothing can be done with. So the locks on it go when the parent dies, however
//!   long the child lives. An object that was opened before a fork is the parent's; the child opens its own.
//!
//! Mappings do follow, and stay valid memory in the child, unless they were made not to
//! ([`Inheritance::Nothing`](crate::Inheritance)). A child made by a system call that bypasses the C
//! library's `fork` runs no handlers: its copies of the descriptors stay open until it drops them, executes a
//! program, or ends, and the parent's death is not seen before that.
//!
//! `posix_spawn` and `vfork` children run no handlers either; they execute a program at once, which closes
//! every descriptor of this crate.
//!
//! While a descriptor is opened or closed, forks wait (see [`Descriptor::open`]).

#[cfg(test)]
pub(crate) mod alone;
mod descriptor;
mod guard;
mod reservation;
mod section;

pub use descriptor::Descriptor;
pub use guard::Guard;
pub(crate) use reservation::Reservation;
pub(crate) use section::Section;
