//! Products of small and medium matrices on one thread.
//!
//! A recurrent layer multiplies the same weights with another state at every step. So the weights
//! are packed once per sequence, into panels two registers wide that are read front to back. Rows
//! of the result are computed in blocks whose sums stay in registers.

use aligned_vec::{AVec, ConstAlign};
use pulp::{Simd, WithSimd};

use crate::Real;

/// Numbers aligned to a cache line.
pub(crate) type Buffer<R> = AVec<R, ConstAlign<64>>;

/// Returns a buffer of zeros.
pub(crate) fn zeros<R: Real>(length: usize) -> Buffer<R> {
    let mut buffer = AVec::new(64);
    buffer.resize(length, R::ZERO);
    buffer
}

/// Rounds `length` up to a multiple of the vector's lanes.
pub(crate) fn padded<R: Real, S: Simd>(length: usize) -> usize {
    length.next_multiple_of(R::lanes::<S>())
}

/// Rows of numbers, `stride` apart.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rows<'a, R> {
    pub(crate) values: &'a [R],
    pub(crate) stride: usize,
}

/// Writable rows of numbers or vectors, `stride` apart.
#[derive(Debug)]
pub(crate) struct RowsMut<'a, R> {
    pub(crate) values: &'a mut [R],
    pub(crate) stride: usize,
}

/// Vectors per panel; a last panel may have one.
pub(crate) const WIDTH: usize = 2;

/// Returns the number of rows whose sums fit into registers beside the operands.
pub(crate) const fn most_rows<S: Simd>() -> usize {
    if S::REGISTER_COUNT >= 32 { 12 } else { 6 }
}

/// A matrix [K, N] packed as a right operand, for one instruction set.
#[derive(Debug)]
pub(crate) struct PackedMatrix<R> {
    /// Panels, each row by row; the last one is half as wide if the number of vectors is odd.
    /// Columns beyond N are zeros.
    panels: Buffer<R>,
    rows: usize,
    /// Columns with padding.
    stride: usize,
}

impl<R: Real> PackedMatrix<R> {
    /// Packs the matrix [rows, columns] whose element (k, j) is `element(k, j)`.
    #[inline(always)]
    pub(crate) fn new<S: Simd>(
        rows: usize,
        columns: usize,
        element: impl Fn(usize, usize) -> R,
    ) -> Self {
        let stride = padded::<R, S>(columns);
        let mut panels = zeros(rows * stride);
        let mut at = 0;
        let mut first = 0;
        while first < stride {
            let width = (WIDTH * R::lanes::<S>()).min(stride - first);
            for k in 0..rows {
                for j in first..(first + width).min(columns) {
                    panels[at + j - first] = element(k, j);
                }
                at += width;
            }
            first += width;
        }
        Self { panels, rows, stride }
    }

    /// Returns the number of columns of a product, with padding.
    pub(crate) fn stride(&self) -> usize {
        self.stride
    }

    /// Computes `c` = a b for `count` rows of a and c, where b is this matrix. Writes
    /// [`PackedMatrix::stride`] columns; padding columns become zero.
    #[inline(always)]
    pub(crate) fn multiply<S: Simd>(
        &self,
        simd: S,
        a: Rows<'_, R>,
        c: RowsMut<'_, R>,
        count: usize,
    ) {
        simd.vectorize(MultiplyTask { packed: self, a, count, c, accumulate: false });
    }

    /// Like [`PackedMatrix::multiply`], but adds to `c`.
    #[inline(always)]
    pub(crate) fn multiply_add<S: Simd>(
        &self,
        simd: S,
        a: Rows<'_, R>,
        c: RowsMut<'_, R>,
        count: usize,
    ) {
        simd.vectorize(MultiplyTask { packed: self, a, count, c, accumulate: true });
    }
}

/// [`PackedMatrix::multiply`], compiled once for every instruction set.
struct MultiplyTask<'a, R> {
    packed: &'a PackedMatrix<R>,
    a: Rows<'a, R>,
    count: usize,
    c: RowsMut<'a, R>,
    accumulate: bool,
}

