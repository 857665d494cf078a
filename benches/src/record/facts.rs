use std::fmt;

/// What something was measured with, and when: names and values, in the order of the tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts(Vec<(String, String)>);

impl Facts {
    /// Adds one.
    pub fn add(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.push((name.into(), value.into()));
    }

    /// The value of one; a dash if it is not known.
    pub fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("–", |(_, value)| value)
    }

    /// What is known.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// Reads them from the head of a file.
    pub fn read(text: &str) -> Self {
        let lines = text.lines().map_while(|line| line.strip_prefix("# "));
        let facts = lines.filter_map(|line| line.split_once(": "));
        Self(facts.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }
}

/// The head of a file.
impl fmt::Display for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(name, value)| writeln!(f, "# {name}: {value}"))
    }
}

/// The name of a processor as that of a file: in small letters, without the marks in parentheses.
pub fn slug(processor: &str) -> String {
    let mut slug = String::new();
    let mut marks = 0_usize;
    for c in processor.chars() {
        match c {
            '(' => marks += 1,
            ')' => marks = marks.saturating_sub(1),
            _ if marks > 0 => {}
            c if c.is_ascii_alphanumeric() => slug.push(c.to_ascii_lowercase()),
            _ if slug.ends_with('-') => {}
            _ => slug.push('-'),
        }
    }
    slug.trim_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processor_becomes_the_name_of_a_file() {
        assert_eq!(slug("AMD EPYC"), "amd-epyc");
        assert_eq!(slug("Intel(R) Xeon(R) Processor"), "intel-xeon-processor");
        assert_eq!(
            slug("Intel(R) Core(TM) i7-8550U CPU @ 1.80GHz"),
            "intel-core-i7-8550u-cpu-1-80ghz"
        );
        assert_eq!(slug("(R) odd) / name "), "odd-name");
    }

    #[test]
    fn facts_are_read_as_they_were_written() {
        let mut facts = Facts::default();
        facts.add("processor", "AMD EPYC");
        facts.add("compiler", "rustc 1.95.0: the one");
        assert_eq!(Facts::read(&format!("{facts}workload;more\n# no: fact\n")), facts);
        assert_eq!(facts.get("compiler"), "rustc 1.95.0: the one");
        assert_eq!(facts.get("valgrind"), "–");
    }
}
