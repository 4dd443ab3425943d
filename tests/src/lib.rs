//! rheo-tests
