//! Sketches of possible extensions. Each shows that the interfaces suffice, or says what is
//! missing; none is a feature.

mod callers;
mod looking_back;
mod outside_program;
