//! Resource vectors: the demand of a trial, the offer of a worker, and the grant of a lease.
//!
//! GPUs are counted in thousandths, so that sums of shares are exact. A share never spans two GPUs,
//! and a whole GPU is never shared, so free amounts are kept per GPU and not as a sum.

use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The largest number of GPUs per worker.
pub const MAX_GPUS: u32 = 64;

/// An amount of GPUs: a share of one GPU in thousandths, or a number of whole GPUs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GpuAmount(u32);

/// The number is not an amount of GPUs.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error(
    "not an amount of GPUs: `{0}` (a share of one such as 0.25, in thousandths, or 1, 2, ... up to {MAX_GPUS})"
)]
pub struct InvalidGpuAmount(f64);

impl GpuAmount {
    /// No GPU.
    pub const NONE: Self = Self(0);

    /// One whole GPU.
    pub const ONE: Self = Self(1000);

    /// Creates an amount from thousandths, which must be a share of one GPU or whole GPUs.
    pub fn from_thousandths(thousandths: u32) -> Option<Self> {
        let is_whole = thousandths.is_multiple_of(Self::ONE.0);
        let is_share = thousandths < Self::ONE.0;
        let fits = thousandths / Self::ONE.0 <= MAX_GPUS;
        ((is_whole || is_share) && fits).then_some(Self(thousandths))
    }

    /// Parses an amount such as 0.25 or 2.
    pub fn from_number(number: f64) -> Result<Self, InvalidGpuAmount> {
        let thousandths = (number * f64::from(Self::ONE.0)).round();
        let is_near = (thousandths / f64::from(Self::ONE.0) - number).abs() < 1e-9;
        let in_range = (0.0..=f64::from(MAX_GPUS * Self::ONE.0)).contains(&thousandths);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in range")]
        let amount = || Self::from_thousandths(thousandths as u32);
        (is_near && in_range).then(amount).flatten().ok_or(InvalidGpuAmount(number))
    }

    /// Returns the amount in thousandths.
    pub fn thousandths(self) -> u32 {
        self.0
    }

    /// Returns the amount as a number, such as 0.25.
    pub fn number(self) -> f64 {
        f64::from(self.0) / f64::from(Self::ONE.0)
    }

    /// Whether the amount is zero.
    pub fn is_none(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for GpuAmount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number().fmt(f)
    }
}

impl Serialize for GpuAmount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.number().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for GpuAmount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_number(f64::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// The resources that a trial takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Resources {
    /// Slots, one per thread.
    pub cpus: u32,
    /// GPUs.
    #[serde(default)]
    pub gpus: GpuAmount,
    /// Memory in MB.
    #[serde(default)]
    pub memory_mb: u64,
}

impl Resources {
    /// One slot and nothing else.
    pub const ONE_CPU: Self = Self::cpus(1);

    /// Creates a demand of slots only.
    pub const fn cpus(cpus: u32) -> Self {
        Self { cpus, gpus: GpuAmount::NONE, memory_mb: 0 }
    }

    /// Returns the larger demand in each dimension.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            cpus: self.cpus.max(other.cpus),
            gpus: self.gpus.max(other.gpus),
            memory_mb: self.memory_mb.max(other.memory_mb),
        }
    }
}

impl Default for Resources {
    fn default() -> Self {
        Self::ONE_CPU
    }
}

/// Formats as `2 threads, 0.25 GPUs`. Memory is left out, because few workers count it.
impl fmt::Display for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} threads", self.cpus)?;
        if self.gpus.is_none() { Ok(()) } else { write!(f, ", {} GPUs", self.gpus) }
    }
}

/// The resources that a worker offers to trials.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct ResourceOffer {
    /// Slots.
    pub cpus: u32,
    /// The number of GPUs, which are numbered from 0.
    pub gpus: u32,
    /// Memory in MB for all trials together; none if memory is not counted.
    pub memory_mb: Option<u64>,
}

impl ResourceOffer {
    /// Explains why a trial that takes `wanted` can never run within this offer; the text continues
    /// "a trial ...". None if it can.
    pub fn shortage(&self, wanted: &Resources, who: &str) -> Option<String> {
        let Resources { cpus, gpus, memory_mb } = wanted;
        if *cpus > self.cpus {
            let there = self.cpus;
            return Some(format!(
                "takes {cpus} threads (`resources.threads`), and {who} has {there} slots"
            ));
        }
        if gpus.0.div_ceil(GpuAmount::ONE.0) > self.gpus {
            let there = self.gpus;
            return Some(format!(
                "takes {gpus} of a GPU (`resources.gpus`), and {who} has {there} GPUs"
            ));
        }
        let there = self.memory_mb.filter(|there| there < memory_mb)?;
        Some(format!("takes {memory_mb} MB (`resources.memory_mb`), and {who} has {there} MB"))
    }
}

/// The GPUs granted to a trial.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct GrantedGpus {
    /// The ordinals of the GPUs on the worker.
    pub ordinals: Vec<u32>,
    /// The share of each GPU: 1, unless it is a part of a single GPU.
    pub share: GpuAmount,
}

impl GrantedGpus {
    /// Returns the total in thousandths.
    pub fn thousandths(&self) -> u32 {
        let count = u32::try_from(self.ordinals.len()).unwrap_or(MAX_GPUS);
        count * self.share.0
    }
}

