//! The instruction set that the kernels use, detected at run time.

use pulp::{Arch, WithSimd};

/// An instruction set of this processor.
#[derive(Debug, Clone, Copy)]
pub struct Isa {
    arch: Arch,
}

impl Isa {
    /// Returns the best instruction set of this processor.
    pub fn detect() -> Self {
        Self { arch: Arch::new() }
    }

    /// Returns the instruction sets that both this processor and the kernels support, best first.
    pub fn all() -> Vec<Self> {
        #[cfg(target_arch = "x86_64")]
        let others = pulp::x86::V3::try_new().map(Arch::V3);
        #[cfg(not(target_arch = "x86_64"))]
        let others = None;
        let mut all: Vec<Self> = [Self::detect()].into();
        for arch in others.into_iter().chain([Arch::Scalar]) {
            let next = Self { arch };
            if all.iter().all(|isa| isa.name() != next.name()) {
                all.push(next);
            }
        }
        all
    }

    /// Returns the name: `avx512`, `avx2`, `neon` or `scalar`.
    pub fn name(self) -> &'static str {
        match self.arch {
            Arch::Scalar => "scalar",
            #[cfg(target_arch = "x86_64")]
            Arch::V4(_) => "avx512",
            #[cfg(target_arch = "x86_64")]
            Arch::V3(_) => "avx2",
            #[cfg(target_arch = "aarch64")]
            Arch::Neon(_) | Arch::NeonFcma(_) => "neon",
            _ => "unknown",
        }
    }

    /// Runs `operation` compiled for this instruction set.
    pub(crate) fn run<O: WithSimd>(self, operation: O) -> O::Output {
        self.arch.dispatch(operation)
    }
}

impl Default for Isa {
    fn default() -> Self {
        Self::detect()
    }
}
