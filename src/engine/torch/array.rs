//! Arrays in numpy's format `.npy`: the parts of it that make sense as inputs.

/// What such files begin with.
const MAGIC: &[u8] = b"\x93NUMPY";

/// Whether these are the bytes of an array.
pub(super) fn is_array(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// The numbers of an array of this shape; a dimension of 1 in front, as of a batch, may be there as well.
pub(super) fn numbers(bytes: &[u8], shape: &[i64]) -> Result<Vec<f32>, String> {
    let (header, data) = parts(bytes).ok_or("unreadable array: its header is damaged")?;
    match value(header, "fortran_order") {
        Some("False") => {}
        Some("True") => return Err("array in Fortran order; wanted C order".to_owned()),
        _ => return Err("unreadable array: its header is damaged".to_owned()),
    }
    let found = sides(header).ok_or("unreadable array: its shape is damaged")?;
    if found != shape && found.strip_prefix(&[1]) != Some(shape) {
        return Err(format!("shape {found:?} instead of {shape:?}"));
    }
    let kind = value(header, "descr").unwrap_or_default().trim_matches(['\'', '"']);
    let count = shape.iter().product::<i64>() as usize;
    let numbers: Vec<f32> = match kind {
        "<f4" => all(data, f32::from_le_bytes),
        "<f8" => all(data, |bytes| f64::from_le_bytes(bytes) as f32),
        _ => return Err(format!("array of {kind}; wanted <f4 or <f8")),
    };
    let wide = if kind == "<f4" { 4 } else { 8 };
    if data.len() != count * wide {
        return Err(format!("array of {} bytes instead of {}", data.len(), count * wide));
    }
    Ok(numbers)
}

fn all<const N: usize>(data: &[u8], number: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    data.as_chunks::<N>().0.iter().map(|bytes| number(*bytes)).collect()
}

/// The header, which is a Python dictionary, and what follows it.
fn parts(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (version, rest) = bytes.strip_prefix(MAGIC)?.split_first_chunk::<2>()?;
    let (length, rest) = if version[0] == 1 {
        let (length, rest) = rest.split_first_chunk::<2>()?;
        (usize::from(u16::from_le_bytes(*length)), rest)
    } else {
        let (length, rest) = rest.split_first_chunk::<4>()?;
        (u32::from_le_bytes(*length) as usize, rest)
    };
    let (header, data) = rest.split_at_checked(length)?;
    Some((std::str::from_utf8(header).ok()?, data))
}

/// What the header says under `key`, up to the next comma.
fn value<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = header.split_once(&format!("'{key}':"))?;
    rest.split([',', '}']).next().map(str::trim)
}

fn sides(header: &str) -> Option<Vec<i64>> {
    let (_, rest) = header.split_once("'shape':")?;
    let (_, rest) = rest.split_once('(')?;
    let (inside, _) = rest.split_once(')')?;
    inside.split(',').map(str::trim).filter(|side| !side.is_empty()).map(|side| side.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An array as numpy writes it.
    fn written(header: &str, data: &[u8]) -> Vec<u8> {
        let header = format!("{header}\n");
        let length = (header.len() as u16).to_le_bytes();
        [MAGIC, &[1, 0], &length, header.as_bytes(), data].concat()
    }

    #[test]
    fn arrays_are_read_and_what_does_not_fit_says_why() {
        let data: Vec<u8> = [1.5_f32, -2.0].iter().flat_map(|number| number.to_le_bytes()).collect();
        let head = |kind: &str, order: &str, shape: &str| {
            format!("{{'descr': '{kind}', 'fortran_order': {order}, 'shape': {shape}, }}")
        };
        let good = written(&head("<f4", "False", "(1, 2)"), &data);
        assert!(is_array(&good) && !is_array(b"\x89PNG"));
        assert_eq!(numbers(&good, &[1, 2]), Ok(vec![1.5, -2.0]));
        assert_eq!(numbers(&good, &[2]), Ok(vec![1.5, -2.0]), "a batch of one");
        assert_eq!(numbers(&written(&head("<f4", "False", "(2,)"), &data), &[2]), Ok(vec![1.5, -2.0]));
        let double: Vec<u8> = [0.25_f64].iter().flat_map(|number| number.to_le_bytes()).collect();
        assert_eq!(numbers(&written(&head("<f8", "False", "(1,)"), &double), &[1]), Ok(vec![0.25]));
        let refused = |bytes: &[u8], shape: &[i64]| numbers(bytes, shape).unwrap_err();
        assert_eq!(refused(&good, &[3]), "shape [1, 2] instead of [3]");
        assert!(refused(&written(&head("<i4", "False", "(2,)"), &data), &[2]).contains("wanted <f4"));
        assert!(refused(&written(&head("<f4", "True", "(2,)"), &data), &[2]).contains("Fortran"));
        assert!(refused(&good[..good.len() - 1], &[1, 2]).contains("7 bytes instead of 8"));
        for end in 6..20 {
            assert!(numbers(&good[..end], &[1, 2]).is_err(), "{end} bytes are no array");
        }
    }
}
