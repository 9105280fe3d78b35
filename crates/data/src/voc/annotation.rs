//! The XML files of PASCAL VOC that name the objects of an image.

use std::path::Path;

use roxmltree::{Document, Node};

use super::read_text;
use crate::error::DataError;

/// Most bytes of a file: those of tens of thousands of objects. Parsing takes several times as much memory.
const MAX_BYTES: u64 = 16 << 20;

/// The objects of an image.
#[derive(Debug, Clone, PartialEq)]
pub struct VocAnnotation {
    /// The objects, in the order of the file.
    pub objects: Vec<VocObject>,
}

/// An object and the box around it, in pixels from 0; the last row and column belong to it.
#[derive(Debug, Clone, PartialEq)]
pub struct VocObject {
    /// Name of its class.
    pub class: String,
    /// First column.
    pub x_min: f32,
    /// First row.
    pub y_min: f32,
    /// Last column.
    pub x_max: f32,
    /// Last row.
    pub y_max: f32,
    /// Whether it need not be found.
    pub is_difficult: bool,
}

impl VocAnnotation {
    pub(super) fn read(path: &Path) -> Result<Self, DataError> {
        let text = read_text(path, MAX_BYTES)?;
        let malformed = |reason| DataError::MalformedAnnotation { path: path.to_path_buf(), reason };
        let document = Document::parse(&text).map_err(|error| malformed(error.to_string()))?;
        let objects = document.root_element().children().filter(|node| node.has_tag_name("object"));
        let objects = objects.map(object).collect::<Result<_, _>>().map_err(malformed)?;
        Ok(Self { objects })
    }
}

fn object(node: Node<'_, '_>) -> Result<VocObject, String> {
    let class = text_of(node, "name")?.to_string();
    let bounds = child(node, "bndbox")?;
    // Files count pixels from 1.
    let side = |name: &str| {
        let text = text_of(bounds, name)?;
        let value: f32 = text.parse().map_err(|_| format!("<{name}> is '{text}', not a number"))?;
        if value.is_finite() { Ok((value - 1.0).max(0.0)) } else { Err(format!("<{name}> is '{text}'")) }
    };
    let (x_min, y_min, x_max, y_max) = (side("xmin")?, side("ymin")?, side("xmax")?, side("ymax")?);
    if x_max < x_min || y_max < y_min {
        return Err(format!("the box of '{class}' is turned inside out"));
    }
    let is_difficult = text_of(node, "difficult").is_ok_and(|text| text == "1");
    Ok(VocObject { class, x_min, y_min, x_max, y_max, is_difficult })
}

fn child<'a, 'input>(node: Node<'a, 'input>, name: &str) -> Result<Node<'a, 'input>, String> {
    node.children().find(|node| node.has_tag_name(name)).ok_or_else(|| format!("an object has no <{name}>"))
}

fn text_of<'a>(node: Node<'a, '_>, name: &str) -> Result<&'a str, String> {
    child(node, name)?.text().map(str::trim).ok_or_else(|| format!("<{name}> is empty"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn read(text: &str) -> Result<VocAnnotation, DataError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        VocAnnotation::read(file.path())
    }

    #[test]
    fn objects_are_read_with_pixels_from_zero() {
        let annotation = read(
            "<annotation><size><width>9</width></size><object><name>dog</name><difficult>1</difficult><part>\
             <name>head</name></part><bndbox><xmin>1</xmin><ymin> 2 </ymin><xmax>3.5</xmax><ymax>4</ymax></bndbox>\
             </object><object><name>cat</name><bndbox><xmin>0</xmin><ymin>1</ymin><xmax>1</xmax><ymax>1</ymax>\
             </bndbox></object></annotation>",
        );
        let objects = annotation.unwrap().objects;
        let dog = VocObject {
            class: "dog".to_string(),
            x_min: 0.0,
            y_min: 1.0,
            x_max: 2.5,
            y_max: 3.0,
            is_difficult: true,
        };
        assert_eq!(objects[0], dog);
        assert_eq!((objects[1].class.as_str(), objects[1].is_difficult), ("cat", false));
        assert!(read("<annotation/>").unwrap().objects.is_empty());
    }

    #[test]
    fn what_is_wrong_is_named() {
        let refused = |object: &str| {
            read(&format!("<annotation><object>{object}</object></annotation>")).unwrap_err().to_string()
        };
        assert!(refused("").contains("no <name>"));
        assert!(refused("<name>dog</name>").contains("no <bndbox>"));
        let bounds = |x_max: &str| {
            refused(&format!(
                "<name>dog</name><bndbox><xmin>5</xmin><ymin>1</ymin><xmax>{x_max}</xmax><ymax>4</ymax></bndbox>"
            ))
        };
        assert!(bounds("x").contains("<xmax> is 'x'"));
        assert!(bounds("nan").contains("<xmax> is 'nan'"));
        assert!(bounds("2").contains("inside out"));
        assert!(read("<annotation>").unwrap_err().to_string().contains("malformed"));
    }

    #[test]
    fn files_that_are_large_or_deep_are_refused() {
        let long = format!("<annotation>{}</annotation>", " ".repeat(16 << 20));
        assert!(read(&long).unwrap_err().to_string().contains("larger than 16777216 bytes"));
        let deep = ["<a>".repeat(1 << 18), "</a>".repeat(1 << 18)].concat();
        assert!(read(&deep).is_ok_and(|annotation| annotation.objects.is_empty()));
        let laughs = |n: u32| format!("<!ENTITY l{} \"{}\">", n + 1, format!("&l{n};").repeat(10));
        let entities: String = (0..12).map(laughs).collect();
        let bomb = format!("<!DOCTYPE a [<!ENTITY l0 \"ha\">{entities}]><annotation>&l12;</annotation>");
        assert!(read(&bomb).unwrap_err().to_string().contains("malformed"));
    }
}
