//! Sketches of what may come next, on the seams that are there for it. Each shows that the seam
//! holds, or says what is missing; none of them is a feature.

mod callers;
mod looking_back;
mod outside_program;
mod pausing;
