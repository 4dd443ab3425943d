//! rheo-query
