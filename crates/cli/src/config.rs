//! The configuration file: the flags of a command line, in TOML. Those that all commands take stand at the top, those of one
//! command in a table of its name:
//!
//! ```toml
//! threads = 3
//!
//! [live]
//! source = "rpicam"
//! fps = 15
//! no-web = true
//! ```
//!
//! What the command line or the environment says goes before it. The flags are handed to the parser as if they had been
//! typed, so that there is one definition of each, and one check of its value.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};
use toml::{Table, Value};

/// Where it is looked for below the directories of configuration.
const FILE: &str = "kinglet/config.toml";

/// A configuration file's content; empty where there is none.
#[derive(Debug, Default)]
pub struct Config {
    path: PathBuf,
    table: Table,
}

impl Config {
    /// Reads the file that was `given`, or else the user's or the machine's, where there is one.
    pub fn read(given: Option<&Path>) -> Result<Config> {
        let Some(path) = given.map(Path::to_owned).or_else(usual_path) else { return Ok(Config::default()) };
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Config::parse(path, &text)
    }

    fn parse(path: PathBuf, text: &str) -> Result<Config> {
        match text.parse() {
            Ok(table) => Ok(Config { path, table }),
            Err(error) => {
                let line = error.span().map_or(1, |span| text[..span.start].lines().count().max(1));
                bail!("{}, line {line}: {}", path.display(), error.message().replace('\n', " "))
            }
        }
    }

    /// Parses a command line, and what the file adds to it. An error of the file names it; one of the command line ends the
    /// program, as clap does it.
    pub fn complete(&self, command: &Command, mut line: Vec<OsString>) -> Result<ArgMatches> {
        let typed = command.clone().get_matches_from(&line);
        let added = self.flags(command, &typed).with_context(|| self.path.display().to_string())?;
        if added.is_empty() {
            return Ok(typed);
        }
        // What follows a `--` is no flag.
        let end = line.iter().position(|argument| argument == "--").unwrap_or(line.len());
        line.splice(end..end, added);
        command.clone().try_get_matches_from(line).map_err(|error| {
            let text = error.render().to_string();
            let first = text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
            anyhow::anyhow!("{}: {first}", self.path.display())
        })
    }

    /// The flags that the file has for what was typed and that were not typed.
    fn flags(&self, command: &Command, typed: &ArgMatches) -> Result<Vec<OsString>> {
        let mut flags = Vec::new();
        let chosen = typed.subcommand();
        for (key, value) in &self.table {
            if let Some(subcommand) = command.find_subcommand(key) {
                let Value::Table(table) = value else { bail!("[{key}] is a table of settings, no value") };
                for (key, value) in table {
                    let argument = argument(subcommand, key).with_context(|| format!("[{}]", subcommand.get_name()))?;
                    let typed = chosen.filter(|(name, _)| *name == subcommand.get_name());
                    let added = flag(argument, value).with_context(|| key.clone())?;
                    if typed.is_some_and(|(_, typed)| !is_given(typed, argument)) {
                        flags.extend(added);
                    }
                }
                continue;
            }
            let argument = argument(command, key)?;
            let added = flag(argument, value).with_context(|| key.clone())?;
            // A flag that all commands take is known where it was typed: behind the command.
            if !is_given(chosen.map_or(typed, |(_, typed)| typed), argument) {
                flags.extend(added);
            }
        }
        Ok(flags)
    }

    /// A command's flags as the file that would set them, each with where its value comes from.
    pub fn print(&self, command: &Command, name: &str) -> Result<String> {
        let subcommand = command.find_subcommand(name).with_context(|| format!("there is no command {name}"))?;
        // What a command cannot do without may be missing here.
        let optional = |command: Command| command.mut_args(|argument| argument.required(false));
        let relaxed = command.clone().mut_subcommand(name, optional);
        let matches = self.complete(&relaxed, vec!["kinglet".into(), name.into()])?;
        let typed = relaxed.get_matches_from(["kinglet", name]);
        let (Some((_, matches)), Some((_, typed))) = (matches.subcommand(), typed.subcommand()) else {
            bail!("there is no command {name}");
        };
        let (mut common, mut own) = (Vec::new(), Vec::new());
        for (arguments, lines) in [(command, &mut common), (subcommand, &mut own)] {
            for argument in arguments.get_arguments().filter(|argument| is_setting(argument)) {
                lines.push(self.setting(argument, matches, typed));
            }
        }
        Ok(format!("{}\n\n[{name}]\n{}", common.join("\n"), own.join("\n")))
    }

