//! Starts workers, and keeps them running while there is work.
//!
//! Workers are processes of their own whatever starts them; this crate knows how to start them here
//! ([`local`]). It never speaks the protocol: a worker that is started finds its coordinator itself.

pub mod local;
