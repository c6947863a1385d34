//! The median and the spread of some numbers.

use std::fmt;

/// Some measured numbers.
#[derive(Clone, Debug, Default)]
pub struct Series(Vec<f64>);

impl Series {
    /// The middle number, or the mean of the two in the middle. NaN without numbers.
    pub fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        match sorted.len() {
            0 => f64::NAN,
            length if length % 2 == 1 => sorted[length / 2],
            length => f64::midpoint(sorted[length / 2 - 1], sorted[length / 2]),
        }
    }

    /// The sum.
    pub fn sum(&self) -> f64 {
        self.0.iter().sum()
    }

    /// The greatest number.
    pub fn max(&self) -> f64 {
        self.0.iter().copied().fold(f64::NAN, f64::max)
    }

    fn min(&self) -> f64 {
        self.0.iter().copied().fold(f64::NAN, f64::min)
    }

    /// The ratio to `other` in each round.
    pub fn ratio(&self, other: &Self) -> Self {
        let pairs = self.0.iter().zip(&other.0);
        pairs.map(|(one, other)| one / other).collect()
    }
}

impl FromIterator<f64> for Series {
    fn from_iter<I: IntoIterator<Item = f64>>(numbers: I) -> Self {
        Self(numbers.into_iter().collect())
    }
}

impl Extend<f64> for Series {
    fn extend<I: IntoIterator<Item = f64>>(&mut self, numbers: I) {
        self.0.extend(numbers);
    }
}

/// `0.85 (0.80–0.90)`: the median and the spread. Without a precision, numbers are whole.
impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(0);
        let (median, min, max) = (self.median(), self.min(), self.max());
        write!(f, "{median:.digits$} ({min:.digits$}–{max:.digits$})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_whatever_the_order() {
        assert_eq!(Series::from_iter([3.0, 1.0, 100.0]).median(), 3.0);
        assert_eq!(Series::from_iter([4.0, 1.0, 2.0, 3.0]).median(), 2.5);
        assert!(Series::default().median().is_nan());
    }

    #[test]
    fn a_ratio_is_of_the_same_round() {
        let ratio = Series::from_iter([1.0, 9.0]).ratio(&Series::from_iter([2.0, 10.0]));
        assert_eq!(format!("{ratio:.2}"), "0.70 (0.50–0.90)");
    }
}