impl<R: Real> WithSimd for MultiplyTask<'_, R> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { packed, a, count, c, accumulate } = self;
        let panels = R::vectors::<S>(&packed.panels).0;
        let (c_stride, stride) = (c.stride / R::lanes::<S>(), packed.stride / R::lanes::<S>());
        let c = R::vectors_mut::<S>(c.values).0;
        // Blocks of about equal size: a block of few rows reads the panel as often as a large one.
        let blocks = count.div_ceil(most_rows::<S>()).max(1);
        let mut column = 0;
        while column < stride {
            let width = WIDTH.min(stride - column);
            let panel = &panels[column * packed.rows..(column + width) * packed.rows];
            for block in 0..blocks {
                let (row, end) = (count * block / blocks, count * (block + 1) / blocks);
                let a = Rows { values: &a.values[row * a.stride..], ..a };
                let c = &mut c[row * c_stride + column..];
                let tile = Tile { k: packed.rows, a, c_stride, accumulate };
                if width == WIDTH {
                    tile.multiply_rows::<S, WIDTH>(simd, end - row, panel, c);
                } else {
                    tile.multiply_rows::<S, 1>(simd, end - row, panel, c);
                }
            }
            column += width;
        }
    }
}

/// A product of some rows with one panel.
struct Tile<'a, R> {
    /// Rows of the panel.
    k: usize,
    a: Rows<'a, R>,
    /// Row stride of c, in vectors.
    c_stride: usize,
    /// Whether the product is added to `c`.
    accumulate: bool,
}

/// The product `c` = a b of a square matrix a [K, K] and a panel b [K, N vectors].
pub(crate) struct SquareProduct<'a, R, const N: usize> {
    pub(crate) a: &'a [R],
    pub(crate) k: usize,
    pub(crate) b: &'a [R],
    pub(crate) c: &'a mut [R],
}

impl<R: Real, const N: usize> WithSimd for SquareProduct<'_, R, N> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { a, k, b, c } = self;
        let (panel, c) = (R::vectors::<S>(b).0, R::vectors_mut::<S>(c).0);
        let blocks = k.div_ceil(most_rows::<S>()).max(1);
        for block in 0..blocks {
            let (row, end) = (k * block / blocks, k * (block + 1) / blocks);
            let a = Rows { values: &a[row * k..], stride: k };
            let tile = Tile { k, a, c_stride: N, accumulate: false };
            tile.multiply_rows::<S, N>(simd, end - row, panel, &mut c[row * N..]);
        }
    }
}

impl<R: Real> Tile<'_, R> {
    #[inline(always)]
    fn multiply_rows<S: Simd, const N: usize>(
        &self,
        simd: S,
        rows: usize,
        panel: &[R::Vector<S>],
        c: &mut [R::Vector<S>],
    ) {
        match rows {
            0 => {}
            1 => self.multiply::<S, 1, N>(simd, panel, c),
            2 => self.multiply::<S, 2, N>(simd, panel, c),
            3 => self.multiply::<S, 3, N>(simd, panel, c),
            4 => self.multiply::<S, 4, N>(simd, panel, c),
            5 => self.multiply::<S, 5, N>(simd, panel, c),
            6 => self.multiply::<S, 6, N>(simd, panel, c),
            7 => self.multiply::<S, 7, N>(simd, panel, c),
            8 => self.multiply::<S, 8, N>(simd, panel, c),
            9 => self.multiply::<S, 9, N>(simd, panel, c),
            10 => self.multiply::<S, 10, N>(simd, panel, c),
            11 => self.multiply::<S, 11, N>(simd, panel, c),
            _ => self.multiply::<S, 12, N>(simd, panel, c),
        }
    }

    #[inline(always)]
    fn multiply<S: Simd, const M: usize, const N: usize>(
        &self,
        simd: S,
        panel: &[R::Vector<S>],
        c: &mut [R::Vector<S>],
    ) {
        let mut sums = [[R::splat(simd, R::ZERO); N]; M];
        let rows: [&[R]; M] =
            std::array::from_fn(|i| &self.a.values[i * self.a.stride..][..self.k]);
        let columns = &panel.as_chunks::<N>().0[..self.k];
        for (k, b) in columns.iter().enumerate() {
            for (sums, row) in sums.iter_mut().zip(&rows) {
                let a = R::splat(simd, row[k]);
                for (sum, b) in sums.iter_mut().zip(b) {
                    *sum = R::mul_add(simd, a, *b, *sum);
                }
            }
        }
        for (i, sums) in sums.iter().enumerate() {
            for (c, sum) in c[i * self.c_stride..][..N].iter_mut().zip(sums) {
                *c = if self.accumulate { R::add(simd, *c, *sum) } else { *sum };
            }
        }
    }
}

