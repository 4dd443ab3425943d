//! Numerics of dynamical systems that the analyses of networks use.
//!
//! These modules depend on no network, task or table, so that each method can be checked on systems
//! with a known result: a linear map, the logistic map, a pair of Gaussians. All of them compute in
//! double precision, whatever the precision of the network.

pub mod components;
pub mod contour;
pub mod information;
pub mod norm;
pub mod spectrum;
