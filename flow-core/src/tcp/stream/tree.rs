//! Where in a search tree a segment meets those that wait.
//!
//! Linux keeps these in a red-black tree, and joins a segment to the first one on its way down that ends where it begins. Which that is
//! depends on the tree's shape, so this is the same tree: the textbook's (Cormen et al., Introduction to Algorithms, chapter 13).

use crate::tcp::sequence::distance;

/// Sequence numbers, each once.
#[derive(Debug, Default)]
pub(super) struct Tree {
    /// The first one stands for no node: black, and nobody's.
    nodes: Vec<Node>,
    root: Place,
    /// Places that are free again.
    free: Vec<Place>,
}

type Place = u32;
const NONE: Place = 0;

#[derive(Clone, Copy, Debug, Default)]
struct Node {
    seq: u32,
    children: [Place; 2],
    parent: Place,
    is_red: bool,
}

impl Tree {
    /// Memory that one number takes.
    pub(super) const COST: usize = size_of::<Node>() + size_of::<Place>();

    /// The numbers met on the way to the place of `seq`.
    pub(super) fn path(&self, seq: u32) -> impl Iterator<Item = u32> {
        let mut at = self.root;
        std::iter::from_fn(move || {
            let node = self.node(at);
            let met = (at != NONE).then_some(node.seq);
            at = node.child(side(node.seq, seq));
            met
        })
    }

    pub(super) fn insert(&mut self, seq: u32) {
        if self.nodes.is_empty() {
            self.nodes.push(Node::default());
        }
        let (mut parent, mut at) = (NONE, self.root);
        while at != NONE {
            (parent, at) = (at, self.node(at).child(side(self.node(at).seq, seq)));
        }
        let node = Node { seq, children: [NONE; 2], parent, is_red: true };
        let new = self.free.pop().unwrap_or_else(|| {
            self.nodes.push(node);
            (self.nodes.len() - 1) as Place
        });
        self.change(new, |place| *place = node);
        self.set_child(parent, side(self.node(parent).seq, seq), new);
        self.balance_inserted(new);
    }

    pub(super) fn remove(&mut self, seq: u32) {
        let mut found = self.root;
        while found != NONE && self.node(found).seq != seq {
            found = self.node(found).child(side(self.node(found).seq, seq));
        }
        if found == NONE {
            return;
        }
        let node = self.node(found);
        let [left, right] = node.children;
        let (risen, is_black_lost) = if left == NONE || right == NONE {
            let only = if left == NONE { right } else { left };
            self.replace(found, only);
            (only, !node.is_red)
        } else {
            let mut next = right;
            while self.node(next).child(0) != NONE {
                next = self.node(next).child(0);
            }
            let Node { children: [_, risen], is_red, .. } = self.node(next);
            if next == right {
                self.change(risen, |risen| risen.parent = next);
            } else {
                self.replace(next, risen);
                self.set_child(next, 1, right);
            }
            self.replace(found, next);
            self.set_child(next, 0, left);
            self.paint(next, node.is_red);
            (risen, !is_red)
        };
        if is_black_lost {
            self.balance_removed(risen);
        }
        self.free.push(found);
    }

    fn balance_inserted(&mut self, mut at: Place) {
        while self.is_red(self.node(at).parent) {
            let mut parent = self.node(at).parent;
            let grand = self.node(parent).parent;
            let side = self.side_of(parent);
            let uncle = self.node(grand).child(1 - side);
            if self.is_red(uncle) {
                self.paint(parent, false);
                self.paint(uncle, false);
                self.paint(grand, true);
                at = grand;
                continue;
            }
            if self.side_of(at) != side {
                self.rotate(parent, side);
                (at, parent) = (parent, at);
            }
            self.paint(parent, false);
            self.paint(grand, true);
            self.rotate(grand, 1 - side);
        }
        self.paint(self.root, false);
    }

