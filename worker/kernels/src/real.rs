//! Single and double precision behind one trait, with the vector operations of the kernels.

use std::fmt::Debug;

use pulp::Simd;

/// The operands of [`Real::where_less`], compared lane by lane.
#[derive(Debug, Clone, Copy)]
pub struct Comparison<V> {
    /// The left side of `<`.
    pub less: V,
    /// The right side of `<`.
    pub than: V,
}

/// A floating-point number that the kernels compute with: `f32` or `f64`.
///
/// A vector fills one register. All functions are inlined into code compiled for one instruction
/// set.
#[expect(missing_docs, reason = "the names of the vector operations describe them")]
pub trait Real:
    Copy
    + Debug
    + Default
    + PartialEq
    + PartialOrd
    + Send
    + Sync
    + Into<f64>
    + std::ops::AddAssign
    + 'static
{
    /// One register of numbers.
    type Vector<S: Simd>: Copy + Debug + Send + Sync;

    const ZERO: Self;
    const ONE: Self;
    /// Adding this constant to a number rounds the number to an integer k; the lowest bits of the
    /// sum are then the input of [`Real::power_of_two`].
    const ROUNDING: Self;

    /// Returns the nearest representable number to `value`.
    fn of(value: f64) -> Self;
    /// Returns the number of lanes of a vector.
    fn lanes<S: Simd>() -> usize;
    /// Splits `slice` into whole vectors and the rest.
    fn vectors<S: Simd>(slice: &[Self]) -> (&[Self::Vector<S>], &[Self]);
    /// Splits `slice` into whole vectors and the rest.
    fn vectors_mut<S: Simd>(slice: &mut [Self]) -> (&mut [Self::Vector<S>], &mut [Self]);
    /// Loads a slice shorter than a vector; the other lanes are zero.
    fn partial_load<S: Simd>(simd: S, slice: &[Self]) -> Self::Vector<S>;
    /// Fills a slice shorter than a vector.
    fn partial_store<S: Simd>(simd: S, slice: &mut [Self], values: Self::Vector<S>);
    fn splat<S: Simd>(simd: S, value: Self) -> Self::Vector<S>;
    fn add<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;
    fn sub<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;
    fn mul<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;
    fn div<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;
    fn neg<S: Simd>(simd: S, a: Self::Vector<S>) -> Self::Vector<S>;
    fn abs<S: Simd>(simd: S, a: Self::Vector<S>) -> Self::Vector<S>;
    /// Returns the non-negative `size` with the sign of `sign`.
    fn with_sign<S: Simd>(simd: S, size: Self::Vector<S>, sign: Self::Vector<S>)
    -> Self::Vector<S>;
    /// Returns the smaller of `a` and a limit that is not NaN; `a` where it is NaN.
    fn at_most<S: Simd>(simd: S, a: Self::Vector<S>, limit: Self::Vector<S>) -> Self::Vector<S>;
    /// Returns the larger of `a` and a limit that is not NaN; `a` where it is NaN.
    fn at_least<S: Simd>(simd: S, a: Self::Vector<S>, limit: Self::Vector<S>) -> Self::Vector<S>;
    /// Returns 2^k for `rounded` = [`Real::ROUNDING`] + k, if 2^k is a normal number.
    fn power_of_two<S: Simd>(simd: S, rounded: Self::Vector<S>) -> Self::Vector<S>;
    /// Returns a b + c, rounded once where the processor supports it.
    fn mul_add<S: Simd>(
        simd: S,
        a: Self::Vector<S>,
        b: Self::Vector<S>,
        c: Self::Vector<S>,
    ) -> Self::Vector<S>;
    /// Returns `yes` where `compared.less` is less than `compared.than`, else `no`; `no` where one
    /// of them is NaN.
    fn where_less<S: Simd>(
        simd: S,
        compared: Comparison<Self::Vector<S>>,
        yes: Self::Vector<S>,
        no: Self::Vector<S>,
    ) -> Self::Vector<S>;
    /// Returns the sum of all lanes.
    fn sum<S: Simd>(simd: S, a: Self::Vector<S>) -> Self;
}

impl Real for f32 {
    type Vector<S: Simd> = S::f32s;

    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
    /// 1.5 2^23 + 127: the unit in the last place is one, and the lowest bits of a sum are the
    /// exponent of 2^k.
    const ROUNDING: Self = 12_583_039.0;

