//! Sums of products of two quantities over all neurons, which lie along the lanes of vectors.
//!
//! The gradient of the controller's recurrent weights is a product [S, S], summed over the neurons
//! of all samples. Each sum is a whole vector whose lanes are added up once at the end; blocks of
//! sums stay in registers while the loop runs over the neurons.

use pulp::{Simd, WithSimd};

use crate::Real;
use crate::matrix::WIDTH;

/// Tiles per block of sums. Measured: 4 and 16 are slower by 2 to 8 %, 2 by 10 %.
const DEPTH: usize = 8;

/// Adds a b^T, summed over tiles lane by lane, to `sums` [units, units] of vectors. Both operands
/// are [tiles, units, vectors of the tile]; every tile has [`WIDTH`] vectors, the last one possibly
/// fewer.
pub(crate) struct PairSums<'a, R> {
    pub(crate) units: usize,
    pub(crate) a: &'a [R],
    pub(crate) b: &'a [R],
    pub(crate) sums: &'a mut [R],
}

impl<R: Real> WithSimd for PairSums<'_, R> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (a, b) = (R::vectors::<S>(self.a).0, R::vectors::<S>(self.b).0);
        let sums = R::vectors_mut::<S>(self.sums).0;
        let tile = self.units * WIDTH;
        let (full, chunk) = (a.len() / tile * tile, tile * DEPTH);
        let pieces = a[..full].chunks(chunk).zip(b[..full].chunks(chunk));
        for (a, b) in pieces {
            blocks::<R, S, WIDTH>(simd, self.units, Factors { a, b }, sums);
        }
        if full < a.len() {
            let rest = Factors { a: &a[full..], b: &b[full..] };
            blocks::<R, S, 1>(simd, self.units, rest, sums);
        }
    }
}

/// The operands of [`PairSums`] in some tiles.
#[derive(Clone, Copy)]
struct Factors<'a, V> {
    /// Left operand; its units are the rows of the sums.
    a: &'a [V],
    /// Right operand; its units are the columns of the sums.
    b: &'a [V],
}

#[inline(always)]
fn blocks<R: Real, S: Simd, const W: usize>(
    simd: S,
    units: usize,
    factors: Factors<'_, R::Vector<S>>,
    sums: &mut [R::Vector<S>],
) {
    let most = if S::REGISTER_COUNT >= 32 { 5 } else { 3 };
    let blocks = units.div_ceil(most);
    let at = |block: usize| units * block / blocks;
    for i in 0..blocks {
        for j in 0..blocks {
            let (rows, columns) = (at(i)..at(i + 1), at(j)..at(j + 1));
            let block = SumBlock { units, row: rows.start, column: columns.start };
            match rows.len() {
                1 => block.columns::<R, S, 1, W>(simd, columns.len(), factors, sums),
                2 => block.columns::<R, S, 2, W>(simd, columns.len(), factors, sums),
                3 => block.columns::<R, S, 3, W>(simd, columns.len(), factors, sums),
                4 => block.columns::<R, S, 4, W>(simd, columns.len(), factors, sums),
                _ => block.columns::<R, S, 5, W>(simd, columns.len(), factors, sums),
            }
        }
    }
}

/// A block of the sums.
struct SumBlock {
    /// Rows and columns of all sums.
    units: usize,
    /// First row of the block.
    row: usize,
    /// First column of the block.
    column: usize,
}

impl SumBlock {
    #[inline(always)]
    fn columns<R: Real, S: Simd, const M: usize, const W: usize>(
        &self,
        simd: S,
        columns: usize,
        factors: Factors<'_, R::Vector<S>>,
        sums: &mut [R::Vector<S>],
    ) {
        match columns {
            1 => self.add::<R, S, M, 1, W>(simd, factors, sums),
            2 => self.add::<R, S, M, 2, W>(simd, factors, sums),
            3 => self.add::<R, S, M, 3, W>(simd, factors, sums),
            4 => self.add::<R, S, M, 4, W>(simd, factors, sums),
            _ => self.add::<R, S, M, 5, W>(simd, factors, sums),
        }
    }

    #[inline(always)]
    fn add<R: Real, S: Simd, const M: usize, const N: usize, const W: usize>(
        &self,
        simd: S,
        factors: Factors<'_, R::Vector<S>>,
        sums: &mut [R::Vector<S>],
    ) {
        let (Factors { a, b }, row, column) = (factors, self.row, self.column);
        let mut block = [[R::splat(simd, R::ZERO); N]; M];
        let tiles = a.chunks_exact(self.units * W).zip(b.chunks_exact(self.units * W));
        for (a, b) in tiles {
            let a = &a[row * W..][..M * W];
            let b = &b[column * W..][..N * W];
            for w in 0..W {
                let mut b_now = [R::splat(simd, R::ZERO); N];
                for (j, b_now) in b_now.iter_mut().enumerate() {
                    *b_now = b[j * W + w];
                }
                for (i, block) in block.iter_mut().enumerate() {
                    add_products::<R, S, N>(simd, a[i * W + w], &b_now, block);
                }
            }
        }
        for (i, block) in block.iter().enumerate() {
            let sums = &mut sums[(row + i) * self.units + column..][..N];
            for (sum, more) in sums.iter_mut().zip(block) {
                *sum = R::add(simd, *sum, *more);
            }
        }
    }
}

#[inline(always)]
fn add_products<R: Real, S: Simd, const N: usize>(
    simd: S,
    a: R::Vector<S>,
    b: &[R::Vector<S>; N],
    sums: &mut [R::Vector<S>; N],
) {
    for (sum, b) in sums.iter_mut().zip(b) {
        *sum = R::mul_add(simd, a, *b, *sum);
    }
}
