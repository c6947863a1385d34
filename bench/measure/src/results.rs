//! The table, and the file that has one for each host.

use std::path::Path;

use anyhow::{Context, Result};
use jiff::Timestamp;

use crate::series::Series;

const TITLE: &str = "# What Afterword costs

`cargo xtask bench` writes this file: a section for each host that it has run on. The baselines are
the components in [limit](limit/src/lib.rs), built for the same version of WASI. Each number is the
median of the rounds, with the spread in brackets. A limit holds for the worst round, a ratio and a
time for the median.
";

/// A line of the table.
#[derive(Clone, Debug)]
pub struct Line {
    /// The measurement, a to h.
    pub letter: char,
    /// What is measured.
    pub what: String,
    /// The target, and whether it is met.
    pub target: Option<(String, bool)>,
    /// The numbers.
    pub measured: String,
}

impl Line {
    /// A rate that has to be at least `target` times the baseline's.
    pub fn ratio(
        letter: char,
        what: String,
        target: f64,
        rate: &Series,
        baseline: &Series,
    ) -> Self {
        let is_met = rate.ratio(baseline).median() >= target;
        Self {
            target: Some((format!("≥ {target:.2} of the baseline"), is_met)),
            ..Self::compared(letter, what, rate, baseline)
        }
    }

    /// A rate, and its ratio to another one.
    pub fn compared(letter: char, what: String, rate: &Series, other: &Series) -> Self {
        let measured = format!(
            "{:.2}: {:.0} of {:.0} /s",
            rate.ratio(other),
            rate.median(),
            other.median()
        );
        Self::number(letter, what, measured)
    }

    /// A number that may be at most `target`.
    pub fn at_most(
        letter: char,
        what: String,
        target: f64,
        unit: &str,
        number: f64,
        measured: String,
    ) -> Self {
        Self {
            letter,
            what,
            target: Some((format!("≤ {target} {unit}"), number <= target)),
            measured,
        }
    }

    /// A number without a target.
    pub fn number(letter: char, what: String, measured: String) -> Self {
        Self {
            letter,
            what,
            target: None,
            measured,
        }
    }
}

/// The rows of the table that have the lines of each build.
pub fn rows(builds: &[Vec<Line>]) -> Vec<String> {
    let Some(lines) = builds.first() else {
        return Vec::new();
    };
    lines.iter().map(|line| row(line, builds)).collect()
}

fn row(line: &Line, builds: &[Vec<Line>]) -> String {
    let target = line.target.as_ref();
    let target = target.map_or("", |(target, _)| target.trim_end());
    let mut row = format!("| {} | {} | {target} |", line.letter, line.what);
    for lines in builds {
        let line = lines.iter().find(|other| other.what == line.what);
        let measured = line.map_or("", |line| line.measured.trim_end());
        let met = match line.and_then(|line| line.target.as_ref()) {
            Some((_, true)) => "yes",
            Some((_, false)) => "**no**",
            None => "",
        };
        row += &format!(" {measured} | {met} |");
    }
    row
}

/// A run of the benchmark.
pub struct Run {
    /// The host's name.
    pub host: String,
    /// The commit.
    pub commit: String,
    /// The rounds of each measurement.
    pub rounds: usize,
    /// The names of the builds.
    pub builds: Vec<&'static str>,
    /// The rows of the table.
    pub rows: Vec<String>,
}

impl Run {
    /// Writes the run into `file`, in place of the last one on the same host.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, file: &Path) -> Result<()> {
        let former = std::fs::read_to_string(file).unwrap_or_default();
        let text = replace_section(&former, &self.section());
        std::fs::write(file, text).with_context(|| format!("writing {}", file.display()))
    }

    fn section(&self) -> String {
        let date = Timestamp::now().strftime("%Y-%m-%d");
        let columns = self.builds.iter();
        let columns: String = columns.map(|name| format!(" {name} | met |")).collect();
        let mut section = format!(
            "## {}\n\n{date}, commit {}, {} rounds, {}.\n\n\
             | | what | target |{columns}\n| --- | --- | --- |{}\n",
            self.host,
            self.commit,
            self.rounds,
            machine(),
            " --- | --- |".repeat(self.builds.len())
        );
        for row in &self.rows {
            section += &format!("{row}\n");
        }
        section
    }
}

/// The text with a section in place of the one with the same heading, or after the others.
fn replace_section(text: &str, section: &str) -> String {
    let heading = |section: &str| section.lines().next().unwrap_or_default().to_owned();
    let mut sections: Vec<String> = text
        .split("\n## ")
        .skip(1)
        .map(|section| format!("## {}\n", section.trim_end()))
        .collect();
    match sections
        .iter_mut()
        .find(|other| heading(other) == heading(section))
    {
        Some(former) => *former = section.to_owned(),
        None => sections.push(section.to_owned()),
    }
    format!("{TITLE}\n{}", sections.join("\n"))
}

/// The processors of this machine.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == "model name").then(|| value.trim())
    });
    let model = model.unwrap_or(std::env::consts::ARCH);
    format!("{cores} cores of {model}, {}", std::env::consts::OS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_replaces_the_last_one_on_its_host_only() {
        let one = replace_section("", "## One\n\nold\n");
        let both = replace_section(&one, "## Other\n\nother\n");
        let new = replace_section(&both, "## One\n\nnew\n");
        assert_eq!(
            new,
            format!("{TITLE}\n## One\n\nnew\n\n## Other\n\nother\n")
        );
    }

    #[test]
    fn a_row_says_of_each_build_whether_its_target_is_met() {
        let line = |rate: f64| {
            let rate = Series::from_iter([rate]);
            let baseline = Series::from_iter([100.0]);
            vec![Line::ratio('a', "hit".into(), 0.95, &rate, &baseline)]
        };
        assert_eq!(
            rows(&[line(80.0), line(95.0)]),
            ["| a | hit | ≥ 0.95 of the baseline \
              | 0.80 (0.80–0.80): 80 of 100 /s | **no** \
              | 0.95 (0.95–0.95): 95 of 100 /s | yes |"]
        );
        let line = Line::at_most('f', "requests".into(), 8.0, "", 8.0, "8".into());
        assert_eq!(rows(&[vec![line]]), ["| f | requests | ≤ 8 | 8 | yes |"]);
    }
}