/// A sum of products a^T b over many rows: the gradient of weights, over time and batch.
#[derive(Debug)]
pub(crate) struct OuterSum<R> {
    /// [M, N] with padding.
    sums: Buffer<R>,
    rows: usize,
    columns: usize,
    stride: usize,
    packed_a: Buffer<R>,
    packed_b: Buffer<R>,
}

/// Rows multiplied at once; a panel of them fits into the L1 cache.
const DEPTH: usize = 256;

impl<R: Real> OuterSum<R> {
    /// Returns zero sums [rows, columns].
    #[inline(always)]
    pub(crate) fn new<S: Simd>(rows: usize, columns: usize) -> Self {
        let stride = padded::<R, S>(columns);
        let most = rows.next_multiple_of(most_rows::<S>());
        Self {
            sums: zeros(most * stride),
            rows,
            columns,
            stride,
            packed_a: zeros(most * DEPTH),
            packed_b: zeros(WIDTH * R::lanes::<S>() * DEPTH),
        }
    }

    /// Adds a^T b for `count` rows of a (M columns) and b (N columns).
    #[inline(always)]
    pub(crate) fn add<S: Simd>(&mut self, simd: S, a: Rows<'_, R>, b: Rows<'_, R>, count: usize) {
        simd.vectorize(OuterSumTask { outer: self, a, b, count });
    }

    /// Returns element (row, column) of the sum.
    pub(crate) fn get(&self, row: usize, column: usize) -> R {
        self.sums[row * self.stride + column]
    }

    #[inline(always)]
    fn add_block<S: Simd, const M: usize>(
        &mut self,
        simd: S,
        a: Rows<'_, R>,
        b: Rows<'_, R>,
        depth: usize,
    ) {
        let lanes = R::lanes::<S>();
        let blocks = self.rows.div_ceil(M);
        for (block, packed) in self.packed_a.chunks_exact_mut(M * depth).take(blocks).enumerate() {
            let first = block * M;
            let width = M.min(self.rows - first);
            for (k, packed) in packed.as_chunks_mut::<M>().0.iter_mut().enumerate() {
                packed[..width].copy_from_slice(&a.values[k * a.stride + first..][..width]);
                packed[width..].fill(R::ZERO);
            }
        }
        let stride = self.stride / lanes;
        let mut column = 0;
        while column < stride {
            let width = WIDTH.min(stride - column);
            let (first, numbers) = (column * lanes, width * lanes);
            let used = numbers.min(self.columns - first);
            let packed_b = &mut self.packed_b[..depth * numbers];
            for (k, packed) in packed_b.chunks_exact_mut(numbers).enumerate() {
                packed[..used].copy_from_slice(&b.values[k * b.stride + first..][..used]);
                packed[used..].fill(R::ZERO);
            }
            let panel = R::vectors::<S>(packed_b).0;
            let sums = R::vectors_mut::<S>(&mut self.sums).0;
            for (block, a) in self.packed_a.chunks_exact(M * depth).take(blocks).enumerate() {
                let a = a.as_chunks::<M>().0;
                let values = &mut sums[block * M * stride + column..];
                let c = RowsMut { values, stride };
                if width == WIDTH {
                    outer_tile::<R, S, M, WIDTH>(simd, a, panel, c);
                } else {
                    outer_tile::<R, S, M, 1>(simd, a, panel, c);
                }
            }
            column += width;
        }
    }
}

/// [`OuterSum::add`], compiled once for every instruction set.
struct OuterSumTask<'a, R> {
    outer: &'a mut OuterSum<R>,
    a: Rows<'a, R>,
    b: Rows<'a, R>,
    count: usize,
}

