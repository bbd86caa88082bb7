//! Options as the command lines of Apache's tools have them: `-x`, `-x value`, `-xvalue`, `-xyz`,
//! `--long`, `--long value`, `--long=value`, `-long`, and any beginning of a long name that only
//! one option has.
// Java: DefaultParser of commons-cli.

/// One option.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OldOption {
    pub(crate) short: char,
    pub(crate) long: &'static str,
    pub(crate) takes_value: bool,
    pub(crate) is_required: bool,
}

/// What a command line says.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Parsed {
    options: Vec<(char, Option<String>)>,
    pub(crate) rest: Vec<String>,
}

impl Parsed {
    pub(crate) fn has(&self, short: char) -> bool {
        self.options.iter().any(|(option, _)| *option == short)
    }

    pub(crate) fn value(&self, short: char) -> Option<&str> {
        let found = self.options.iter().find(|(option, _)| *option == short)?;
        found.1.as_deref()
    }
}

/// Reads a command line; the error is what Apache's tools print.
pub(crate) fn parse(options: &[OldOption], arguments: &[String]) -> Result<Parsed, String> {
    let mut parsed = Parsed::default();
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        if argument == "--" {
            parsed.rest.extend(arguments.by_ref().cloned());
            break;
        }
        let Some(named) = read_named(options, argument)? else {
            parsed.rest.push(argument.clone());
            continue;
        };
        for (option, value) in named {
            let value = match value {
                None if option.takes_value => {
                    let next = arguments.as_slice().first().filter(|next| is_value(options, next));
                    let value = next.ok_or_else(|| missing_value(option))?.clone();
                    arguments.next();
                    Some(value)
                }
                value => value,
            };
            parsed.options.push((option.short, value));
        }
    }
    let missing: Vec<String> = options
        .iter()
        .filter(|option| option.is_required && !parsed.has(option.short))
        .map(|option| option.short.to_string())
        .collect();
    match missing.len() {
        0 => Ok(parsed),
        1 => Err(format!("Missing required option: {}", missing.join(", "))),
        _ => Err(format!("Missing required options: {}", missing.join(", "))),
    }
}

type Named = Vec<(OldOption, Option<String>)>;

/// The options that an argument names, with a value if it holds one; `None` if it is none.
fn read_named(options: &[OldOption], argument: &str) -> Result<Option<Named>, String> {
    let unknown = || format!("Unrecognized option: {argument}");
    if let Some(long) = argument.strip_prefix("--") {
        return by_long_name(options, long)?.ok_or_else(unknown).map(|one| Some(vec![one]));
    }
    let Some(rest) = argument.strip_prefix('-').filter(|rest| !rest.is_empty()) else {
        return Ok(None);
    };
    let short = |name: char| options.iter().copied().find(|option| option.short == name);
    let mut characters = rest.chars();
    let first = characters.next().and_then(short);
    let behind = characters.as_str();
    match first {
        Some(option) if behind.is_empty() => return Ok(Some(vec![(option, None)])),
        Some(option) if option.takes_value => {
            let value = behind.strip_prefix('=').unwrap_or(behind);
            // A long name goes before a value that is written together with its option.
            return match by_long_name(options, rest)? {
                Some(one) => Ok(Some(vec![one])),
                None => Ok(Some(vec![(option, Some(value.to_owned()))])),
            };
        }
        _ => {}
    }
    if let Some(one) = by_long_name(options, rest)? {
        return Ok(Some(vec![one]));
    }
    let mut named = Vec::new();
    let mut characters = rest.chars();
    while let Some(name) = characters.next() {
        let option = short(name).ok_or_else(unknown)?;
        let behind = characters.as_str();
        if option.takes_value && !behind.is_empty() {
            named.push((option, Some(behind.to_owned())));
            break;
        }
        named.push((option, None));
    }
    Ok(Some(named))
}

fn by_long_name(
    options: &[OldOption],
    text: &str,
) -> Result<Option<(OldOption, Option<String>)>, String> {
    let (name, value) =
        text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value.to_owned())));
    let exact = options.iter().find(|option| option.long == name);
    let mut alike: Vec<&OldOption> = match exact {
        Some(option) => vec![option],
        None => options.iter().filter(|option| option.long.starts_with(name)).collect(),
    };
    if name.is_empty() {
        alike.clear();
    }
    match alike.as_slice() {
        [] => Ok(None),
        [option] if value.is_some() && !option.takes_value => Ok(None),
        [option] => Ok(Some((**option, value))),
        several => {
            let names: Vec<String> =
                several.iter().map(|option| format!("'{}'", option.long)).collect();
            Err(format!("Ambiguous option: '--{name}'  (could be: {})", names.join(", ")))
        }
    }
}

fn missing_value(option: OldOption) -> String {
    format!("Missing argument for option: {}", option.short)
}

/// What looks like an option is no value of another; a negative number is.
fn is_value(options: &[OldOption], text: &str) -> bool {
    let looks_known = text.len() > 1
        && text.starts_with('-')
        && (text == "--" || matches!(read_named(options, text), Ok(Some(_))));
    text.parse::<f64>().is_ok() || !looks_known
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: &[OldOption] = &[
        OldOption { short: 'r', long: "recover", takes_value: false, is_required: false },
        OldOption { short: 'v', long: "verbose", takes_value: false, is_required: false },
        OldOption { short: 'z', long: "zxid", takes_value: true, is_required: false },
    ];

    fn read(line: &str) -> Result<String, String> {
        let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let parsed = parse(OPTIONS, &arguments)?;
        let options: Vec<String> = parsed
            .options
            .iter()
            .map(|(short, value)| format!("{short}{}", value.as_deref().unwrap_or("")))
            .collect();
        Ok(format!("{} / {}", options.join(" "), parsed.rest.join(" ")))
    }

    #[test]
    fn each_way_of_writing_an_option_is_read() {
        for (line, expected) in [
            ("-r file -v", "r v / file"),
            ("-rv file", "r v / file"),
            ("-rvz5 file", "r v z5 / file"),
            ("-z 0x5 file", "z0x5 / file"),
            ("-z=5", "z5 / "),
            ("-z -5", "z-5 / "),
            ("--zxid 5 --recover", "z5 r / "),
            ("--zxid=5 --rec", "z5 r / "),
            ("-zxid 5 -recover", "z5 r / "),
            ("-- -r", " / -r"),
            ("- -r", "r / -"),
        ] {
            assert_eq!(read(line).as_deref(), Ok(expected), "{line}");
        }
    }

    #[test]
    fn what_cannot_be_is_told() {
        assert_eq!(read("-x"), Err("Unrecognized option: -x".to_owned()));
        assert_eq!(read("-rx"), Err("Unrecognized option: -rx".to_owned()));
        assert_eq!(read("--recover=1"), Err("Unrecognized option: --recover=1".to_owned()));
        assert_eq!(read("-z"), Err("Missing argument for option: z".to_owned()));
        assert_eq!(read("-z -r"), Err("Missing argument for option: z".to_owned()));
        let required = OldOption { is_required: true, ..OPTIONS[2] };
        assert_eq!(parse(&[required], &[]), Err("Missing required option: z".to_owned()));
        let both = [required, OldOption { is_required: true, ..OPTIONS[0] }];
        assert_eq!(parse(&both, &[]), Err("Missing required options: z, r".to_owned()));
    }
}