    fn balance_removed(&mut self, mut at: Place) {
        while at != self.root && !self.is_red(at) {
            let parent = self.node(at).parent;
            let side = self.side_of(at);
            let mut sibling = self.node(parent).child(1 - side);
            if self.is_red(sibling) {
                self.paint(sibling, false);
                self.paint(parent, true);
                self.rotate(parent, side);
                sibling = self.node(parent).child(1 - side);
            }
            let [near, far] = [side, 1 - side].map(|side| self.node(sibling).child(side));
            if !self.is_red(near) && !self.is_red(far) {
                self.paint(sibling, true);
                at = parent;
                continue;
            }
            if !self.is_red(far) {
                self.paint(near, false);
                self.paint(sibling, true);
                self.rotate(sibling, 1 - side);
                sibling = self.node(parent).child(1 - side);
            }
            self.paint(sibling, self.is_red(parent));
            self.paint(parent, false);
            self.paint(self.node(sibling).child(1 - side), false);
            self.rotate(parent, side);
            at = self.root;
        }
        self.paint(at, false);
    }

    /// A node becomes the child of its child that was on the other side.
    fn rotate(&mut self, at: Place, side: usize) {
        let risen = self.node(at).child(1 - side);
        self.set_child(at, 1 - side, self.node(risen).child(side));
        self.replace(at, risen);
        self.set_child(risen, side, at);
    }

    /// Another node takes the place of one below its parent.
    fn replace(&mut self, at: Place, by: Place) {
        let parent = self.node(at).parent;
        self.set_child(parent, self.side_of(at), by);
        // Removing goes on from there, be it a node or none.
        self.change(by, |by| by.parent = parent);
    }

    fn set_child(&mut self, parent: Place, side: usize, child: Place) {
        if parent == NONE {
            self.root = child;
        } else {
            self.change(parent, |parent| {
                if let Some(place) = parent.children.get_mut(side) {
                    *place = child;
                }
            });
        }
        if child != NONE {
            self.change(child, |child| child.parent = parent);
        }
    }

    fn side_of(&self, at: Place) -> usize {
        usize::from(self.node(self.node(at).parent).child(0) != at)
    }

    fn is_red(&self, at: Place) -> bool {
        self.node(at).is_red
    }

    fn paint(&mut self, at: Place, red: bool) {
        self.change(at, |node| node.is_red = red);
    }

    fn node(&self, at: Place) -> Node {
        self.nodes.get(at as usize).copied().unwrap_or_default()
    }

    fn change(&mut self, at: Place, change: impl FnOnce(&mut Node)) {
        if let Some(node) = self.nodes.get_mut(at as usize) {
            change(node);
        }
    }
}

impl Node {
    fn child(&self, side: usize) -> Place {
        self.children.get(side).copied().unwrap_or_default()
    }
}

/// On which side of a node's number another belongs: 0 before it, 1 behind.
fn side(node: u32, seq: u32) -> usize {
    usize::from(distance(node, seq) >= 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    impl Tree {
        /// Checks what makes it a red-black tree; gives its numbers in order, and how many black nodes each way down has.
        fn check(&self, at: Place, parent: Place) -> (Vec<u32>, usize) {
            if at == NONE {
                return (Vec::new(), 1);
            }
            let node = self.node(at);
            assert_eq!(node.parent, parent);
            assert!(!node.is_red || !self.is_red(parent), "no red node has a red parent");
            let [(mut numbers, black), (behind, other)] = node.children.map(|child| self.check(child, at));
            assert_eq!(black, other, "every way down has as many black nodes");
            numbers.push(node.seq);
            numbers.extend(behind);
            (numbers, black + usize::from(!node.is_red))
        }
    }

    proptest! {
        #[test]
        fn it_stays_in_order_and_in_balance(base in any::<u32>(), steps in prop::collection::vec((0u32..60, any::<bool>()), 0..200)) {
            let (mut tree, mut model) = (Tree::default(), std::collections::BTreeSet::new());
            for (number, is_new) in steps {
                let seq = base.wrapping_add(number);
                if is_new && model.insert(number) {
                    tree.insert(seq);
                } else if !is_new {
                    model.remove(&number);
                    tree.remove(seq);
                }
                let (numbers, _) = tree.check(tree.root, NONE);
                prop_assert!(!tree.is_red(tree.root));
                prop_assert!(numbers.into_iter().eq(model.iter().map(|number| base.wrapping_add(*number))));
                prop_assert!(tree.path(seq).count() <= 12, "twice the logarithm of 60");
            }
        }
    }

    #[test]
    fn three_in_order_turn_about_the_middle() {
        let mut tree = Tree::default();
        for seq in [10, 20, 30] {
            tree.insert(seq);
        }
        assert_eq!(tree.path(30).collect::<Vec<_>>(), [20, 30]);
    }
}