impl<R: Real> WithSimd for OuterSumTask<'_, R> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { outer, a, b, count } = self;
        // Pieces of about equal size: a short piece loads and stores all sums for little work.
        let pieces = count.div_ceil(DEPTH);
        for piece in 0..pieces {
            let (first, end) = (count * piece / pieces, count * (piece + 1) / pieces);
            let depth = end - first;
            let a = Rows { values: &a.values[first * a.stride..], ..a };
            let b = Rows { values: &b.values[first * b.stride..], ..b };
            if S::REGISTER_COUNT >= 32 {
                outer.add_block::<S, 12>(simd, a, b, depth);
            } else {
                outer.add_block::<S, 6>(simd, a, b, depth);
            }
        }
    }
}

#[inline(always)]
fn outer_tile<R: Real, S: Simd, const M: usize, const N: usize>(
    simd: S,
    a: &[[R; M]],
    panel: &[R::Vector<S>],
    c: RowsMut<'_, R::Vector<S>>,
) {
    let RowsMut { values: c, stride } = c;
    let mut sums = [[R::splat(simd, R::ZERO); N]; M];
    for (a, b) in a.iter().zip(panel.as_chunks::<N>().0) {
        for (sums, a) in sums.iter_mut().zip(a) {
            let a = R::splat(simd, *a);
            for (sum, b) in sums.iter_mut().zip(b) {
                *sum = R::mul_add(simd, a, *b, *sum);
            }
        }
    }
    for (i, sums) in sums.iter().enumerate() {
        for (c, sum) in c[i * stride..][..N].iter_mut().zip(sums) {
            *c = R::add(simd, *c, *sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Isa;

    fn numbers(count: usize, seed: u64) -> Vec<f32> {
        let wave = |i: usize| ((i as f64 + seed as f64) * 0.7).sin();
        (0..count).map(|i| f32::of(wave(i))).collect()
    }

    /// The product a b, or a^T b, where a is [rows, inner] or [inner, rows] and b [inner, columns].
    struct MatrixProduct<'a> {
        a: &'a [f32],
        b: &'a [f32],
        sizes: [usize; 3],
        transposed: bool,
    }

    impl WithSimd for MatrixProduct<'_> {
        type Output = Vec<f32>;

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> Vec<f32> {
            let [rows, inner, columns] = self.sizes;
            if self.transposed {
                let mut outer = OuterSum::new::<S>(rows, columns);
                let a = Rows { values: self.a, stride: rows };
                let b = Rows { values: self.b, stride: columns };
                outer.add(simd, a, b, inner);
                let place = |i: usize| outer.get(i / columns, i % columns);
                return (0..rows * columns).map(place).collect();
            }
            let packed = PackedMatrix::new::<S>(inner, columns, |k, j| self.b[k * columns + j]);
            let mut c = vec![f32::NAN; rows * packed.stride()];
            let a = Rows { values: self.a, stride: inner };
            let stride = packed.stride();
            packed.multiply(simd, a, RowsMut { values: &mut c, stride }, rows);
            c.chunks(packed.stride()).flat_map(|row| row[..columns].to_vec()).collect()
        }
    }

    #[test]
    fn products_match_the_definition() {
        let sizes =
            [[1, 1, 1], [3, 5, 2], [7, 129, 17], [13, 200, 33], [25, 402, 48], [50, 17, 129]];
        for isa in Isa::all() {
            for sizes in sizes {
                check(isa, sizes, false);
                check(isa, sizes, true);
            }
        }
    }

    fn check(isa: Isa, sizes: [usize; 3], transposed: bool) {
        let [rows, inner, columns] = sizes;
        let (a, b) = (numbers(rows * inner, 1), numbers(inner * columns, 2));
        let found = isa.run(MatrixProduct { a: &a, b: &b, sizes, transposed });
        for (place, found) in found.iter().enumerate() {
            let (i, j) = (place / columns, place % columns);
            let at = |k| if transposed { a[k * rows + i] } else { a[i * inner + k] };
            let product = |k| f64::from(at(k)) * f64::from(b[k * columns + j]);
            let exact: f64 = (0..inner).map(product).sum();
            let off = (f64::from(*found) - exact).abs();
            assert!(off < 1e-4, "{} {sizes:?} at {i} {j}: {found}, not {exact}", isa.name());
        }
    }
}
