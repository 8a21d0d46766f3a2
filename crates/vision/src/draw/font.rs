//! A font of our own: the printable characters of ASCII, five pixels wide and eight high, the last row below the line.

use std::sync::OnceLock;

/// Columns of a glyph.
pub(super) const WIDTH: usize = 5;
/// Rows of a glyph.
pub(super) const HEIGHT: usize = 8;

/// The glyphs, drawn: 19 beside each other, a column apart, in the order of their codes from the space on.
const DRAWN: &str = include_str!("font.txt");
const IN_A_LINE: usize = 19;
const FIRST: usize = b' ' as usize;
const COUNT: usize = 95;

/// Rows from above; in each the leftmost column is the highest of five bits.
pub(super) type Glyph = [u8; HEIGHT];

/// The glyph of a character; what has none is a question mark.
pub(super) fn glyph(character: char) -> Glyph {
    static GLYPHS: OnceLock<[Glyph; COUNT]> = OnceLock::new();
    let glyphs = GLYPHS.get_or_init(read);
    let place = |character: char| (character as usize).checked_sub(FIRST).and_then(|place| glyphs.get(place));
    *place(character).unwrap_or(&glyphs['?' as usize - FIRST])
}

fn read() -> [Glyph; COUNT] {
    let mut glyphs = [[0; HEIGHT]; COUNT];
    for (number, line) in DRAWN.lines().enumerate() {
        let (block, row) = (number / HEIGHT, number % HEIGHT);
        for (column, drawn) in line.split(' ').enumerate() {
            let bits = drawn.bytes().fold(0, |bits, pixel| bits << 1 | u8::from(pixel == b'#'));
            glyphs[block * IN_A_LINE + column][row] = bits;
        }
    }
    glyphs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_has_a_glyph_of_its_own() {
        let lines: Vec<&str> = DRAWN.lines().collect();
        assert_eq!(lines.len(), COUNT / IN_A_LINE * HEIGHT);
        assert!(lines.iter().all(|line| line.len() == IN_A_LINE * (WIDTH + 1) - 1));
        let glyphs: std::collections::HashSet<Glyph> = (' '..='~').map(glyph).collect();
        assert_eq!(glyphs.len(), COUNT);
        assert_eq!(glyph(' '), [0; HEIGHT]);
        assert_eq!(glyph('T'), [0b11111, 0b100, 0b100, 0b100, 0b100, 0b100, 0b100, 0]);
        assert_eq!(glyph('ü'), glyph('?'));
    }
}
