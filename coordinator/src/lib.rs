//! rheo-coordinator