    #[expect(clippy::cast_possible_truncation, reason = "rounding is intended")]
    #[inline(always)]
    fn of(value: f64) -> Self {
        value as Self
    }

    #[inline(always)]
    fn lanes<S: Simd>() -> usize {
        S::F32_LANES
    }

    #[inline(always)]
    fn vectors<S: Simd>(slice: &[Self]) -> (&[S::f32s], &[Self]) {
        S::as_simd_f32s(slice)
    }

    #[inline(always)]
    fn vectors_mut<S: Simd>(slice: &mut [Self]) -> (&mut [S::f32s], &mut [Self]) {
        S::as_mut_simd_f32s(slice)
    }

    #[inline(always)]
    fn partial_load<S: Simd>(simd: S, slice: &[Self]) -> S::f32s {
        simd.partial_load_f32s(slice)
    }

    #[inline(always)]
    fn partial_store<S: Simd>(simd: S, slice: &mut [Self], values: S::f32s) {
        simd.partial_store_f32s(slice, values);
    }

    #[inline(always)]
    fn splat<S: Simd>(simd: S, value: Self) -> S::f32s {
        simd.splat_f32s(value)
    }

    #[inline(always)]
    fn add<S: Simd>(simd: S, a: S::f32s, b: S::f32s) -> S::f32s {
        simd.add_f32s(a, b)
    }

    #[inline(always)]
    fn sub<S: Simd>(simd: S, a: S::f32s, b: S::f32s) -> S::f32s {
        simd.sub_f32s(a, b)
    }

    #[inline(always)]
    fn mul<S: Simd>(simd: S, a: S::f32s, b: S::f32s) -> S::f32s {
        simd.mul_f32s(a, b)
    }

    #[inline(always)]
    fn div<S: Simd>(simd: S, a: S::f32s, b: S::f32s) -> S::f32s {
        simd.div_f32s(a, b)
    }

    #[inline(always)]
    fn neg<S: Simd>(simd: S, a: S::f32s) -> S::f32s {
        simd.neg_f32s(a)
    }

    #[inline(always)]
    fn abs<S: Simd>(simd: S, a: S::f32s) -> S::f32s {
        simd.abs_f32s(a)
    }

    #[inline(always)]
    fn with_sign<S: Simd>(simd: S, size: S::f32s, sign: S::f32s) -> S::f32s {
        simd.or_f32s(size, simd.and_f32s(sign, simd.splat_f32s(-0.0)))
    }

    #[inline(always)]
    fn at_most<S: Simd>(simd: S, a: S::f32s, limit: S::f32s) -> S::f32s {
        // Where an operand is NaN, vector instructions return the second operand or NaN; Rust's
        // `min` returns the other operand.
        if S::IS_SCALAR {
            simd.select_f32s(simd.less_than_f32s(limit, a), limit, a)
        } else {
            simd.min_f32s(limit, a)
        }
    }

    #[inline(always)]
    fn at_least<S: Simd>(simd: S, a: S::f32s, limit: S::f32s) -> S::f32s {
        if S::IS_SCALAR {
            simd.select_f32s(simd.less_than_f32s(a, limit), limit, a)
        } else {
            simd.max_f32s(limit, a)
        }
    }

    #[inline(always)]
    fn power_of_two<S: Simd>(simd: S, rounded: S::f32s) -> S::f32s {
        let bits =
            simd.wrapping_dyn_shl_u32s(simd.transmute_u32s_f32s(rounded), simd.splat_u32s(23));
        simd.transmute_f32s_u32s(bits)
    }

    #[inline(always)]
    fn mul_add<S: Simd>(simd: S, a: S::f32s, b: S::f32s, c: S::f32s) -> S::f32s {
        simd.mul_add_e_f32s(a, b, c)
    }

    #[inline(always)]
    fn where_less<S: Simd>(
        simd: S,
        compared: Comparison<S::f32s>,
        yes: S::f32s,
        no: S::f32s,
    ) -> S::f32s {
        simd.select_f32s(simd.less_than_f32s(compared.less, compared.than), yes, no)
    }

    #[inline(always)]
    fn sum<S: Simd>(simd: S, a: S::f32s) -> Self {
        simd.reduce_sum_f32s(a)
    }
}

