//! Draws from one distribution many times: its quantiles are computed once, so that a sample costs one random number and
//! one look into a table instead of two logarithms, a cosine and an exponential.

use crate::base::{Draw, Rng, Span};

/// Bits of a random number that choose the piece of the distribution.
const PIECE_BITS: u32 = 10;
/// Equally likely pieces.
const PIECES: usize = 1 << PIECE_BITS;

/// A [`Draw`] prepared for many samples. Between two of its 1,025 quantiles it is taken as uniform; in the first and the
/// last piece, where the tails are, it is exact.
#[derive(Clone, Debug)]
pub(super) struct Sampler {
    draw: Draw,
    /// In nanoseconds, `PIECES + 1` of them, the outermost two unused; empty for what is cheap to draw anyway.
    quantiles: Vec<u64>,
}

impl Sampler {
    /// Prepares `draw`.
    pub(super) fn new(draw: Draw) -> Sampler {
        let quantiles = match draw {
            Draw::Fixed(_) | Draw::Uniform(..) => Vec::new(),
            Draw::LogNormal(..) | Draw::Exponential(_) => {
                let inner = (1..PIECES).map(|i| quantile(draw, i as f64 / PIECES as f64).0);
                std::iter::once(0).chain(inner).chain([0]).collect()
            }
        };
        Sampler { draw, quantiles }
    }

    /// One sample.
    pub(super) fn sample(&self, rng: &mut Rng) -> Span {
        if self.quantiles.is_empty() {
            return self.draw.sample(rng);
        }
        let bits = rng.bits();
        let piece = (bits >> (64 - PIECE_BITS)) as usize;
        if piece == 0 || piece == PIECES - 1 {
            // 53 bits, in the middle of their step, so that neither 0 nor 1 comes out.
            return quantile(self.draw, ((bits >> 11) as f64 + 0.5) / (1_u64 << 53) as f64);
        }
        let (low, high) = (self.quantiles[piece], self.quantiles[piece + 1]);
        let within = (bits << PIECE_BITS) >> 32;
        Span(low + ((u128::from(high - low) * u128::from(within)) >> 32) as u64)
    }
}

/// The length below which a share `p` of the samples lies; `p` strictly between 0 and 1.
fn quantile(draw: Draw, p: f64) -> Span {
    match draw {
        Draw::Fixed(span) => span,
        Draw::Uniform(low, high) => low + Span(high.0.saturating_sub(low.0)).scaled(p),
        Draw::LogNormal(median, sigma) => median.scaled(libm::exp(sigma * normal_quantile(p))),
        Draw::Exponential(mean) => mean.scaled(-libm::log1p(-p)),
    }
}

/// The quantile of the standard normal distribution by P. J. Acklam's rational approximation (relative error below 1.15e-9).
fn normal_quantile(p: f64) -> f64 {
    const CENTRE_OVER: [f64; 6] = [
        -3.969_683_028_665_376e1,
        2.209_460_984_245_205e2,
        -2.759_285_104_469_687e2,
        1.383_577_518_672_69e2,
        -3.066_479_806_614_716e1,
        2.506_628_277_459_239,
    ];
    const CENTRE_UNDER: [f64; 6] = [
        -5.447_609_879_822_406e1,
        1.615_858_368_580_409e2,
        -1.556_989_798_598_866e2,
        6.680_131_188_771_972e1,
        -1.328_068_155_288_572e1,
        1.0,
    ];
    const TAIL_OVER: [f64; 6] = [
        -7.784_894_002_430_293e-3,
        -3.223_964_580_411_365e-1,
        -2.400_758_277_161_838,
        -2.549_732_539_343_734,
        4.374_664_141_464_968,
        2.938_163_982_698_783,
    ];
    const TAIL_UNDER: [f64; 5] = [
        7.784_695_709_041_462e-3,
        3.224_671_290_700_398e-1,
        2.445_134_137_142_996,
        3.754_408_661_907_416,
        1.0,
    ];
    const TAIL: f64 = 0.024_25;
    let polynomial = |factors: &[f64], x: f64| factors.iter().fold(0.0, |sum, factor| sum * x + factor);
    if p < TAIL {
        let q = libm::sqrt(-2.0 * libm::log(p));
        polynomial(&TAIL_OVER, q) / polynomial(&TAIL_UNDER, q)
    } else if p > 1.0 - TAIL {
        let q = libm::sqrt(-2.0 * libm::log1p(-p));
        -polynomial(&TAIL_OVER, q) / polynomial(&TAIL_UNDER, q)
    } else {
        let q = p - 0.5;
        let r = q * q;
        q * polynomial(&CENTRE_OVER, r) / polynomial(&CENTRE_UNDER, r)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prepared_draw_has_the_distribution_of_the_draw_itself() {
        let seed = 9;
        for draw in [
            Draw::LogNormal(Span::micros(300), 0.3),
            Draw::LogNormal(Span::micros(300), 1.5),
            Draw::Exponential(Span::millis(2)),
            Draw::Uniform(Span::millis(1), Span::millis(3)),
            Draw::Fixed(Span::millis(7)),
        ] {
            let mut rng = Rng::new(seed);
            let sampler = Sampler::new(draw);
            let n = 200_000_u32;
            let mut table: Vec<f64> = (0..n).map(|_| sampler.sample(&mut rng).as_secs()).collect();
            let mut plain: Vec<f64> = (0..n).map(|_| draw.sample(&mut rng).as_secs()).collect();
            table.sort_by(f64::total_cmp);
            plain.sort_by(f64::total_cmp);
            let at = |share: f64| (f64::from(n) * share) as usize;
            for share in [0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999] {
                let (a, b) = (table[at(share)], plain[at(share)]);
                assert!((a / b - 1.0).abs() < 0.15, "{draw:?} at {share}: {a} and {b}, seed {seed}");
            }
            let mean = |samples: &[f64]| samples.iter().sum::<f64>() / f64::from(n);
            assert!((mean(&table) / draw.mean().as_secs() - 1.0).abs() < 0.02, "{draw:?}, seed {seed}");
        }
    }

    #[test]
    fn normal_quantiles_are_those_of_the_tables() {
        for (p, x) in [(0.5, 0.0), (0.975, 1.959_963_985), (0.99, 2.326_347_874), (0.000_1, -3.719_016_485)] {
            assert!((normal_quantile(p) - x).abs() < 1e-7, "{p}");
        }
    }
}
