//! rheo-train
