//! Where the expressions of a source file lie that a mutant can be woven into, one line for each:
//!
//! ```text
//! what line column constant start end [start end ...]
//! ```
//!
//! Line and column (from 1) are those by which cargo-mutants names it; `constant` is 1 where the compiler evaluates it,
//! and `fn:` with a name in a constant function, whose `const` is `const` here; the ranges are bytes of the whole and
//! of its parts.

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

#[derive(Default)]
struct Finder {
    /// How many constants we are in.
    constant: u32,
    /// The functions that we are in, if they are constant.
    functions: Vec<Option<String>>,
}

impl Finder {
    fn tell(&self, what: &str, at: Span, parts: &[Span]) {
        let start = at.start();
        let constant = match self.functions.last() {
            _ if self.constant > 0 => "1".to_owned(),
            Some(Some(name)) => format!("fn:{name}"),
            _ => "0".to_owned(),
        };
        let range = |span: &Span| format!(" {} {}", span.byte_range().start, span.byte_range().end);
        let ranges: String = parts.iter().map(range).collect();
        println!("{what} {} {} {constant}{ranges}", start.line, start.column + 1);
    }

    fn within(&mut self, visit: impl FnOnce(&mut Self)) {
        self.constant += 1;
        visit(self);
        self.constant -= 1;
    }

    fn function(&mut self, signature: &syn::Signature, block: &syn::Block, visit: impl FnOnce(&mut Self)) {
        self.functions.push(signature.constness.map(|_| signature.ident.to_string()));
        if let Some(token) = signature.constness {
            self.tell("const", token.span(), &[token.span()]);
        }
        self.body(block);
        visit(self);
        self.functions.pop();
    }

    /// A function is named by its first statement, and woven into behind its brace.
    fn body(&mut self, block: &syn::Block) {
        if let Some(first) = block.stmts.first() {
            self.tell("function", first.span(), &[block.brace_token.span.open()]);
        }
    }
}

/// A chain with `let` in it can not stand in parentheses.
fn has_let(expression: &syn::Expr) -> bool {
    match expression {
        syn::Expr::Let(_) => true,
        syn::Expr::Binary(binary) => has_let(&binary.left) || has_let(&binary.right),
        _ => false,
    }
}

impl<'a> Visit<'a> for Finder {
    fn visit_expr_binary(&mut self, binary: &'a syn::ExprBinary) {
        if !(has_let(&binary.left) || has_let(&binary.right)) {
            self.tell("binary", binary.op.span(), &[binary.span(), binary.left.span(), binary.right.span()]);
        }
        visit::visit_expr_binary(self, binary);
    }

    fn visit_expr_unary(&mut self, unary: &'a syn::ExprUnary) {
        self.tell("unary", unary.op.span(), &[unary.span(), unary.expr.span()]);
        visit::visit_expr_unary(self, unary);
    }

    fn visit_arm(&mut self, arm: &'a syn::Arm) {
        match &arm.guard {
            Some((_, guard)) => {
                self.tell("guard", guard.span(), &[guard.span()]);
                self.tell("arm", arm.span(), &[arm.pat.span(), guard.span()]);
            }
            None => self.tell("arm", arm.span(), &[arm.pat.span()]),
        }
        visit::visit_arm(self, arm);
    }

    fn visit_item_fn(&mut self, function: &'a syn::ItemFn) {
        self.function(&function.sig, &function.block, |finder| visit::visit_item_fn(finder, function));
    }

    fn visit_impl_item_fn(&mut self, function: &'a syn::ImplItemFn) {
        self.function(&function.sig, &function.block, |finder| visit::visit_impl_item_fn(finder, function));
    }

    fn visit_trait_item_fn(&mut self, function: &'a syn::TraitItemFn) {
        if let Some(block) = &function.default {
            self.body(block);
        }
        visit::visit_trait_item_fn(self, function);
    }

    fn visit_item_const(&mut self, item: &'a syn::ItemConst) {
        self.within(|finder| visit::visit_item_const(finder, item));
    }

    fn visit_impl_item_const(&mut self, item: &'a syn::ImplItemConst) {
        self.within(|finder| visit::visit_impl_item_const(finder, item));
    }

    fn visit_trait_item_const(&mut self, item: &'a syn::TraitItemConst) {
        self.within(|finder| visit::visit_trait_item_const(finder, item));
    }

    fn visit_item_static(&mut self, item: &'a syn::ItemStatic) {
        self.within(|finder| visit::visit_item_static(finder, item));
    }

    fn visit_pat(&mut self, _: &'a syn::Pat) {} // constants

    fn visit_type(&mut self, _: &'a syn::Type) {} // lengths of arrays are constants

    fn visit_expr_repeat(&mut self, repeat: &'a syn::ExprRepeat) {
        self.visit_expr(&repeat.expr); // the length is a constant
    }
}

fn main() {
    let path = std::env::args().nth(1).expect("the path of a source file");
    let text = std::fs::read_to_string(&path).expect("a source file");
    Finder::default().visit_file(&syn::parse_file(&text).expect("Rust"));
}
