//! rheo-store
