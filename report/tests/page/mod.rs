//! Parses a page as a browser does, and keeps what the tests ask about: every parse error, every
//! element with its attributes in document order, and the text.

#![allow(dead_code, unreachable_pub)]

use std::borrow::Cow;
use std::cell::{Ref, RefCell};

use html5ever::tendril::{StrTendril, TendrilSink};
use html5ever::tree_builder::{ElementFlags, NodeOrText, QuirksMode, TreeSink};
use html5ever::{Attribute, LocalName, Namespace, ParseOpts, QualName, parse_document};

/// An element.
#[derive(Debug, Clone)]
pub struct Element {
    pub tag: String,
    pub attributes: Vec<(String, String)>,
    /// Its own text, without that of elements inside.
    pub text: String,
}

impl Element {
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

/// A parsed page.
#[derive(Debug)]
pub struct Page {
    pub errors: Vec<String>,
    pub elements: Vec<Element>,
}

impl Page {
    pub fn parse(html: &str) -> Self {
        let sink = parse_document(Sink::default(), ParseOpts::default()).one(html);
        let mut elements = sink.elements.into_inner();
        elements.remove(0);
        Self { errors: sink.errors.into_inner(), elements }
    }

    pub fn all<'a>(&'a self, tag: &'a str) -> impl Iterator<Item = &'a Element> {
        self.elements.iter().filter(move |e| e.tag == tag)
    }

    /// What a reader sees, from the body on: a line per heading, paragraph, row and item.
    pub fn lines(&self) -> String {
        let mut lines = String::new();
        for e in self.elements.iter().skip_while(|e| e.tag != "body") {
            match e.tag.as_str() {
                "h2" => lines.push_str("\n\n## "),
                "h3" | "h4" => lines.push_str("\n\n### "),
                "p" | "tr" | "li" | "caption" | "summary" | "pre" | "dt" | "text" | "desc" => {
                    lines.push('\n')
                }
                "td" | "th" | "dd" => lines.push_str(" | "),
                _ => {}
            }
            let words: Vec<&str> = e.text.split_whitespace().collect();
            if !words.is_empty() {
                lines.push_str(if lines.ends_with(['\n', ' ']) { "" } else { " " });
                lines.push_str(&words.join(" "));
            }
        }
        lines
    }

    /// All text that a reader can see.
    pub fn text(&self) -> String {
        self.elements.iter().filter(|e| e.tag != "style").map(|e| e.text.as_str()).collect()
    }
}

struct Sink {
    names: RefCell<Vec<QualName>>,
    elements: RefCell<Vec<Element>>,
    errors: RefCell<Vec<String>>,
}

impl Default for Sink {
    fn default() -> Self {
        let sink =
            Self { names: RefCell::default(), elements: RefCell::default(), errors: RefCell::default() };
        sink.add(QualName::new(None, Namespace::default(), LocalName::from("")), Vec::new());
        sink
    }
}

impl Sink {
    fn add(&self, name: QualName, attributes: Vec<Attribute>) -> usize {
        let pair = |a: &Attribute| (a.name.local.to_string(), a.value.to_string());
        let attributes = attributes.iter().map(pair).collect();
        let element = Element { tag: name.local.to_string(), attributes, text: String::new() };
        self.elements.borrow_mut().push(element);
        self.names.borrow_mut().push(name);
        self.elements.borrow().len() - 1
    }
}

impl TreeSink for Sink {
    type Handle = usize;
    type Output = Self;
    type ElemName<'a> = Ref<'a, QualName>;

    fn finish(self) -> Self {
        self
    }
    fn parse_error(&self, message: Cow<'static, str>) {
        self.errors.borrow_mut().push(message.into_owned());
    }
    fn get_document(&self) -> usize {
        0
    }
    fn elem_name<'a>(&'a self, target: &'a usize) -> Ref<'a, QualName> {
        Ref::map(self.names.borrow(), |names| &names[*target])
    }
    fn create_element(&self, name: QualName, attributes: Vec<Attribute>, _: ElementFlags) -> usize {
        self.add(name, attributes)
    }
    fn create_comment(&self, _: StrTendril) -> usize {
        self.add(QualName::new(None, Namespace::default(), LocalName::from("#comment")), Vec::new())
    }
    fn create_pi(&self, _: StrTendril, _: StrTendril) -> usize {
        self.create_comment(StrTendril::new())
    }
    fn append(&self, parent: &usize, child: NodeOrText<usize>) {
        if let NodeOrText::AppendText(text) = child {
            self.elements.borrow_mut()[*parent].text.push_str(&text);
        }
    }
    fn append_based_on_parent_node(&self, parent: &usize, _: &usize, child: NodeOrText<usize>) {
        self.append(parent, child);
    }
    fn append_doctype_to_document(&self, _: StrTendril, _: StrTendril, _: StrTendril) {}
    fn get_template_contents(&self, target: &usize) -> usize {
        *target
    }
    fn same_node(&self, x: &usize, y: &usize) -> bool {
        x == y
    }
    fn set_quirks_mode(&self, mode: QuirksMode) {
        assert_eq!(mode, QuirksMode::NoQuirks);
    }
    fn append_before_sibling(&self, _: &usize, _: NodeOrText<usize>) {
        panic!("text or an element was moved out of a table");
    }
    fn add_attrs_if_missing(&self, _: &usize, _: Vec<Attribute>) {}
    fn remove_from_parent(&self, _: &usize) {}
    fn reparent_children(&self, _: &usize, _: &usize) {}
}
