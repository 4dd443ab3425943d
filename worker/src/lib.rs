//! rheo-worker
