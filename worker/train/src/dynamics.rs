//! Numerics of dynamical systems: what the analyses of networks compute with, apart from networks.
//!
//! Nothing here knows a network, a task or a table, so that each method can be checked on systems
//! whose answer is known: a linear map, the logistic map, a pair of Gaussians. All of it computes
//! in double precision, whatever precision the network has.

pub mod components;
pub mod contour;
pub mod information;
pub mod norm;
pub mod spectrum;
