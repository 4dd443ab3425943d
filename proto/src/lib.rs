//! rheo-proto