/// The resources granted to a trial by its lease.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct GrantedResources {
    /// Slots.
    pub cpus: u32,
    /// GPUs.
    #[serde(default)]
    pub gpus: GrantedGpus,
    /// Memory in MB.
    #[serde(default)]
    pub memory_mb: u64,
}

/// The free resources of a worker.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FreeResources {
    /// Slots.
    pub cpus: u32,
    /// The free amount of each GPU, at most 1.
    pub gpus: Vec<GpuAmount>,
    /// Memory in MB; none if memory is not counted.
    pub memory_mb: Option<u64>,
}

impl FreeResources {
    /// Creates free slots without other resources.
    pub fn slots(cpus: u32) -> Self {
        Self::of(ResourceOffer { cpus, ..ResourceOffer::default() })
    }

    /// Returns all of an offer as free.
    pub fn of(offer: ResourceOffer) -> Self {
        let count = usize::try_from(offer.gpus.min(MAX_GPUS)).unwrap_or_default();
        Self { cpus: offer.cpus, gpus: vec![GpuAmount::ONE; count], memory_mb: offer.memory_mb }
    }

    /// Subtracts the resources of a trial, down to zero.
    pub fn take(&mut self, granted: &GrantedResources) {
        self.cpus = self.cpus.saturating_sub(granted.cpus);
        self.memory_mb = self.memory_mb.map(|free| free.saturating_sub(granted.memory_mb));
        for ordinal in &granted.gpus.ordinals {
            let gpu = usize::try_from(*ordinal).ok().and_then(|index| self.gpus.get_mut(index));
            if let Some(free) = gpu {
                free.0 = free.0.saturating_sub(granted.gpus.share.0);
            }
        }
    }

    /// Returns the smaller amount in each dimension, GPU by GPU.
    #[must_use]
    pub fn min(&self, other: &Self) -> Self {
        let gpus = self.gpus.iter().zip(&other.gpus).map(|(one, other)| *one.min(other));
        let memory = [self.memory_mb, other.memory_mb].into_iter().flatten();
        Self { cpus: self.cpus.min(other.cpus), gpus: gpus.collect(), memory_mb: memory.min() }
    }

    /// Grants `wanted` from the first GPUs with room; none if it does not fit.
    pub fn grant(&self, wanted: &Resources) -> Option<GrantedResources> {
        let has_memory = self.memory_mb.is_none_or(|free| wanted.memory_mb <= free);
        if wanted.cpus > self.cpus || !has_memory {
            return None;
        }
        let gpus = self.grant_gpus(wanted.gpus)?;
        Some(GrantedResources { cpus: wanted.cpus, gpus, memory_mb: wanted.memory_mb })
    }

    fn grant_gpus(&self, wanted: GpuAmount) -> Option<GrantedGpus> {
        if wanted.is_none() {
            return Some(GrantedGpus::default());
        }
        let share = wanted.min(GpuAmount::ONE);
        let count = usize::try_from(wanted.0.div_ceil(GpuAmount::ONE.0)).ok()?;
        let roomy = (0..).zip(&self.gpus).filter(|(_, free)| **free >= share);
        let ordinals: Vec<u32> = roomy.map(|(ordinal, _)| ordinal).take(count).collect();
        (ordinals.len() == count).then_some(GrantedGpus { ordinals, share })
    }

    /// Returns what other trials may take while a trial that takes `wanted` waits: everything but
    /// what that trial will need, so that nothing delays it.
    #[must_use]
    pub fn without_reserved(&self, wanted: &Resources) -> Self {
        let mut left = self.clone();
        match self.grant_gpus(wanted.gpus) {
            Some(gpus) => left.take(&GrantedResources { cpus: 0, gpus, memory_mb: 0 }),
            None => left.gpus.fill(GpuAmount::NONE),
        }
        left.take(&GrantedResources {
            cpus: wanted.cpus,
            memory_mb: wanted.memory_mb,
            ..GrantedResources::default()
        });
        left
    }

    /// Takes at most `most` trials that need `wanted` each; returns how many fit.
    pub fn fill(&mut self, wanted: &Resources, most: u64) -> u64 {
        if wanted.gpus.is_none() {
            return self.fill_slots(wanted, most);
        }
        let mut count = 0;
        while let Some(granted) = self.grant(wanted).filter(|_| count < most) {
            self.take(&granted);
            count += 1;
        }
        count
    }

    /// [`Self::fill`] for trials without GPUs, in constant time: there may be thousands of slots.
    fn fill_slots(&mut self, wanted: &Resources, most: u64) -> u64 {
        let slots = u64::from(self.cpus / wanted.cpus.max(1));
        let memory = self.memory_mb.and_then(|free| free.checked_div(wanted.memory_mb));
        let count = slots.min(memory.unwrap_or(u64::MAX)).min(most);
        let cpus = u32::try_from(count).unwrap_or(u32::MAX).saturating_mul(wanted.cpus.max(1));
        let memory_mb = wanted.memory_mb.saturating_mul(count);
        self.take(&GrantedResources { cpus, memory_mb, ..GrantedResources::default() });
        count
    }
}

#[cfg(test)]
mod tests;
