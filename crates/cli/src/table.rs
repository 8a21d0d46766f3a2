//! Tables on the terminal: aligned columns, the last one shortened to the terminal's width.

use std::fmt;

use console::{Alignment, Term, measure_text_width, pad_str, style, truncate_str};

use crate::output;

/// Rows under titles.
pub struct Table {
    columns: Vec<(&'static str, Alignment)>,
    rows: Vec<Vec<String>>,
    width_in_pipe: usize,
}

/// A column of text.
pub const fn left(title: &'static str) -> (&'static str, Alignment) {
    (title, Alignment::Left)
}

/// A column of numbers.
pub const fn right(title: &'static str) -> (&'static str, Alignment) {
    (title, Alignment::Right)
}

impl Table {
    /// A table without rows.
    pub fn new(columns: &[(&'static str, Alignment)]) -> Table {
        Table { columns: columns.to_vec(), rows: Vec::new(), width_in_pipe: usize::MAX }
    }

    /// Shortens the last column in a pipe, too.
    pub fn width_in_pipe(self, width: usize) -> Table {
        Table { width_in_pipe: width, ..self }
    }

    /// Adds a row: a cell a column.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        assert_eq!(N, self.columns.len(), "a row has a cell for each column");
        self.rows.push(cells.iter().map(|cell| output::plain(cell)).collect());
    }

    fn widths(&self) -> Vec<usize> {
        let width = |column: usize| {
            let cells = self.rows.iter().map(|row| measure_text_width(&row[column]));
            cells.chain([measure_text_width(self.columns[column].0)]).max().unwrap_or(0)
        };
        (0..self.columns.len()).map(width).collect()
    }

    /// The table as text whose lines are at most `width` columns wide, unless all columns but the last need more.
    fn render(&self, width: usize) -> String {
        let mut widths = self.widths();
        let (last, others) = widths.split_last_mut().expect("a table has columns");
        let room = width.saturating_sub(others.iter().map(|width| width + 2).sum());
        *last = (*last).min(room.max(6));
        let line = |cells: &[&str]| {
            let cell = |(index, cell): (usize, &&str)| {
                let cell = truncate_str(cell, widths[index], "…");
                pad_str(&cell, widths[index], self.columns[index].1, None).into_owned()
            };
            cells.iter().enumerate().map(cell).collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        let titles: Vec<&str> = self.columns.iter().map(|(title, _)| *title).collect();
        let mut lines = vec![style(line(&titles)).bold().to_string()];
        lines.extend(self.rows.iter().map(|row| line(&row.iter().map(String::as_str).collect::<Vec<_>>())));
        lines.join("\n")
    }
}

impl fmt::Display for Table {
    /// Fits the terminal; in a pipe nothing is shortened, unless the table asks for it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let terminal = Term::stdout();
        let width = if terminal.is_term() { terminal.size().1.into() } else { self.width_in_pipe };
        f.write_str(&self.render(width))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_the_last_is_shortened() {
        console::set_colors_enabled(false);
        let mut table = Table::new(&[left("name"), right("ms"), left("what it is")]);
        table.row(["a".into(), "10.25".into(), "short".into()]);
        table.row(["büro".into(), "3.5".into(), "a long description".into()]);
        assert_eq!(
            table.render(usize::MAX),
            "name     ms  what it is\na     10.25  short\nbüro    3.5  a long description"
        );
        assert_eq!(table.render(24), "name     ms  what it is\na     10.25  short\nbüro    3.5  a long des…");
    }
}
