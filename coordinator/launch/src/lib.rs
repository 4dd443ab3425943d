//! rheo-launch