impl Real for f64 {
    type Vector<S: Simd> = S::f64s;

    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
    /// 1.5 2^52 + 1023.
    const ROUNDING: Self = 6_755_399_441_056_767.0;

    #[inline(always)]
    fn of(value: f64) -> Self {
        value
    }

    #[inline(always)]
    fn lanes<S: Simd>() -> usize {
        S::F64_LANES
    }

    #[inline(always)]
    fn vectors<S: Simd>(slice: &[Self]) -> (&[S::f64s], &[Self]) {
        S::as_simd_f64s(slice)
    }

    #[inline(always)]
    fn vectors_mut<S: Simd>(slice: &mut [Self]) -> (&mut [S::f64s], &mut [Self]) {
        S::as_mut_simd_f64s(slice)
    }

    #[inline(always)]
    fn partial_load<S: Simd>(simd: S, slice: &[Self]) -> S::f64s {
        simd.partial_load_f64s(slice)
    }

    #[inline(always)]
    fn partial_store<S: Simd>(simd: S, slice: &mut [Self], values: S::f64s) {
        simd.partial_store_f64s(slice, values);
    }

    #[inline(always)]
    fn splat<S: Simd>(simd: S, value: Self) -> S::f64s {
        simd.splat_f64s(value)
    }

    #[inline(always)]
    fn add<S: Simd>(simd: S, a: S::f64s, b: S::f64s) -> S::f64s {
        simd.add_f64s(a, b)
    }

    #[inline(always)]
    fn sub<S: Simd>(simd: S, a: S::f64s, b: S::f64s) -> S::f64s {
        simd.sub_f64s(a, b)
    }

    #[inline(always)]
    fn mul<S: Simd>(simd: S, a: S::f64s, b: S::f64s) -> S::f64s {
        simd.mul_f64s(a, b)
    }

    #[inline(always)]
    fn div<S: Simd>(simd: S, a: S::f64s, b: S::f64s) -> S::f64s {
        simd.div_f64s(a, b)
    }

    #[inline(always)]
    fn neg<S: Simd>(simd: S, a: S::f64s) -> S::f64s {
        simd.neg_f64s(a)
    }

    #[inline(always)]
    fn abs<S: Simd>(simd: S, a: S::f64s) -> S::f64s {
        simd.abs_f64s(a)
    }

    #[inline(always)]
    fn with_sign<S: Simd>(simd: S, size: S::f64s, sign: S::f64s) -> S::f64s {
        simd.or_f64s(size, simd.and_f64s(sign, simd.splat_f64s(-0.0)))
    }

    #[inline(always)]
    fn at_most<S: Simd>(simd: S, a: S::f64s, limit: S::f64s) -> S::f64s {
        // Where an operand is NaN, vector instructions return the second operand or NaN; Rust's
        // `min` returns the other operand.
        if S::IS_SCALAR {
            simd.select_f64s(simd.less_than_f64s(limit, a), limit, a)
        } else {
            simd.min_f64s(limit, a)
        }
    }

    #[inline(always)]
    fn at_least<S: Simd>(simd: S, a: S::f64s, limit: S::f64s) -> S::f64s {
        if S::IS_SCALAR {
            simd.select_f64s(simd.less_than_f64s(a, limit), limit, a)
        } else {
            simd.max_f64s(limit, a)
        }
    }

    #[inline(always)]
    fn power_of_two<S: Simd>(simd: S, rounded: S::f64s) -> S::f64s {
        // Pulp has no shift of 64-bit lanes; the compiler turns this product into one.
        let bits = simd.mul_u64s(simd.transmute_u64s_f64s(rounded), simd.splat_u64s(1 << 52));
        simd.transmute_f64s_u64s(bits)
    }

    #[inline(always)]
    fn mul_add<S: Simd>(simd: S, a: S::f64s, b: S::f64s, c: S::f64s) -> S::f64s {
        simd.mul_add_e_f64s(a, b, c)
    }

    #[inline(always)]
    fn where_less<S: Simd>(
        simd: S,
        compared: Comparison<S::f64s>,
        yes: S::f64s,
        no: S::f64s,
    ) -> S::f64s {
        simd.select_f64s(simd.less_than_f64s(compared.less, compared.than), yes, no)
    }

    #[inline(always)]
    fn sum<S: Simd>(simd: S, a: S::f64s) -> Self {
        simd.reduce_sum_f64s(a)
    }
}