    fn setting(&self, argument: &Arg, matches: &ArgMatches, typed: &ArgMatches) -> String {
        let (id, key) = (argument.get_id().as_str(), key(argument));
        let values: Vec<String> = match matches.try_get_raw(id) {
            Ok(Some(raw)) => raw.map(|value| toml_value(&value.to_string_lossy())).collect(),
            _ => Vec::new(),
        };
        let whence = match matches.value_source(id) {
            Some(ValueSource::CommandLine) if !is_given(typed, argument) => self.path.display().to_string(),
            Some(ValueSource::EnvVariable) => "environment".to_owned(),
            _ => "default".to_owned(),
        };
        match &values[..] {
            [] => format!("# {key} is not set"),
            _ if id == "password" => format!("# {key} is set  # {whence}"),
            [value] => format!("{key} = {value}  # {whence}"),
            values => format!("{key} = [{}]  # {whence}", values.join(", ")),
        }
    }
}

/// The user's file, or else the machine's.
fn usual_path() -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let user = variable("XDG_CONFIG_HOME").or_else(|| Some(variable("HOME")?.join(".config")));
    let folders = user.into_iter().chain([PathBuf::from("/etc")]);
    folders.map(|folder| folder.join(FILE)).find(|path| path.is_file())
}

/// What can be set in a file: everything but what asks for help.
fn is_setting(argument: &Arg) -> bool {
    !["help", "version", "config"].contains(&argument.get_id().as_str())
}

/// A flag's name without its dashes; that of what has no flag, such as the model.
fn key(argument: &Arg) -> &str {
    argument.get_long().unwrap_or(argument.get_id().as_str())
}

fn argument<'a>(command: &'a Command, name: &str) -> Result<&'a Arg> {
    let found = command.get_arguments().find(|argument| key(argument) == name);
    found.filter(|argument| is_setting(argument)).with_context(|| {
        let known: Vec<&str> = command.get_arguments().filter(|argument| is_setting(argument)).map(key).collect();
        let tables = if command.has_subcommands() { ", and a table for each command" } else { "" };
        format!("there is no setting '{name}'; there are {}{tables}", known.join(", "))
    })
}

/// Whether the command line or the environment says something about this.
fn is_given(typed: &ArgMatches, argument: &Arg) -> bool {
    matches!(typed.value_source(argument.get_id().as_str()), Some(ValueSource::CommandLine | ValueSource::EnvVariable))
}

/// A setting as it would be typed.
fn flag(argument: &Arg, value: &Value) -> Result<Vec<OsString>> {
    let text = match value {
        Value::Array(values) => {
            let flags: Result<Vec<_>> = values.iter().map(|value| flag(argument, value)).collect();
            return Ok(flags?.concat());
        }
        Value::String(text) => text.clone(),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Boolean(is) => is.to_string(),
        Value::Table(_) | Value::Datetime(_) => bail!("give a text, a number, true or false, or a list of these"),
    };
    Ok(match (argument.get_long(), argument.get_action().takes_values()) {
        (Some(long), true) => vec![format!("--{long}={text}").into()],
        (Some(long), false) => match value {
            Value::Boolean(true) => vec![format!("--{long}").into()],
            Value::Boolean(false) => Vec::new(),
            _ => bail!("give true or false"),
        },
        (None, _) => vec![text.into()],
    })
}

/// A value as TOML writes it.
fn toml_value(text: &str) -> String {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && !text.starts_with(['.', '+']) && !text.ends_with('.') => text.to_owned(),
        _ if text == "true" || text == "false" => text.to_owned(),
        _ => Value::String(text.to_owned()).to_string(),
    }
}
